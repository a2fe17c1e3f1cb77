#include "runtime/direct.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>

#include "runtime/op.h"

namespace airloom::runtime {

/// The values seen so far, while nodes are added one by one.
class DirectBuild {
 public:
  struct Value {
    std::size_t at = 0;
    Dims shape;
    bool constant = false;
  };

  explicit DirectBuild(const std::vector<Tensor>& constants) : constants_(&constants), direct_(std::make_unique<Direct>()) {}

  /// The value in this input slot; NoForm when it is unknown or not float32.
  const Value& in(const DirectNode& node, std::size_t slot);
  /// Elements of a constant of integers; NoForm for anything else.
  [[nodiscard]] Dims ints_of(const DirectNode& node, std::size_t slot) const;
  [[nodiscard]] static bool fed(const DirectNode& node, std::size_t slot) { return slot < node.in.size() && node.in[slot] != SIZE_MAX; }
  /// Output 0 of the node, in memory of its own; `work` counts multiply-adds or what takes about as long.
  std::size_t out(const DirectNode& node, Dims shape, std::int64_t work);
  void view(const DirectNode& node, const Value& of, Dims shape) { values_[node.out] = {of.at, std::move(shape), of.constant}; }
  void loop(const DirectNode& node, Direct::Loop loop) { direct_->steps_.push_back({std::move(loop), node.node}); }
  /// Floats that loops may use as they like, or fill here and only read.
  float* scratch(std::int64_t count);
  /// Elements behind a constant.
  [[nodiscard]] const float* data(const Value& value) const { return direct_->at_[value.at]; }

  void input(std::size_t number, const Dims& shape);
  void output(std::size_t number);
  std::unique_ptr<Direct> take() { return std::move(direct_); }

 private:
  static constexpr std::int64_t kMostWork = 1 << 15;

  std::size_t place(float* address) {
    direct_->at_.push_back(address);
    return direct_->at_.size() - 1;
  }

