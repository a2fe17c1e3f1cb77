#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <tuple>
#include <vector>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace airloom::passes {

namespace {

constexpr std::int64_t kMostBytes = std::int64_t{16} << 20;  // larger constants are compared by address alone

/// FNV-1a over words of eight bytes; only a filter, equality is checked on the bytes.
std::uint64_t content_hash(const ir::Tensor& tensor) {
  constexpr std::uint64_t kPrime = 0x100000001B3ULL;
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  tensor.stream([&hash](std::span<const std::byte> piece) {
    for (std::size_t at = 0; at < piece.size(); at += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, piece.data() + at, std::min(sizeof word, piece.size() - at));
      hash = (hash ^ word) * kPrime;
      hash ^= hash >> 32U;
    }
    return true;
  });
  return hash;
}

/// Where the elements lie (weights, huge constants) or a hash of them.
struct Key {
  ir::DType dtype;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> stride;
  const std::byte* data;
  std::uint64_t hash;

  friend bool operator<(const Key& a, const Key& b) {
    if (a.data != b.data) return std::less<>{}(a.data, b.data);
    return std::tie(a.dtype, a.hash, a.shape, a.stride) < std::tie(b.dtype, b.hash, b.shape, b.stride);
  }
};

/// Equal but for the elements: merge() compares the outputs' descriptors.
bool same_attributes(const ir::Node& a, const ir::Node& b) {
  return a.type == b.type && std::equal(a.attrs.begin(), a.attrs.end(), b.attrs.begin(), b.attrs.end(), [](const auto& x, const auto& y) {
           return x.first == y.first && (x.first == "value" || ir::equal(x.second, y.second));
         });
}

bool dedup(ir::Graph& graph) {
  Rewriter rewriter(graph);
  std::map<Key, std::vector<ir::NodeId>> seen;  // constants of one key that could not be merged
  return rewriter.sweep([&](ir::NodeId id) {
    const ir::TensorRef tensor = ir::const_value(graph, id);
    if (!tensor || !rewriter.stable({id, 0}) || !rewriter.control_free(id)) return;
    const std::int64_t bytes = tensor->nbytes();
    if (bytes < 0 || (tensor->data == nullptr && (bytes > 0 || !tensor->weight.empty()))) return;
    const bool by_address = !tensor->weight.empty() || bytes > kMostBytes;
    Key key{tensor->dtype, tensor->shape, {}, nullptr, 0};
    if (by_address) {
      key.data = tensor->data;
      if (!tensor->dense()) key.stride = tensor->stride;
    } else {
      key.hash = content_hash(*tensor);
    }
    std::vector<ir::NodeId>& candidates = seen[key];
    for (const ir::NodeId other : candidates) {
      const ir::TensorRef first = ir::const_value(graph, other);
      if (by_address != (!first->weight.empty() || first->nbytes() > kMostBytes)) continue;
      if (!by_address && !ir::same_bytes(*first, *tensor)) continue;
      if (by_address && first->weight.empty() != tensor->weight.empty()) continue;
      if (same_attributes(graph.node(other), graph.node(id)) && rewriter.merge(id, other)) return;
    }
    candidates.push_back(id);
  });
}

}  // namespace

bool constant_dedup(ir::Module& module) {
  bool changed = false;
  for (ir::Graph& graph : module.graphs) changed = dedup(graph) || changed;
  return changed;
}

}  // namespace airloom::passes
