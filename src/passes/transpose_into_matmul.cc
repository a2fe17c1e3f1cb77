#include <utility>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace airloom::passes {

namespace {

bool swaps_last_two(const ir::Ints& perm) {
  const auto rank = static_cast<std::int64_t>(perm.size());
  if (rank < 2) return false;
  for (std::int64_t i = 0; i < rank; ++i) {
    const std::int64_t expected = i == rank - 1 ? rank - 2 : i == rank - 2 ? rank - 1 : i;
    const std::int64_t axis = perm[static_cast<std::size_t>(i)];
    if ((axis < 0 ? axis + rank : axis) != expected) return false;
  }
  return true;
}

/// Folds a Transpose that feeds `slot` into the flag `key`; whether it did.
bool fold(Rewriter& rewriter, ir::NodeId id, std::size_t slot, std::string_view key) {
  ir::Graph& graph = rewriter.graph();
  const ir::Value value = graph.node(id).inputs[slot].value;
  const ir::Node* transpose = rewriter.match(value.node, "Transpose", 2);
  if (transpose == nullptr) return false;
  const ir::Value source = transpose->inputs[0].value;
  const auto perm = rewriter.ints(transpose->inputs[1].value);
  const ir::TensorType& type = graph.type(source);
  if (!perm || !swaps_last_two(*perm) || type.unknown_rank || type.shape.size() != perm->size()) return false;
  const ir::Node& product = graph.node(id);
  const auto flag = product.attrs.find(key);
  const bool* set = flag == product.attrs.end() ? nullptr : std::get_if<bool>(&flag->second);
  if (flag != product.attrs.end() && set == nullptr) return false;
  const bool turned = set == nullptr || !*set;
  if (!rewriter.redirect(id, slot, source)) return false;
  graph.node(id).attrs.insert_or_assign(std::string(key), turned);
  return true;
}

void rewrite(Rewriter& rewriter, ir::NodeId id) {
  const ir::Node& node = rewriter.graph().node(id);
  const bool batch = node.type == "BatchMatMulV2";
  if ((!batch && node.type != "MatMulV2") || node.inputs.size() < 2 || node.inputs[0].name != "x1" || node.inputs[1].name != "x2") return;
  while (fold(rewriter, id, 0, batch ? "adj_x1" : "transpose_x1")) {
  }
  while (fold(rewriter, id, 1, batch ? "adj_x2" : "transpose_x2")) {
  }
}

}  // namespace

bool transpose_into_matmul(ir::Module& module) { return rewrite_all(module, rewrite); }

}  // namespace airloom::passes