  const std::vector<Tensor>* constants_;
  std::map<std::size_t, Value> values_;
  std::unique_ptr<Direct> direct_;
  std::int64_t work_ = 0;
};

namespace {

struct NoForm {};
using Build = DirectBuild;
using Value = DirectBuild::Value;
using Form = void (*)(Build&, const DirectNode&);

/// About how many multiply-adds an exponential or the like takes.
constexpr std::int64_t kHard = 16;

template <class F>
void unary(Build& b, const DirectNode& n, F f, std::int64_t work) {
  const Value x = b.in(n, 0);
  const std::int64_t count = runtime::count(x.shape);
  const std::size_t y = b.out(n, x.shape, count * work);
  b.loop(n, [=](float* const* at) {
    const float* __restrict from = at[x.at];
    float* __restrict to = at[y];
    for (std::int64_t i = 0; i < count; ++i) to[i] = f(from[i]);
  });
}

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }
float gelu_erf(float x) { return 0.5F * x * (1.0F + std::erf(x * 0.70710678F)); }
float gelu_tanh(float x) {
  if (std::isinf(x)) return x > 0 ? x : -0.0F;
  return x * sigmoid(1.5957691F * (x + 0.044715F * x * x * x));
}

void relu(Build& b, const DirectNode& n) {
  unary(
      b, n, [](float x) { return x < 0 ? 0.0F : x; }, 1);  // a NaN stays
}
template <float (*F)(float)>
void smooth(Build& b, const DirectNode& n) {
  unary(b, n, F, kHard);
}
float tanh_of(float x) { return std::tanh(x); }
float exp_of(float x) { return std::exp(x); }
void gelu_v2(Build& b, const DirectNode& n) {
  if (NodeView(*n.node).attr_string("approximate", "none") == "tanh") return smooth<gelu_tanh>(b, n);
  smooth<gelu_erf>(b, n);
}
void gelu(Build& b, const DirectNode& n) { smooth<gelu_tanh>(b, n); }
void exponential(Build& b, const DirectNode& n) {
  const NodeView view(*n.node);
  if (view.attr_float("base", -1.0) != -1.0 || view.attr_float("scale", 1.0) != 1.0 || view.attr_float("shift", 0.0) != 0.0) throw NoForm{};
  smooth<exp_of>(b, n);
}
void swish(Build& b, const DirectNode& n) {
  const auto scale = static_cast<float>(NodeView(*n.node).attr_float("scale", 1.0));
  unary(
      b, n, [scale](float x) { return x * sigmoid(scale * x); }, kHard);
}
void leaky_relu(Build& b, const DirectNode& n) {
  const auto slope = static_cast<float>(NodeView(*n.node).attr_float("negative_slope", 0.0));
  unary(
      b, n, [slope](float x) { return x > 0 ? x : slope * x; }, 1);
}
void muls(Build& b, const DirectNode& n) {
  const auto value = static_cast<float>(NodeView(*n.node).attr_float("value"));
  unary(
      b, n, [value](float x) { return x * value; }, 1);
}
void adds(Build& b, const DirectNode& n) {
  const auto value = static_cast<float>(NodeView(*n.node).attr_float("value"));
  unary(
      b, n, [value](float x) { return x + value; }, 1);
}

struct Plus {
  float operator()(float x, float y) const { return x + y; }
};
struct Minus {
  float operator()(float x, float y) const { return x - y; }
};
struct Times {
  float operator()(float x, float y) const { return x * y; }
};
struct Over {
  float operator()(float x, float y) const { return x / y; }
};

template <class F>
void binary(Build& b, const DirectNode& n) {
  const Value x = b.in(n, 0);
  const Value y = b.in(n, 1);
  const Dims shape = broadcast(x.shape, y.shape);
  const std::int64_t count = runtime::count(shape);
  const std::size_t z = b.out(n, shape, count);
  // One operand repeats along leading dimensions, or both are whole: the shapes of biases, scales and residuals.
  const auto repeats = [&](const Dims& own) {
    const std::int64_t size = runtime::count(own);
    const auto tail = std::find_if(own.begin(), own.end(), [](std::int64_t dim) { return dim != 1; });
    const auto rest = static_cast<std::size_t>(own.end() - tail);
    return std::equal(tail, own.end(), shape.end() - static_cast<std::ptrdiff_t>(rest)) ? size : -1;
  };
  const std::int64_t nx = repeats(x.shape);
  const std::int64_t ny = repeats(y.shape);
  if (count == 0 || nx < 0 || ny < 0 || (nx != count && ny != count)) throw NoForm{};
  const std::int64_t step = std::min(nx, ny);
  b.loop(n, [=](float* const* at) {
    const float* u = at[x.at];
    const float* v = at[y.at];
    float* to = at[z];
    const F f;
    for (std::int64_t i = 0; i < count; i += step) {
      const float* p = nx == count ? u + i : u;
      const float* q = ny == count ? v + i : v;
      for (std::int64_t k = 0; k < step; ++k) to[i + k] = f(p[k], q[k]);
    }
  });
}

void matmul(Build& b, const DirectNode& n) {
  const NodeView view(*n.node);
  const bool batch_form = n.node->type.starts_with("Batch");
  const Value x = b.in(n, view.slot("x1", 0));
  const Value w = b.in(n, view.slot("x2", 1));
  // [m, k] x [k, n]: rows of a vector or matrix times one constant matrix.
  if (x.shape.size() != 2 || w.shape.size() != 2 || !w.constant || view.attr_bool(batch_form ? "adj_x1" : "transpose_x1", false))
    throw NoForm{};
  const bool turned = view.attr_bool(batch_form ? "adj_x2" : "transpose_x2", false);
  const std::int64_t rows = x.shape[0];
  const std::int64_t inner = x.shape[1];
  const std::int64_t cols = w.shape[turned ? 0 : 1];
  if (w.shape[turned ? 1 : 0] != inner || rows == 0 || inner == 0 || cols == 0) throw NoForm{};
  for (std::size_t slot = 3; slot < n.in.size(); ++slot) {
    if (Build::fed(n, slot)) throw NoForm{};
  }
  std::optional<Value> bias;
  if (const std::size_t slot = view.slot("bias", 2); Build::fed(n, slot)) {
    bias = b.in(n, slot);
    if (bias->shape != Dims{cols}) throw NoForm{};
  }
  const std::size_t y = b.out(n, {rows, cols}, rows * inner * cols);
  const float* weight = b.data(w);
  if (turned) {  // row by row of [k, n], so that the inner loop goes along the result
    float* straight = b.scratch(inner * cols);
    for (std::int64_t j = 0; j < cols; ++j) {
      for (std::int64_t k = 0; k < inner; ++k) straight[k * cols + j] = weight[j * inner + k];
    }
    weight = straight;
  }
  b.loop(n, [=](float* const* at) {
    for (std::int64_t i = 0; i < rows; ++i) {
      const float* __restrict from = at[x.at] + i * inner;
      float* __restrict to = at[y] + i * cols;
      if (bias)
        std::copy_n(at[bias->at], cols, to);
      else
        std::fill_n(to, cols, 0.0F);
      for (std::int64_t k = 0; k < inner; ++k) {
        const float factor = from[k];
        const float* __restrict row = weight + k * cols;
        for (std::int64_t j = 0; j < cols; ++j) to[j] += factor * row[j];
      }
    }
  });
}

void softmax(Build& b, const DirectNode& n) {
  const Value x = b.in(n, 0);
  const NodeView view(*n.node);
  const auto rank = static_cast<std::int64_t>(x.shape.size());
  const Dims axes = view.attr_ints("axes", Dims{-1});
  if (rank == 0 || axes.size() != 1 || (axes[0] != -1 && axes[0] != rank - 1)) throw NoForm{};
  const std::int64_t width = x.shape.back();
  const std::int64_t count = runtime::count(x.shape);
  if (count == 0) throw NoForm{};
  const std::size_t y = b.out(n, x.shape, count * kHard);
  b.loop(n, [=](float* const* at) {
    for (std::int64_t i = 0; i < count; i += width) {
      const float* from = at[x.at] + i;
      float* to = at[y] + i;
      float top = from[0];
      for (std::int64_t k = 1; k < width; ++k) top = std::isnan(from[k]) || from[k] > top ? from[k] : top;
      float sum = 0;
      for (std::int64_t k = 0; k < width; ++k) sum += to[k] = std::exp(from[k] - top);
      for (std::int64_t k = 0; k < width; ++k) to[k] /= sum;
    }
  });
}

void layer_norm(Build& b, const DirectNode& n) {
  const Value x = b.in(n, 0);
  const NodeView view(*n.node);
  const bool v4 = n.node->type == "LayerNormV4";
  const std::size_t gamma_slot = v4 ? 2 : 1;
  const std::size_t beta_slot = v4 ? 3 : 2;
  const auto rank = static_cast<std::int64_t>(x.shape.size());
  const std::int64_t first =
      v4 ? rank - static_cast<std::int64_t>(b.ints_of(n, 1).size()) : wrap_axis(view.attr_int("begin_norm_axis", 0), rank);
  if (rank == 0 || first != rank - 1 || x.shape.back() == 0) throw NoForm{};  // over the last dimension only
  const auto epsilon = static_cast<float>(view.attr_float("epsilon", n.node->type == "LayerNorm" ? 1e-7 : 1e-5));
  const std::int64_t width = x.shape.back();
  std::optional<Value> gamma;
  std::optional<Value> beta;
  if (Build::fed(n, gamma_slot)) gamma = b.in(n, gamma_slot);
  if (Build::fed(n, beta_slot)) beta = b.in(n, beta_slot);
  if ((gamma && gamma->shape != Dims{width}) || (beta && beta->shape != Dims{width})) throw NoForm{};
  const std::int64_t count = runtime::count(x.shape);
  const std::size_t y = b.out(n, x.shape, count * 4);
  b.loop(n, [=](float* const* at) {
    for (std::int64_t i = 0; i < count; i += width) {
      const float* from = at[x.at] + i;
      float* to = at[y] + i;
      float mean = 0;
      for (std::int64_t k = 0; k < width; ++k) mean += from[k];
      mean /= static_cast<float>(width);
      float variance = 0;
      for (std::int64_t k = 0; k < width; ++k) variance += (from[k] - mean) * (from[k] - mean);
      const float scale = 1.0F / std::sqrt(variance / static_cast<float>(width) + epsilon);
      for (std::int64_t k = 0; k < width; ++k) to[k] = (from[k] - mean) * scale;
      if (gamma)
        for (std::int64_t k = 0; k < width; ++k) to[k] *= at[gamma->at][k];
      if (beta)
        for (std::int64_t k = 0; k < width; ++k) to[k] += at[beta->at][k];
    }
  });
}

void identity(Build& b, const DirectNode& n) {
  const Value x = b.in(n, 0);
  b.view(n, x, x.shape);
}
void reshape(Build& b, const DirectNode& n) {
  const Value x = b.in(n, 0);
  const Dims shape = resolve_reshape(NodeView(*n.node), x.shape, b.ints_of(n, 1));
  if (runtime::count(shape) != runtime::count(x.shape)) throw NoForm{};
  b.view(n, x, shape);
}

struct Row {
  std::string_view type;
  Form form;
};
constexpr Row kForms[] = {
    {"Add", binary<Plus>},
    {"AddV2", binary<Plus>},
    {"Adds", adds},
    {"BatchMatMulV2", matmul},
    {"Div", binary<Over>},
    {"Exp", exponential},
    {"Gelu", gelu},
    {"GeluV2", gelu_v2},
    {"Identity", identity},
    {"LayerNorm", layer_norm},
    {"LayerNormV3", layer_norm},
    {"LayerNormV4", layer_norm},
    {"LeakyRelu", leaky_relu},
    {"MatMul", matmul},
    {"MatMulV2", matmul},
    {"MatMulV3", matmul},
    {"Mul", binary<Times>},
    {"Muls", muls},
    {"RealDiv", binary<Over>},
    {"Relu", relu},
    {"Reshape", reshape},
    {"Sigmoid", smooth<sigmoid>},
    {"SoftmaxV2", softmax},
    {"Sub", binary<Minus>},
    {"Swish", swish},
    {"Tanh", smooth<tanh_of>},
};

Form form_of(std::string_view type) {
  const auto* row =
      std::lower_bound(std::begin(kForms), std::end(kForms), type, [](const Row& r, std::string_view t) { return r.type < t; });
  return row != std::end(kForms) && row->type == type ? row->form : nullptr;
}
static_assert(std::is_sorted(std::begin(kForms), std::end(kForms), [](const Row& a, const Row& b) { return a.type < b.type; }));

}  // namespace

