// What a converter sees: the FX node it converts, its typed arguments, and an emitter of GE operators.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "ir/graph.h"
#include "opdb/ge.gen.h"
#include "opdb/required.h"
#include "program/program.h"
#include "symbolic/expr.h"

namespace airloom::convert {

using ir::DType;
using ir::Format;
using ir::Ints;
using ir::Shape;
using ir::TensorType;
using ir::Value;
using sym::Expr;

/// Thrown by a converter for an argument or dtype it cannot express in GE; collected per FX node, so one run lists all.
class Unsupported : public std::exception {
 public:
  explicit Unsupported(std::string why) : why_(std::move(why)) {}
  [[nodiscard]] const char* what() const noexcept override { return why_.c_str(); }

 private:
  std::string why_;
};

/// A Python number in an ATen argument of kind Scalar, or a symbolic integer.
class Scalar {
 public:
  Scalar(std::int64_t v) : value_(v) {}       // NOLINT(google-explicit-constructor)
  Scalar(int v) : value_(std::int64_t{v}) {}  // NOLINT(google-explicit-constructor)
  Scalar(double v) : value_(v) {}             // NOLINT(google-explicit-constructor)
  Scalar(bool v) : value_(v) {}               // NOLINT(google-explicit-constructor)
  Scalar(Expr v) : value_(std::move(v)) {}    // NOLINT(google-explicit-constructor)
  [[nodiscard]] bool is_symbolic() const { return std::holds_alternative<Expr>(value_); }
  [[nodiscard]] bool is_floating() const { return std::holds_alternative<double>(value_); }
  [[nodiscard]] bool is_bool() const { return std::holds_alternative<bool>(value_); }
  [[nodiscard]] const Expr& expr() const { return std::get<Expr>(value_); }
  [[nodiscard]] double to_double() const;     // throws Unsupported when symbolic
  [[nodiscard]] std::int64_t to_int() const;  // truncates; throws Unsupported when symbolic
  /// Equal to a plain number; false when symbolic.
  [[nodiscard]] bool equals(double v) const { return !is_symbolic() && to_double() == v; }
  /// The dtype torch gives this number next to no tensor: bool, int64, or float32 (torch's default dtype).
  [[nodiscard]] DType default_dtype() const;

 private:
  std::variant<std::int64_t, double, bool, Expr> value_;
};

/// An argument that the schema calls Tensor and FX may give as a Python number ("x * 2" is mul.Tensor(x, 2)).
class Term {
 public:
  Term(Value v) : value_(v) {}              // NOLINT(google-explicit-constructor)
  Term(Scalar s) : value_(std::move(s)) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] const Value* tensor() const { return std::get_if<Value>(&value_); }
  [[nodiscard]] const Scalar* number() const { return std::get_if<Scalar>(&value_); }

 private:
  std::variant<Value, Scalar> value_;
};

/// One argument slot of a GE operator: a tensor, an unfed optional, or the list of a dynamic input.
class In {
 public:
  In(Value v) : values_{v} {}                                             // NOLINT(google-explicit-constructor)
  In(std::optional<Value> v) : values_{v.value_or(Value{})} {}            // NOLINT(google-explicit-constructor)
  In(std::nullopt_t) : values_{Value{}} {}                                // NOLINT(google-explicit-constructor)
  In(std::vector<Value> list) : values_(std::move(list)), list_(true) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] const std::vector<Value>& values() const { return values_; }
  [[nodiscard]] bool is_list() const { return list_; }

 private:
  std::vector<Value> values_;
  bool list_ = false;
};

/// torch.result_type's rule. Tensors with dims outrank 0-d tensors, which outrank Python numbers, within a category
/// (bool < integral < floating < complex). Source: c10/core/ScalarType promote table and "Type promotion" in torch's docs.
struct Operand {
  DType dtype;
  enum class Rank : std::uint8_t { kNumber, kZeroDim, kTensor } rank;
};
DType promote_types(DType a, DType b);
DType result_type(std::span<const Operand> operands);

/// State of one conversion, shared by the nodes: the graph and the sources of symbols.
class Context;

class Build {
 public:
  Build(Context& context, const program::Node& node) : context_(context), node_(node) {}

  // -- the FX node
  [[nodiscard]] const program::Node& node() const { return node_; }
  /// Type FX promises for output i.
  [[nodiscard]] const TensorType& out(std::size_t i = 0) const;
  [[nodiscard]] std::size_t out_count() const { return node_.outputs.size(); }
  [[nodiscard]] Context& context() { return context_; }
  /// The groups of the program (collectives).
  [[nodiscard]] const program::Group& group(std::string_view name) const;

  // -- types of values
  [[nodiscard]] const TensorType& type(Value v) const;
  [[nodiscard]] DType dtype(Value v) const { return type(v).dtype; }
  [[nodiscard]] const Shape& shape(Value v) const { return type(v).shape; }
  [[nodiscard]] std::int64_t rank(Value v) const { return type(v).rank(); }
  /// Normalised dim in [0, rank); a 0-d tensor accepts 0 and -1. Throws Unsupported when out of range.
  [[nodiscard]] std::int64_t dim_index(std::int64_t dim, std::int64_t rank) const;

  // -- emission
  /// A one-output operator. `type` is what the output will be; GE infers it again, the CPU runtime checks it.
  template <class Op>
  Value op(TensorType type, std::initializer_list<In> inputs, typename Op::Attrs attrs = {}) {
    return emit_op<Op>({std::move(type)}, inputs, attrs).front();
  }
  /// For operators whose attributes include required ones (no default argument possible).
  /// All outputs in prototype order; dynamic outputs take as many types as given.
  template <class Op>
  std::vector<Value> ops(std::vector<TensorType> types, std::initializer_list<In> inputs, typename Op::Attrs attrs = {}) {
    return emit_op<Op>(std::move(types), inputs, attrs);
  }
  /// Declares a layout that carries a channel axis on a node's outputs and the given input slots (GE's conv-like rule).
  void layout(Value v, Format format, std::initializer_list<std::size_t> input_slots);
  void set_attr(Value v, std::string name, ir::Attr value);
  /// Keeps a node that nothing reads (Assign, ...): it must run before the graph ends.
  void keep(Value v);

