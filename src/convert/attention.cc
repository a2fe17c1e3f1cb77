// Scaled dot-product attention, in its math form.
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "convert/elementwise.h"
#include "convert/matmul.h"
#include "convert/registry.h"

namespace airloom::convert {

namespace {

/// keep[i, j] = j <= i for i < L, j < S (torch's is_causal: aligned at the top left).
Value causal_mask(Build& b, const Expr& length, const Expr& source) {
  const auto l = length.value();
  const auto s = source.value();
  if (l && s) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(*l * *s));
    for (std::int64_t i = 0; i < *l; ++i) {
      for (std::int64_t j = 0; j < *s; ++j) bytes[static_cast<std::size_t>(i * *s + j)] = static_cast<std::byte>(j <= i);
    }
    return b.constant(ir::Tensor::from_bytes(DType::kBool, {*l, *s}, std::move(bytes)));
  }
  const auto range = [&](const Expr& count) {
    return b.op<ge::Range>({DType::kInt64, {count}, false}, {b.scalar(0, DType::kInt64), b.size(count), b.scalar(1, DType::kInt64)});
  };
  return b.op<ge::GreaterEqual>({DType::kBool, {length, source}, false}, {b.unsqueeze(range(length), 1), range(source)});
}

/// Rows whose mask hides everything give zeros in torch, not NaN.
Value zero_masked_rows(Build& b, Value probabilities, Value float_mask) {
  const DType dtype = b.dtype(float_mask);
  const Value hidden =
      b.op<ge::Equal>(b.type(float_mask).with(DType::kBool), {float_mask, b.scalar(-std::numeric_limits<double>::infinity(), dtype)});
  Shape kept = b.shape(float_mask);
  kept.back() = Expr(1);
  const Value rows = b.op<ge::ReduceAll>({DType::kBool, kept, false}, {hidden, b.ints({b.rank(float_mask) - 1})}, {.keep_dims = true});
  return b.op<ge::SelectV2>(b.type(probabilities), {rows, b.scalar(0.0, b.dtype(probabilities)), probabilities});
}

double lowest(DType dtype) {
  switch (dtype) {
    case DType::kFloat16: return -65504.0;
    case DType::kBFloat16: return -3.3895313892515355e38;
    case DType::kDouble: return std::numeric_limits<double>::lowest();
    default: return -std::numeric_limits<float>::max();
  }
}

// aten::scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, bool
// is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor
Value scaled_dot_product_attention(Build& b, Value query, Value key, Value value, std::optional<Value> attn_mask, double dropout_p,
                                   bool is_causal, std::optional<double> scale, bool enable_gqa) {
  if (dropout_p != 0.0) throw Unsupported("dropout_p is not 0: call model.eval() before the export");
  const DType dtype = b.dtype(query);
  const std::int64_t rank = b.rank(query);
  const auto last = static_cast<std::size_t>(rank - 1);
  const Expr length = b.shape(query)[last - 1];
  const Expr source = b.shape(key)[last - 1];
  const auto width = b.shape(query)[last].value();
  std::optional<double> factor = scale;
  if (!factor && width) factor = 1.0 / std::sqrt(static_cast<double>(*width));
  const Value scaled_by = factor ? Value{} : b.op<ge::Rsqrt>({dtype, {}, false}, {b.scalar(Scalar(b.shape(query)[last]), dtype)});

  // Grouped queries: [.., Hq, L, E] is seen as [.., Hkv, group, L, E], and one extra dim of 1 lets keys and values broadcast.
  const Shape result_shape = b.out().shape;
  Shape grouped_out = result_shape;
  bool grouped = false;
  if (enable_gqa && rank >= 3) {
    const Expr heads = b.shape(query)[last - 2];
    const Expr kv_heads = b.shape(key)[last - 2];
    if (!(heads == kv_heads)) {
      grouped = true;
      const Expr group = sym::floor_div(heads, kv_heads);
      const auto split = [&](Shape shape) {
        shape[last - 2] = kv_heads;
        shape.insert(shape.begin() + rank - 2, group);
        return shape;
      };
      query = b.reshape(query, split(b.shape(query)));
      key = b.unsqueeze(key, rank - 2);
      value = b.unsqueeze(value, rank - 2);
      grouped_out = split(result_shape);
      if (attn_mask && b.rank(*attn_mask) >= 3) {
        const Shape mask_shape = b.shape(*attn_mask);
        const std::size_t head_dim = mask_shape.size() - 3;
        Shape shape = mask_shape;
        const bool shared = mask_shape[head_dim] == Expr(1);
        shape[head_dim] = shared ? Expr(1) : kv_heads;
        shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(head_dim) + 1, shared ? Expr(1) : group);
        attn_mask = b.reshape(*attn_mask, shape);
      }
    }
  }

  Shape score_shape = grouped_out;
  score_shape.back() = source;
  const TensorType scores_type{dtype, score_shape, false};
  if (!factor) query = b.op<ge::Mul>(b.type(query), {query, scaled_by});
  if (factor && *factor != 1.0) query = times(b, b.type(query), query, *factor);
  Value scores = matrix_product(b, query, key, scores_type, true, std::nullopt);

  std::optional<Value> keep;  // bool, true = attend
  if (is_causal) keep = causal_mask(b, length, source);
  std::optional<Value> bias;
  if (attn_mask) {
    if (b.dtype(*attn_mask) == DType::kBool) {
      keep = keep ? b.op<ge::LogicalAnd>({DType::kBool, b.broadcast_shape(b.shape(*keep), b.shape(*attn_mask)), false}, {*keep, *attn_mask})
                  : *attn_mask;
    } else {
      bias = b.cast(*attn_mask, dtype);
      scores = b.op<ge::Add>(scores_type, {scores, *bias});
    }
  }
  // A finite floor instead of -inf: rows that hide everything stay finite, and are zeroed after the softmax. A causal row always keeps its
  // first key.
  if (keep)
    scores = b.op<ge::SelectV2>(scores_type,
                                {*keep, scores, b.scalar(attn_mask ? lowest(dtype) : -std::numeric_limits<double>::infinity(), dtype)});
  Value probabilities = b.op<ge::SoftmaxV2>(scores_type, {scores}, {.axes = {-1}});
  if (keep && attn_mask) probabilities = b.op<ge::SelectV2>(scores_type, {*keep, probabilities, b.scalar(0.0, dtype)});
  if (bias) probabilities = zero_masked_rows(b, probabilities, *bias);
  const Value result = matrix_product(b, probabilities, value, b.out().with(grouped_out), false, std::nullopt);
  return grouped ? b.reshape(result, result_shape) : result;
}

constexpr Converter table[] = {
    {"aten.scaled_dot_product_attention.default", bind<scaled_dot_product_attention>},
};

}  // namespace

std::span<const Converter> attention_table() { return table; }

}  // namespace airloom::convert
