#include "passes/passes.h"
#include "passes/rewrite.h"

namespace airloom::passes {

namespace {

using ir::DType;

/// Digits of the largest integers up to which all are exact; 0 for types that take no part here.
int float_digits(DType dtype) {
  switch (dtype) {
    case DType::kBFloat16: return 8;
    case DType::kFloat16: return 11;
    case DType::kFloat: return 24;
    case DType::kDouble: return 53;
    default: return 0;
  }
}

/// Bits of an integer's magnitude, bool's one; 0 for other types.
int int_digits(DType dtype) {
  if (dtype == DType::kBool) return 1;
  if (!ir::is_integral(dtype) || ir::item_size(dtype) == 0) return 0;
  return ir::info(dtype).bits - (ir::is_signed(dtype) ? 1 : 0);
}

/// Every value of `from` is a value of `to`.
bool holds(DType from, DType to) {
  if (from == to) return true;
  if (to == DType::kBool) return false;
  const int digits = int_digits(from);
  if (digits > 0) {
    if (float_digits(to) > 0) return digits <= float_digits(to);
    return digits <= int_digits(to) && (!ir::is_signed(from) || ir::is_signed(to));
  }
  // f16 has a small exponent and bf16 few digits: neither holds the other.
  return float_digits(from) > 0 && (to == DType::kDouble || (to == DType::kFloat && from != DType::kDouble));
}

bool is_cast(const ir::Node* node, DType to) {
  if (node == nullptr || node->inputs.size() != 1) return false;
  const auto dst = node->attrs.find("dst_type");
  const auto* number = dst == node->attrs.end() ? nullptr : std::get_if<std::int64_t>(&dst->second);
  return number != nullptr && *number == static_cast<std::int64_t>(to);
}

void rewrite(Rewriter& rewriter, ir::NodeId id) {
  ir::Graph& graph = rewriter.graph();
  const ir::Node* node = rewriter.match(id, "Cast", 1);
  if (node == nullptr || !is_cast(node, node->outputs[0].type.dtype)) return;
  const DType to = node->outputs[0].type.dtype;
  const ir::Value middle = node->inputs[0].value;
  if (graph.type(middle).dtype == to) {
    rewriter.forward(id, middle);
    return;
  }
  // The inner cast was rewritten before, so one step is enough.
  const ir::Node* inner = rewriter.match(middle.node, "Cast", 1);
  if (inner == nullptr || !is_cast(inner, graph.type(middle).dtype)) return;
  const ir::Value source = inner->inputs[0].value;
  const DType from = graph.type(source).dtype;
  if (!holds(from, graph.type(middle).dtype)) return;
  if (from == to) {
    rewriter.forward(id, source);
  } else {
    rewriter.redirect(id, 0, source);
  }
}

}  // namespace

bool cast_of_cast(ir::Module& module) { return rewrite_all(module, rewrite); }

}  // namespace airloom::passes