  // -- constants and symbolic sizes
  Value constant(ir::Tensor tensor);
  Value scalar(const Scalar& value, DType dtype);                                 // 0-d; a symbolic one is computed
  Value full(const Scalar& value, DType dtype, const Shape& shape);               // Const when one element, else Fill
  Value ints(std::span<const std::int64_t> values, DType dtype = DType::kInt64);  // 1-d
  Value ints(std::initializer_list<std::int64_t> values) { return ints(std::span(values.begin(), values.size())); }
  Value size(const Expr& value);     // 0-d int64
  Value sizes(const Shape& values);  // 1-d int64: Const, Shape(x) or Pack
  /// The elements when `v` is a Const.
  [[nodiscard]] ir::TensorRef const_value(Value v) const;

  /// A term as a tensor of `dtype`.
  Value value(const Term& term, DType dtype) {
    return term.tensor() != nullptr ? cast(*term.tensor(), dtype) : scalar(*term.number(), dtype);
  }

  // -- shorthands that emit nothing when there is nothing to do
  Value cast(Value v, DType dtype);
  Value reshape(Value v, const Shape& shape);
  Value broadcast(Value v, const Shape& shape);
  Value transpose(Value v, const Ints& perm);
  Value identity(Value v);
  Value unsqueeze(Value v, std::int64_t dim);
  Value squeeze(Value v, std::int64_t dim);  // the dim must be 1

  /// Shape of x op y under broadcasting; throws Unsupported where two symbolic dims cannot be unified.
  [[nodiscard]] Shape broadcast_shape(const Shape& a, const Shape& b) const;
  /// Operand descriptions for result_type().
  [[nodiscard]] Operand operand(Value v) const;
  [[nodiscard]] Operand operand(const Scalar& s) const { return {s.default_dtype(), Operand::Rank::kNumber}; }
  [[nodiscard]] Operand operand(const Term& t) const { return t.tensor() != nullptr ? operand(*t.tensor()) : operand(*t.number()); }
  /// torch.result_type of two terms.
  [[nodiscard]] DType common_dtype(const Term& a, const Term& b) const {
    const Operand both[] = {operand(a), operand(b)};
    return result_type(both);
  }

 private:
  template <class Op>
  std::vector<Value> emit_op(std::vector<TensorType> types, std::initializer_list<In> inputs, const typename Op::Attrs& attrs) {
    ir::Attrs list;
    attrs.visit([&list](std::string_view name, const auto& value, const auto&... fallback) {
      // Required attributes and those that differ from the prototype's default are written; the rest GE fills in.
      if constexpr (sizeof...(fallback) != 0) {
        if (same_value(value, fallback...)) return;
      }
      list.emplace(std::string(name), ir::Attr(value));
    });
    return emit(Op::kType, {Op::kInputs.data(), Op::kInputs.size()}, {Op::kOutputs.data(), Op::kOutputs.size()}, std::move(types),
                {inputs.begin(), inputs.size()}, std::move(list));
  }
  template <class T, class U>
  static bool same_value(const T& value, const U& fallback) {
    if constexpr (std::is_same_v<T, ir::TensorRef>) {
      return value == nullptr;
    } else {
      return value == T(fallback);
    }
  }
  std::vector<Value> emit(std::string_view op_type, std::span<const std::string_view> input_names,
                          std::span<const std::string_view> output_names, std::vector<TensorType> types, std::span<const In> inputs,
                          ir::Attrs attrs);

  Context& context_;
  const program::Node& node_;
};

class Context {
 public:
  Context(const program::Program& program, ir::Graph& graph) : program_(program), graph_(graph) {}
  [[nodiscard]] const program::Program& program() const { return program_; }
  [[nodiscard]] ir::Graph& graph() { return graph_; }

  /// Value of a program SSA name; null Value when absent. Weights become Const nodes on first use.
  Value lookup(const program::Ref& ref);
  void bind(const std::string& name, std::vector<Value> values) { values_[name] = std::move(values); }

  /// Makes `value`'s symbolic dims (or, for `scalar`, the value itself) the source of symbols that have none yet.
  void learn_dims(Value value);
  void learn_scalar(Value value, const Expr& symbol);
  /// 0-d int64 value of an expression, emitted with the origin of `node`. Throws Unsupported for a symbol without a source.
  Value size(const Expr& value, const program::Node& node);
  Value sizes(const Shape& values, const program::Node& node);

  std::vector<ir::NodeId> kept;              // nodes that must run before the graph ends
  std::shared_ptr<const ir::Origin> origin;  // of the FX node being converted

 private:
  friend class Build;
  Value constant(ir::Tensor tensor, const std::string& name);
  Value symbol(const std::string& name, const program::Node& node);

  struct DimSource {
    Value value;
    std::int64_t dim = 0;
    Expr expr;
  };
  const program::Program& program_;
  ir::Graph& graph_;
  std::map<std::string, std::vector<Value>, std::less<>> values_;
  std::map<std::string, const program::Input*, std::less<>> weights_;
  bool weights_indexed_ = false;
  std::map<std::string, DimSource> symbol_dims_;
  std::map<std::string, Value> sizes_;  // by printed expression
  std::map<Value, Value> shape_of_;     // Shape(x) int64
};

}  // namespace airloom::convert
