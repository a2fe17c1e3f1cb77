// Rotary embeddings and fused attention.
#include <algorithm>
#include <cmath>

#include "runtime/check.h"
#include "runtime/families.h"
#include "runtime/ov.h"

namespace airloom::runtime {
namespace {

enum class Rot { kHalf, kInterleave, kQuarter, kInterleaveHalf };

/// Position and sign of what takes element d's place when a row of `n` is rotated.
struct Turn {
  std::int64_t from;
  double sign;
};
Turn turn(Rot mode, std::int64_t d, std::int64_t n) {
  if (mode == Rot::kInterleave) return d % 2 == 0 ? Turn{d + 1, -1} : Turn{d - 1, 1};
  const std::int64_t block = mode == Rot::kQuarter ? n / 2 : n;
  const std::int64_t half = block / 2;
  return d % block < half ? Turn{d + half, -1} : Turn{d - half, 1};
}
Tensor rotate(const Tensor& x, const Tensor& cos, const Tensor& sin, Rot mode) {
  if (x.rank() < 1) bad_value("rotary embedding of a scalar");
  const std::int64_t n = x.shape.back();
  if (n % (mode == Rot::kQuarter ? 4 : 2) != 0) bad_value(fmt::format("rotary embedding of {} elements", n));
  const std::vector<double> v = values<double>(x);
  const std::vector<double> c = stretched<double>(cos, x.shape);
  const std::vector<double> s = stretched<double>(sin, x.shape);
  std::vector<double> out(v.size());
  const auto width = static_cast<std::size_t>(n);
  for (std::size_t i = 0; i < v.size(); ++i) {
    const std::size_t row = i - i % width;
    const auto d = static_cast<std::int64_t>(i % width);
    if (mode == Rot::kInterleaveHalf) {  // de-interleaved first: evens, then odds
      const bool low = d < n / 2;
      const std::size_t pair = row + static_cast<std::size_t>(2 * (low ? d : d - n / 2));
      out[i] = low ? v[pair] * c[i] - v[pair + 1] * s[i] : v[pair + 1] * c[i] + v[pair] * s[i];
      continue;
    }
    const Turn t = turn(mode, d, n);
    out[i] = v[i] * c[i] + t.sign * v[row + static_cast<std::size_t>(t.from)] * s[i];
  }
  return make(x.dtype, x.shape, out);
}
void host_rotary_mul(HostCtx& c) { c.out(0, rotate(c.in(0), c.in(1), c.in(2), Rot::kHalf)); }
void check_rotary(CheckCtx& c) {
  c.only("mode", 0, 3);
  c.unread("rotate", 3);
}
void host_rotary(HostCtx& c) {
  const std::int64_t mode = c.attr_int("mode", 0);
  c.out(0, rotate(c.in(0), c.in(1), c.in(2),
                  mode == 0   ? Rot::kHalf
                  : mode == 1 ? Rot::kInterleave
                  : mode == 2 ? Rot::kQuarter
                              : Rot::kInterleaveHalf));
}
void check_apply_rotary(CheckCtx& c) { c.only("rotary_mode", {"half", "interleave", "quarter"}); }
void host_apply_rotary(HostCtx& c) {
  const std::string mode = c.attr_string("rotary_mode", "half");
  const Rot rot = mode == "half" ? Rot::kHalf : mode == "interleave" ? Rot::kInterleave : Rot::kQuarter;
  c.out(0, rotate(c.in("query", 0), c.in("cos", 2), c.in("sin", 3), rot));
  c.out(1, rotate(c.in("key", 1), c.in("cos", 2), c.in("sin", 3), rot));
}

// Attention ---------------------------------------------------------------------------------------

/// A tensor seen as [batch, heads, sequence, depth] whatever its layout is.
struct Heads {
  std::vector<double> v;
  std::int64_t b = 0, n = 0, s = 0, d = 0;
  std::int64_t sb = 0, sn = 0, ss = 0;
  [[nodiscard]] std::size_t row(std::int64_t batch, std::int64_t head, std::int64_t at) const {
    return static_cast<std::size_t>(batch * sb + head * sn + at * ss);
  }
};
Heads heads(const Tensor& x, const std::string& layout, std::int64_t n) {
  Heads h;
  const Dims& s = x.shape;
  h.n = n;
  if (layout == "BNSD" && s.size() == 4) {
    h.b = s[0], h.s = s[2], h.d = s[3];
    h.sb = s[1] * s[2] * s[3], h.sn = s[2] * s[3], h.ss = s[3];
    if (s[1] != n) bad_value(fmt::format("{} heads in {}, {} are declared", s[1], dims_text(s), n));
  } else if (layout == "BSND" && s.size() == 4) {
    h.b = s[0], h.s = s[1], h.d = s[3];
    h.sb = s[1] * s[2] * s[3], h.ss = s[2] * s[3], h.sn = s[3];
    if (s[2] != n) bad_value(fmt::format("{} heads in {}, {} are declared", s[2], dims_text(s), n));
  } else if (layout == "BSH" && s.size() == 3 && n > 0 && s[2] % n == 0) {
    h.b = s[0], h.s = s[1], h.d = s[2] / n;
    h.sb = s[1] * s[2], h.ss = s[2], h.sn = h.d;
  } else if (layout == "SBH" && s.size() == 3 && n > 0 && s[2] % n == 0) {
    h.b = s[1], h.s = s[0], h.d = s[2] / n;
    h.sb = s[2], h.ss = s[1] * s[2], h.sn = h.d;
  } else {
    bad(Errc::kUnsupported, fmt::format("attention layout '{}' with shape {}", layout, dims_text(s)));
  }
  h.v = values<double>(x);
  return h;
}

struct Attention {
  double scale = 1;
  bool bias_before_scale = false;
  Tensor bias, mask;
  std::int64_t sparse = 0, pre = INT32_MAX, next = INT32_MAX;
  Dims lengths, kv_lengths;  // of each batch's rows, or one for all; empty: as the tensors are
};
std::int64_t length_of(const Dims& lengths, std::int64_t batch, std::int64_t full) {
  if (lengths.empty()) return full;
  if (lengths.size() != 1 && static_cast<std::int64_t>(lengths.size()) <= batch) bad_value("fewer sequence lengths than batches");
  return std::clamp<std::int64_t>(lengths[lengths.size() == 1 ? 0 : static_cast<std::size_t>(batch)], 0, full);
}
/// Softmax statistics come back as [b, n, s] when asked for.
struct Rows {
  std::vector<double> max, sum;
};
void attend(const Heads& q, const Heads& k, const Heads& v, const Attention& a, std::vector<double>& out, Heads& shape, Rows* rows) {
  if (k.n == 0 || q.n % k.n != 0 || q.d != k.d || k.s != v.s || k.b != v.b || q.b != k.b) bad_value("query, key and value do not fit");
  const Dims full{q.b, q.n, q.s, k.s};
  const std::vector<std::int64_t> bias_map = a.bias.present() ? broadcast_map(a.bias.shape, full) : std::vector<std::int64_t>{};
  const std::vector<double> bias = a.bias.present() ? values<double>(a.bias) : std::vector<double>{};
  std::vector<std::int64_t> mask;
  std::vector<std::int64_t> mask_map;
  if (a.mask.present() && a.sparse < 2) {
    mask = values<std::int64_t>(cast(a.mask, DType::kBool));
    Dims m = a.mask.shape;
    if (m.size() == 3) m.insert(m.begin() + 1, 1);                                   // [b, q, kv]
    if (m.size() == 2 && q.s == 1 && m[0] == q.b && q.b > 1) m = {q.b, 1, 1, m[1]};  // decode: [b, kv]
    mask_map = broadcast_map(m, full);
  }
  std::vector<double> score(static_cast<std::size_t>(k.s));
  std::int64_t flat = 0;
  for (std::int64_t b = 0; b < q.b; ++b) {
    const std::int64_t kv = length_of(a.kv_lengths, b, k.s);
    const std::int64_t shift = a.sparse == 3 || a.sparse == 4 ? kv - length_of(a.lengths, b, q.s) : 0;  // bottom right corner
    for (std::int64_t n = 0; n < q.n; ++n) {
      const std::int64_t kn = n / (q.n / k.n);
      for (std::int64_t i = 0; i < q.s; ++i) {
        double top = -INFINITY;
        for (std::int64_t j = 0; j < k.s; ++j, ++flat) {
          bool keep = j < kv;
          if (!mask.empty()) keep = keep && mask[static_cast<std::size_t>(mask_map[static_cast<std::size_t>(flat)])] == 0;
          if (a.sparse == 2 || a.sparse == 3) keep = keep && j <= i + shift;
          if (a.sparse == 4 || (a.sparse == 0 && !mask.empty())) keep = keep && j >= i + shift - a.pre && j <= i + shift + a.next;
          double e = 0;
          for (std::int64_t d = 0; d < q.d; ++d)
            e += q.v[q.row(b, n, i) + static_cast<std::size_t>(d)] * k.v[k.row(b, kn, j) + static_cast<std::size_t>(d)];
          const double add = bias.empty() ? 0.0 : bias[static_cast<std::size_t>(bias_map[static_cast<std::size_t>(flat)])];
          e = a.bias_before_scale ? a.scale * (e + add) : a.scale * e + add;
          score[static_cast<std::size_t>(j)] = keep ? e : -INFINITY;
          top = std::max(top, score[static_cast<std::size_t>(j)]);
        }
        double sum = 0;
        for (double& e : score) {
          e = std::isinf(top) && top < 0 ? 0.0 : std::exp(e - top);
          sum += e;
        }
        if (rows != nullptr) {
          rows->max.push_back(top);
          rows->sum.push_back(sum);
        }
        for (std::int64_t d = 0; d < v.d; ++d) {
          double e = 0;
          for (std::int64_t j = 0; j < k.s; ++j)
            e += score[static_cast<std::size_t>(j)] * v.v[v.row(b, kn, j) + static_cast<std::size_t>(d)];
          out[shape.row(b, n, i) + static_cast<std::size_t>(d)] = sum == 0 ? 0.0 : e / sum;  // fully masked rows give zeros
        }
      }
    }
  }
}

/// Slot of key or value, which some operators have as lists.
std::size_t cache_slot(const NodeView& n, std::string_view name, std::size_t position) {
  if (n.node().type == "PromptFlashAttention") return n.slot(name, position);
  const std::vector<std::size_t> slots = n.slots(name, position, n.node().inputs.size() - position - 1);
  return slots.size() == 1 ? slots[0] : SIZE_MAX;
}
/// No paged, quantised, shared or split caches. The start indices only matter where the operator makes the bias itself.
void check_infer_attention(CheckCtx& c) {
  const bool listed = c.node().type != "PromptFlashAttention";
  c.only("input_layout", {"BSH", "BSND", "BNSD", "BNSD_BSND"});
  c.only("sparse_mode", 0, 4);
  c.only("pse_type", 0, 0);
  for (const char* name : {"key", "value"}) {
    if (listed && cache_slot(c, name, name[0] == 'k' ? 1 : 2) == SIZE_MAX) c.refuse(fmt::format("with more or less than one {}", name));
  }
  c.reads_only({"key", "value", "pse_shift", "atten_mask", "actual_seq_lengths", "actual_seq_lengths_kv", "q_start_idx", "kv_start_idx"});
  const std::int64_t out = c.attr_int("out_dtype", 0);
  if (out != 0 && out != static_cast<std::int64_t>(c.dtype(0))) c.refuse(fmt::format("with out_dtype = {}", out));
}
/// Fused attention for inference.
void host_infer_attention(HostCtx& c) {
  const std::string& type = c.node().type;
  const Tensor& query = c.in("query", 0);
  const Tensor& key = c.in(cache_slot(c, "key", 1));
  const Tensor& value = c.in(cache_slot(c, "value", 2));
  std::string layout = c.attr_string("input_layout", "BSH");
  std::string out_layout = layout;
  if (layout == "BNSD_BSND") {
    layout = "BNSD";
    out_layout = "BSND";
  }
  const std::int64_t n = c.attr_int("num_heads");
  std::int64_t kv_n = c.attr_int("num_key_value_heads", type == "FusedInferAttentionScore" ? 0 : 1);
  if (kv_n == 0) kv_n = n;
  Attention a;
  a.scale = c.attr_float(type == "FusedInferAttentionScore" ? "scale" : "scale_value", 1.0);
  a.bias = c.maybe("pse_shift", 3);
  a.mask = c.maybe("atten_mask", 4);
  const Heads q = heads(query, layout, n);
  a.sparse = q.s == 1 ? 0 : c.attr_int("sparse_mode", 0);
  a.pre = q.s == 1 ? INT32_MAX : c.attr_int("pre_tokens", type == "PromptFlashAttention" ? 214748647 : INT32_MAX);
  a.next = q.s == 1 ? INT32_MAX : c.attr_int("next_tokens", type == "PromptFlashAttention" ? 0 : INT32_MAX);
  if (a.sparse == 1) a.pre = a.next = INT32_MAX;
  if (const Tensor own = c.maybe("actual_seq_lengths", SIZE_MAX); own.present() && type != "IncreFlashAttention") a.lengths = ints(own);
  if (const Tensor kv = c.maybe(type == "IncreFlashAttention" ? "actual_seq_lengths" : "actual_seq_lengths_kv", SIZE_MAX); kv.present())
    a.kv_lengths = ints(kv);
  const Heads k = heads(key, layout, kv_n);
  const Heads v = heads(value, layout, kv_n);
  Dims shape = query.shape;
  if (out_layout != layout) std::swap(shape[1], shape[2]);
  shape.back() = out_layout == "BSH" ? n * v.d : v.d;
  Heads to = heads(zeros(query.dtype, shape), out_layout, n);
  std::vector<double> out(to.v.size(), 0.0);
  Rows rows;
  attend(q, k, v, a, out, to, &rows);
  c.out(0, make(query.dtype, shape, out));
  if (c.out_count() > 1) {
    if (c.attr_bool("softmax_lse_flag", false)) {
      std::vector<double> lse;
      for (std::size_t i = 0; i < rows.max.size(); ++i) lse.push_back(rows.sum[i] == 0 ? INFINITY : rows.max[i] + std::log(rows.sum[i]));
      c.out(1, make(DType::kFloat, {q.b, q.n, q.s, 1}, lse));
    } else {
      c.out(1, zeros(DType::kFloat, {1}));
    }
  }
}
void check_flash_score(CheckCtx& c) {
  c.only("input_layout", {"BSH", "SBH", "BSND", "BNSD"});
  c.only("sparse_mode", 0, 4);
  if (const double keep = c.attr_float("keep_prob", 1.0); keep != 1.0) c.refuse(fmt::format("with keep_prob = {}", keep));
  c.reads_only({"real_shift", "atten_mask", "q_start_idx", "kv_start_idx"});
}
void host_flash_score(HostCtx& c) {
  const Tensor& query = c.in("query", 0);
  const std::string layout = c.attr_string("input_layout", "");
  const std::int64_t n = c.attr_int("head_num");
  Attention a;
  a.scale = c.attr_float("scale_value", 1.0);
  a.bias_before_scale = true;
  a.bias = c.maybe("real_shift", 3);
  a.mask = c.maybe("atten_mask", 6);
  a.sparse = c.attr_int("sparse_mode", 0);
  a.pre = c.attr_int("pre_tockens", INT32_MAX);
  a.next = c.attr_int("next_tockens", INT32_MAX);
  if (a.sparse == 1) a.pre = a.next = INT32_MAX;
  const Heads q = heads(query, layout, n);
  const Tensor& key = c.in("key", 1);
  std::int64_t kv_n = n;
  if (layout == "BNSD")
    kv_n = key.shape.at(1);
  else if (layout == "BSND")
    kv_n = key.shape.at(2);
  else if (key.rank() == 3 && q.d != 0)
    kv_n = key.shape[2] / q.d;
  const Heads k = heads(key, layout, kv_n);
  const Heads v = heads(c.in("value", 2), layout, kv_n);
  Dims shape = query.shape;
  shape.back() = shape.size() == 3 ? n * v.d : v.d;
  Heads to = heads(zeros(query.dtype, shape), layout, n);
  std::vector<double> out(to.v.size(), 0.0);
  Rows rows;
  attend(q, k, v, a, out, to, &rows);
  std::vector<double> max8;
  std::vector<double> sum8;
  for (std::size_t i = 0; i < rows.max.size(); ++i) {
    max8.insert(max8.end(), 8, rows.max[i]);
    sum8.insert(sum8.end(), 8, rows.sum[i]);
  }
  c.out(0, make(DType::kFloat, {q.b, q.n, q.s, 8}, max8));
  c.out(1, make(DType::kFloat, {q.b, q.n, q.s, 8}, sum8));
  c.out(2, zeros(query.dtype, {0}));
  c.out(3, make(query.dtype, shape, out));
}
/// Plugin form of the plain case: [b, n, s, d], no mask bands, one head count.
void ov_infer_attention(OvCtx& c) {
  const std::string& type = c.node().type;
  const OvValue q = c.in("query", 0);
  const OvValue key = c.in(cache_slot(c, "key", 1));
  const OvValue value = c.in(cache_slot(c, "value", 2));
  std::int64_t kv_n = c.attr_int("num_key_value_heads", type == "FusedInferAttentionScore" ? 0 : 1);
  if (kv_n == 0) kv_n = c.attr_int("num_heads");
  const bool bands =
      c.fed("atten_mask", 4) && (c.attr_int("pre_tokens", type == "PromptFlashAttention" ? 214748647 : INT32_MAX) < (1 << 24) ||
                                 c.attr_int("next_tokens", type == "PromptFlashAttention" ? 0 : INT32_MAX) < (1 << 24));
  if (c.attr_string("input_layout", "BSH") != "BNSD" || kv_n != c.attr_int("num_heads") || !is_real(q) || c.read(1) ||
      c.attr_int("sparse_mode", 0) > 1 || (bands && c.attr_int("sparse_mode", 0) == 0)) {
    throw NeedsHost{};
  }
  for (std::size_t i = 0; i < c.in_count(); ++i) {
    const std::string& name = c.node().inputs[i].name;
    const bool known =
        name == "query" || name.starts_with("key") || name.starts_with("value") || name == "pse_shift" || name == "atten_mask";
    if (c.fed(i) && !known) throw NeedsHost{};
  }
  OvValue score = mk<op::Multiply>(mk<op::MatMul>(q, key, false, true),
                                   num(q, c.attr_float(type == "FusedInferAttentionScore" ? "scale" : "scale_value", 1.0)));
  if (c.fed("pse_shift", 3)) score = mk<op::Add>(score, c.in("pse_shift", 3));
  if (c.fed("atten_mask", 4)) {
    const OvValue mask = c.in("atten_mask", 4);
    if (mask.get_element_type() != ov::element::boolean || OvCtx::rank(mask) == 3 || OvCtx::rank(mask) < 2) throw NeedsHost{};
    // A fully masked row gives zeros: finite scores keep softmax defined, the last step clears masked weights.
    score = mk<op::Select>(mask, num(score, -3.0e38), score);
    const OvValue weights = mk<op::Select>(mask, num(score, 0), mk<op::Softmax>(score, 3));
    return c.out(0, mk<op::MatMul>(weights, value));
  }
  c.out(0, mk<op::MatMul>(mk<op::Softmax>(score, 3), value));
}

constexpr Op kTable[] = {
    {"RotaryMul", host_rotary_mul, nullptr},
    checked({"RotaryPositionEmbedding", host_rotary, nullptr}, check_rotary),
    checked({"ApplyRotaryPosEmb", host_apply_rotary, nullptr}, check_apply_rotary),
    checked({"FusedInferAttentionScore", host_infer_attention, ov_infer_attention}, check_infer_attention),
    checked({"PromptFlashAttention", host_infer_attention, ov_infer_attention}, check_infer_attention),
    checked({"IncreFlashAttention", host_infer_attention, nullptr}, check_infer_attention),
    checked({"FlashAttentionScore", host_flash_score, nullptr}, check_flash_score),
};

}  // namespace

std::span<const Op> attention_ops() { return kTable; }

}  // namespace airloom::runtime
