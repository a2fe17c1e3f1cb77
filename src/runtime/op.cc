#include "runtime/op.h"

#include <algorithm>

namespace airloom::runtime {
namespace {

[[noreturn]] void missing(const ir::Node& node, std::string_view name) {
  bad(Errc::kInvalidGraph, fmt::format("{} has no attribute '{}'", node.type, name), node.name);
}
[[noreturn]] void wrong_kind(const ir::Node& node, std::string_view name) {
  bad(Errc::kInvalidGraph, fmt::format("attribute '{}' of {} has another kind than the operator's prototype", name, node.type), node.name);
}
const ir::Attr* find(const ir::Node& node, std::string_view name) {
  const auto it = node.attrs.find(name);
  return it == node.attrs.end() ? nullptr : &it->second;
}

}  // namespace

std::int64_t NodeView::attr_int(std::string_view name, std::optional<std::int64_t> fallback) const {
  const ir::Attr* attr = find(*node_, name);
  if (attr == nullptr) return fallback ? *fallback : (missing(*node_, name), 0);
  if (const auto* v = std::get_if<std::int64_t>(attr)) return *v;
  if (const auto* v = std::get_if<DType>(attr)) return static_cast<std::int64_t>(*v);
  if (const auto* v = std::get_if<bool>(attr)) return *v ? 1 : 0;
  wrong_kind(*node_, name);
}

double NodeView::attr_float(std::string_view name, std::optional<double> fallback) const {
  const ir::Attr* attr = find(*node_, name);
  if (attr == nullptr) return fallback ? *fallback : (missing(*node_, name), 0);
  if (const auto* v = std::get_if<double>(attr)) return *v;
  if (const auto* v = std::get_if<std::int64_t>(attr)) return static_cast<double>(*v);
  wrong_kind(*node_, name);
}

bool NodeView::attr_bool(std::string_view name, bool fallback) const {
  const ir::Attr* attr = find(*node_, name);
  if (attr == nullptr) return fallback;
  if (const auto* v = std::get_if<bool>(attr)) return *v;
  if (const auto* v = std::get_if<std::int64_t>(attr)) return *v != 0;
  wrong_kind(*node_, name);
}

std::string NodeView::attr_string(std::string_view name, std::string_view fallback) const {
  const ir::Attr* attr = find(*node_, name);
  if (attr == nullptr) return std::string(fallback);
  if (const auto* v = std::get_if<std::string>(attr)) return *v;
  wrong_kind(*node_, name);
}

Dims NodeView::attr_ints(std::string_view name, std::optional<Dims> fallback) const {
  const ir::Attr* attr = find(*node_, name);
  if (attr == nullptr) return fallback ? *fallback : (missing(*node_, name), Dims{});
  if (const auto* v = std::get_if<ir::Ints>(attr)) return *v;
  if (const auto* v = std::get_if<std::int64_t>(attr)) return {*v};
  // An empty list says nothing of its kind.
  if (const auto* v = std::get_if<ir::Floats>(attr); v != nullptr && v->empty()) return {};
  if (const auto* v = std::get_if<ir::Strings>(attr); v != nullptr && v->empty()) return {};
  wrong_kind(*node_, name);
}

std::vector<double> NodeView::attr_floats(std::string_view name) const {
  const ir::Attr* attr = find(*node_, name);
  if (attr == nullptr) missing(*node_, name);
  if (const auto* v = std::get_if<ir::Floats>(attr)) return *v;
  if (const auto* v = std::get_if<ir::Ints>(attr)) return {v->begin(), v->end()};
  wrong_kind(*node_, name);
}

DType NodeView::attr_dtype(std::string_view name, std::optional<DType> fallback) const {
  if (!has_attr(name) && fallback) return *fallback;
  const std::optional<DType> dtype = ir::dtype_from_ge(static_cast<int>(attr_int(name)));
  if (!dtype) bad(Errc::kInvalidGraph, fmt::format("attribute '{}' is no element type number", name), node_->name);
  return *dtype;
}

std::size_t NodeView::slot(std::string_view name, std::size_t position) const {
  for (std::size_t i = 0; i < node_->inputs.size(); ++i) {
    if (node_->inputs[i].name == name) return i;
  }
  const bool named = std::any_of(node_->inputs.begin(), node_->inputs.end(), [](const ir::Input& input) { return !input.name.empty(); });
  return !named && position < node_->inputs.size() ? position : SIZE_MAX;
}

std::vector<std::size_t> NodeView::slots(std::string_view name, std::size_t first, std::size_t after) const {
  std::vector<std::size_t> out;
  for (std::size_t k = 0;; ++k) {
    const std::string wanted = fmt::format("{}{}", name, k);
    const auto it = std::find_if(node_->inputs.begin(), node_->inputs.end(), [&](const ir::Input& input) { return input.name == wanted; });
    if (it == node_->inputs.end()) break;
    out.push_back(static_cast<std::size_t>(it - node_->inputs.begin()));
  }
  if (out.empty()) {
    for (std::size_t i = first; i + after < node_->inputs.size(); ++i) out.push_back(i);
  }
  return out;
}

DType NodeView::out_dtype(std::size_t index) const {
  if (index >= node_->outputs.size()) bad(Errc::kInvalidGraph, fmt::format("output {} is missing", index), node_->name);
  return node_->outputs[index].type.dtype;
}

bool NodeView::channels_last(std::size_t input_slot) const {
  if (input_slot >= node_->inputs.size()) return false;
  const ir::Format format = node_->inputs[input_slot].format;
  return format == ir::Format::kNHWC || format == ir::Format::kNDHWC;
}

const Tensor& HostCtx::in(std::size_t slot) const {
  if (!fed(slot)) bad(Errc::kInvalidGraph, "a required input is not connected", node().name);
  return inputs_[slot];
}

Tensor HostCtx::maybe(std::string_view name, std::size_t position) const {
  const std::size_t at = slot(name, position);
  return fed(at) ? inputs_[at] : Tensor{};
}

std::vector<Tensor> HostCtx::list(std::string_view name, std::size_t first, std::size_t after) const {
  std::vector<Tensor> out;
  for (const std::size_t at : slots(name, first, after)) out.push_back(in(at));
  return out;
}

void HostCtx::out(std::size_t index, Tensor value) {
  if (index >= outputs_.size()) {
    if (index < 8) return;  // trailing outputs may be left out of a file when nobody reads them
    bad(Errc::kInvalidGraph, fmt::format("the node has no output {}", index), node().name);
  }
  outputs_[index] = std::move(value);
}

}  // namespace airloom::runtime