const Value& DirectBuild::in(const DirectNode& node, std::size_t slot) {
  if (!fed(node, slot)) throw NoForm{};
  const std::size_t number = node.in[slot];
  const auto known = values_.find(number);
  if (known != values_.end()) return known->second;
  const Tensor& constant = (*constants_)[number];
  if (constant.dtype != DType::kFloat) throw NoForm{};
  direct_->kept_.push_back(constant);
  const auto* data = reinterpret_cast<const float*>(constant.data);
  return values_[number] = {place(const_cast<float*>(data)), constant.shape, true};  // never written: outputs have places of their own
}
Dims DirectBuild::ints_of(const DirectNode& node, std::size_t slot) const {
  if (!fed(node, slot)) throw NoForm{};
  const Tensor& constant = (*constants_)[node.in[slot]];
  if (!constant.present()) throw NoForm{};
  return ints(constant);
}
std::size_t DirectBuild::out(const DirectNode& node, Dims shape, std::int64_t work) {
  work_ += work;
  if (work_ > kMostWork) throw NoForm{};
  const std::size_t at = place(scratch(runtime::count(shape)));
  values_[node.out] = {at, std::move(shape), false};
  return at;
}
float* DirectBuild::scratch(std::int64_t count) {
  direct_->memory_.push_back(std::make_unique<float[]>(static_cast<std::size_t>(std::max<std::int64_t>(count, 1))));
  return direct_->memory_.back().get();
}
void DirectBuild::input(std::size_t number, const Dims& shape) {
  values_[number] = {place(nullptr), shape, false};
  direct_->input_at_.push_back(values_[number].at);
  direct_->input_shapes_.push_back(shape);
}
void DirectBuild::output(std::size_t number) {
  const auto found = values_.find(number);
  if (found == values_.end()) throw NoForm{};
  std::size_t at = found->second.at;
  const auto taken = [&](const std::vector<std::size_t>& list) { return std::find(list.begin(), list.end(), at) != list.end(); };
  if (found->second.constant || taken(direct_->input_at_) || taken(direct_->output_at_)) {
    const std::size_t from = at;  // memory of its own
    const std::int64_t count = runtime::count(found->second.shape);
    at = place(nullptr);
    direct_->steps_.push_back({[=](float* const* address) { std::copy_n(address[from], count, address[at]); }, nullptr});
  }
  direct_->output_at_.push_back(at);
  direct_->output_shapes_.push_back(found->second.shape);
}

