// Building plugin graphs. In them float16 and bfloat16 are float32, everything else keeps its type.
#pragma once

#include <memory>

#include <openvino/openvino.hpp>
#include <openvino/opsets/opset15.hpp>

#include "runtime/op.h"

namespace airloom::runtime {

namespace op = ov::opset15;
using OvValue = ov::Output<ov::Node>;

/// Element type in the plugin; throws NeedsHost for types that it would compute less exactly (64-bit floats, wide unsigned, complex).
ov::element::Type plugin_type(DType dtype);
/// Element type of a tensor handed in or out.
ov::element::Type storage_type(DType dtype);

class OvCtx : public NodeView {
 public:
  OvCtx(const ir::Node& node, std::vector<OvValue> inputs, std::vector<DType> dtypes, std::vector<bool> read)
      : NodeView(node), inputs_(std::move(inputs)), dtypes_(std::move(dtypes)), read_(std::move(read)), outputs_(node.outputs.size()) {}
  /// Whether anybody reads output `index`.
  [[nodiscard]] bool read(std::size_t index) const { return index < read_.size() && read_[index]; }
  [[nodiscard]] OvValue in(std::size_t slot) const;
  [[nodiscard]] OvValue in(std::string_view name, std::size_t position) const { return in(NodeView::slot(name, position)); }
  [[nodiscard]] bool fed(std::size_t slot) const { return slot < inputs_.size() && inputs_[slot].get_node() != nullptr; }
  [[nodiscard]] bool fed(std::string_view name, std::size_t position) const { return fed(NodeView::slot(name, position)); }
  [[nodiscard]] DType dtype(std::size_t slot) const { return dtypes_.at(slot); }
  [[nodiscard]] std::size_t in_count() const { return inputs_.size(); }
  [[nodiscard]] std::vector<OvValue> list(std::string_view name, std::size_t first, std::size_t after) const;
  void out(std::size_t index, OvValue value) {
    if (index < outputs_.size()) outputs_[index] = std::move(value);
  }
  [[nodiscard]] std::vector<OvValue>& outputs() { return outputs_; }
  /// Known rank, else NeedsHost.
  static std::int64_t rank(const OvValue& value);
  /// Constant integers behind a value, else NeedsHost.
  static Dims constant(const OvValue& value);
  [[nodiscard]] Dims constant(std::string_view name, std::size_t position) const { return constant(in(name, position)); }

 private:
  std::vector<OvValue> inputs_;
  std::vector<DType> dtypes_;
  std::vector<bool> read_;
  std::vector<OvValue> outputs_;
};

template <class T, class... Args>
OvValue mk(Args&&... args) {
  return std::make_shared<T>(std::forward<Args>(args)...)->output(0);
}
inline OvValue i64(const Dims& values) { return mk<op::Constant>(ov::element::i64, ov::Shape{values.size()}, values); }
inline OvValue i64_scalar(std::int64_t value) { return mk<op::Constant>(ov::element::i64, ov::Shape{}, Dims{value}); }
/// A scalar of `like`'s element type.
inline OvValue num(const OvValue& like, double value) {
  return mk<op::Constant>(like.get_element_type(), ov::Shape{}, std::vector<double>{value});
}
inline bool is_real(const OvValue& value) { return value.get_element_type().is_real(); }

}  // namespace airloom::runtime