bool Direct::knows(const ir::Node& node) { return form_of(node.type) != nullptr; }

std::unique_ptr<Direct> Direct::build(std::span<const DirectNode> nodes, const std::vector<Tensor>& constants,
                                      std::span<const std::size_t> inputs, std::span<const Dims> input_shapes,
                                      std::span<const std::size_t> outputs) {
  try {
    DirectBuild build(constants);
    for (std::size_t i = 0; i < inputs.size(); ++i) build.input(inputs[i], input_shapes[i]);
    for (const DirectNode& node : nodes) {
      const Form form = form_of(node.node->type);
      if (form == nullptr) return nullptr;
      form(build, node);
    }
    for (const std::size_t output : outputs) build.output(output);
    return build.take();
  } catch (const NoForm&) {
    return nullptr;
  } catch (const Exception&) {
    return nullptr;  // shapes or attributes that do not fit: the plugin or the host says so, with the node's name
  }
}

void Direct::run(std::span<const float* const> inputs, std::span<float* const> outputs, const Times* times) {
  for (std::size_t i = 0; i < inputs.size(); ++i) at_[input_at_[i]] = const_cast<float*>(inputs[i]);  // only read: see DirectBuild::output
  for (std::size_t i = 0; i < outputs.size(); ++i) at_[output_at_[i]] = outputs[i];
  for (const Step& step : steps_) {
    if (times == nullptr) {
      step.loop(at_.data());
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    step.loop(at_.data());
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    if (step.node != nullptr) (*times)(step.node->name, took.count());
  }
}

}  // namespace airloom::runtime
