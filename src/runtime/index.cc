// Gather, scatter, advanced indexing, masks, uniques.
#include <algorithm>
#include <map>
#include <numeric>

#include "runtime/check.h"
#include "runtime/families.h"
#include "runtime/ov.h"

namespace airloom::runtime {
namespace {

Tensor copy_of(const Tensor& x) {
  Tensor out = allocate(x.dtype, x.shape);
  std::memcpy(writable(out), x.data, static_cast<std::size_t>(x.nbytes()));
  return out;
}
Tensor at_least_1d(const Tensor& x) { return x.rank() == 0 ? x.reshaped({1}) : x; }

// ---------------------------------------------------------------- gather

/// Negative positions wrap only where the operator says so; what is then outside gives a zero.
std::int64_t place(std::int64_t at, std::int64_t dim, bool negatives) {
  if (negatives && at < 0) at += dim;
  return at < 0 || at >= dim ? -1 : at;
}

Tensor gather(const Tensor& data, const Tensor& indices, std::int64_t axis, std::int64_t batch, bool negatives) {
  const Tensor x = at_least_1d(data);
  axis = wrap_axis(axis, x.rank());
  if (batch < 0) batch += indices.rank();
  if (batch < 0 || batch > axis || batch > indices.rank() || !std::equal(x.shape.begin(), x.shape.begin() + batch, indices.shape.begin())) {
    bad_value(fmt::format("gather: {} batch dimensions do not fit {} and {}", batch, dims_text(x.shape), dims_text(indices.shape)));
  }
  Dims shape(x.shape.begin(), x.shape.begin() + axis);
  shape.insert(shape.end(), indices.shape.begin() + batch, indices.shape.end());
  shape.insert(shape.end(), x.shape.begin() + axis + 1, x.shape.end());
  const Split3 s = split_at(x.shape, axis);
  const std::int64_t batches = count(Dims(x.shape.begin(), x.shape.begin() + batch));
  const std::int64_t middle = batches == 0 ? 0 : s.outer / batches;
  const Dims at = ints(indices);
  const std::int64_t per = batches == 0 ? 0 : static_cast<std::int64_t>(at.size()) / batches;
  Tensor out = allocate(x.dtype, shape);
  const std::int64_t bytes = s.inner * ir::item_size(x.dtype);
  std::byte* to = writable(out);
  if (count(shape) == 0) return out;
  for (std::int64_t o = 0; o < s.outer; ++o) {
    const std::int64_t b = o / middle;
    for (std::int64_t k = 0; k < per; ++k, to += bytes) {
      const std::int64_t p = place(at[static_cast<std::size_t>(b * per + k)], s.mid, negatives);
      if (p < 0)
        std::memset(to, 0, static_cast<std::size_t>(bytes));
      else
        std::memcpy(to, x.data + (o * s.mid + p) * bytes, static_cast<std::size_t>(bytes));
    }
  }
  return out;
}
void check_gather(CheckCtx& c) { c.never("is_preprocessed"); }
void host_gather(HostCtx& c) {
  const std::int64_t batch = c.attr_int("batch_dims", 0);
  c.out(0, gather(c.in(0), c.in(1), batch, batch, c.attr_bool("negative_index_support", false)));
}
void host_gather_v2(HostCtx& c) {
  const bool d = c.node().type == "GatherV2D";
  const std::int64_t axis = d ? c.attr_int("axis") : ints(c.in("axis", 2)).at(0);
  c.out(0, gather(c.in(0), c.in(1), axis, c.attr_int("batch_dims", 0), c.attr_bool("negative_index_support", false)));
}
void host_gather_elements(HostCtx& c) {
  const Tensor x = at_least_1d(c.in(0));
  const Tensor index = at_least_1d(c.in("index", 1));
  const std::int64_t axis = wrap_axis(c.attr_int("dim", 0), x.rank());
  if (index.rank() != x.rank()) bad_value("GatherElements: index and x have different ranks");
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    if (static_cast<std::int64_t>(i) != axis && index.shape[i] > x.shape[i])
      bad_value(fmt::format("GatherElements: index {} exceeds x {}", dims_text(index.shape), dims_text(x.shape)));
  }
  const Dims at = ints(index);
  const Dims strides = row_strides(x.shape);
  const auto a = static_cast<std::size_t>(axis);
  std::vector<std::int64_t> map;
  for_each(index.shape, [&](const Dims& i, std::int64_t flat) {
    const std::int64_t p = place(at[static_cast<std::size_t>(flat)], x.shape[a], true);
    if (p < 0)
      bad_value(fmt::format("GatherElements: index {} is outside dimension {} of {}", at[static_cast<std::size_t>(flat)], axis,
                            dims_text(x.shape)));
    map.push_back(dot(i, strides) + (p - i[a]) * strides[a]);
  });
  c.out(0, pick(x, c.in("index", 1).shape, map));
}

/// Row starts (in slices) that the last dimension of `indices` names; -1 where outside.
struct NdRows {
  std::vector<std::int64_t> start;
  std::int64_t slice = 1;  // elements per row
};
NdRows nd_rows(const Dims& x, const Tensor& indices, bool negatives) {
  if (indices.rank() < 1) bad_value("N-d indices need at least one dimension");
  const std::int64_t k = indices.shape.back();
  if (k > static_cast<std::int64_t>(x.size())) bad_value(fmt::format("indices of depth {} for shape {}", k, dims_text(x)));
  NdRows rows;
  for (std::size_t i = static_cast<std::size_t>(k); i < x.size(); ++i) rows.slice *= x[i];
  const Dims at = ints(indices);
  const std::int64_t n = count(Dims(indices.shape.begin(), indices.shape.end() - 1));
  for (std::int64_t r = 0; r < n; ++r) {
    std::int64_t start = 0;
    for (std::int64_t j = 0; j < k && start >= 0; ++j) {
      const std::int64_t p = place(at[static_cast<std::size_t>(r * k + j)], x[static_cast<std::size_t>(j)], negatives);
      start = p < 0 ? -1 : start * x[static_cast<std::size_t>(j)] + p;
    }
    rows.start.push_back(start);
  }
  return rows;
}
void host_gather_nd(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Tensor& indices = c.in(1);
  const NdRows rows = nd_rows(x.shape, indices, c.attr_bool("negative_index_support", false));
  Dims shape(indices.shape.begin(), indices.shape.end() - 1);
  shape.insert(shape.end(), x.shape.begin() + indices.shape.back(), x.shape.end());
  std::vector<std::int64_t> map;
  for (const std::int64_t start : rows.start) {
    for (std::int64_t i = 0; i < rows.slice; ++i) map.push_back(start < 0 ? -1 : start * rows.slice + i);
  }
  c.out(0, pick(x, shape, map));
}

// ---------------------------------------------------------------- advanced indexing

struct Advanced {
  Dims shape;                     // of the result
  std::vector<std::int64_t> map;  // flat position in x of every result element
};
Advanced advanced(const Tensor& x, const Dims& mask, const std::vector<Tensor>& indices) {
  std::vector<std::size_t> dims;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] == 1) dims.push_back(i);
  }
  if (dims.empty() || dims.size() != indices.size() || dims.back() >= x.shape.size()) {
    bad_value(fmt::format("indexing {} with mask {} and {} index tensors", dims_text(x.shape), dims_text(mask), indices.size()));
  }
  Dims block;
  for (const Tensor& index : indices) block = broadcast(block, index.shape);
  std::vector<Dims> at;
  for (const Tensor& index : indices) {
    if (index.dtype == DType::kBool) bad_value("boolean index tensors are not accepted");
    at.push_back(stretched<std::int64_t>(index, block));
  }
  const bool together = dims.back() - dims.front() + 1 == dims.size();
  const std::size_t block_at = together ? dims.front() : 0;
  Dims kept;
  std::vector<std::size_t> kept_dims;
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    if (std::find(dims.begin(), dims.end(), i) == dims.end()) {
      kept.push_back(x.shape[i]);
      kept_dims.push_back(i);
    }
  }
  Advanced out;
  out.shape.assign(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(block_at));
  out.shape.insert(out.shape.end(), block.begin(), block.end());
  out.shape.insert(out.shape.end(), kept.begin() + static_cast<std::ptrdiff_t>(block_at), kept.end());
  const Dims strides = row_strides(x.shape);
  const Dims block_strides = row_strides(block);
  for_each(out.shape, [&](const Dims& i, std::int64_t) {
    std::int64_t b = 0;
    for (std::size_t d = 0; d < block.size(); ++d) b += i[block_at + d] * block_strides[d];
    std::int64_t flat = 0;
    for (std::size_t k = 0; k < dims.size(); ++k) {
      const std::int64_t wanted = at[k][static_cast<std::size_t>(b)];
      const std::int64_t p = place(wanted, x.shape[dims[k]], true);
      if (p < 0) bad_value(fmt::format("index {} is outside dimension {} of {}", wanted, dims[k], dims_text(x.shape)));
      flat += p * strides[dims[k]];
    }
    for (std::size_t k = 0; k < kept_dims.size(); ++k) flat += i[k < block_at ? k : k + block.size()] * strides[kept_dims[k]];
    out.map.push_back(flat);
  });
  return out;
}
void host_index(HostCtx& c) {
  const bool by_tensor = c.node().type == "IndexByTensor";
  const Dims mask = by_tensor ? c.attr_ints("indices_mask") : ints(c.in("indexed_sizes", 1));
  const Advanced a = advanced(c.in(0), mask, c.list("indices", by_tensor ? 1 : 3, 0));
  c.out(0, pick(c.in(0), a.shape, a.map));
}

// ---------------------------------------------------------------- scatter

enum class Mode { kSet, kAdd, kSub, kMul, kMax, kMin };

/// out[map[i]] (op)= updates[i]; negative targets are skipped.
Tensor apply(const Tensor& x, const std::vector<std::int64_t>& map, const Tensor& updates, Mode mode) {
  if (updates.dtype != x.dtype)
    bad_value(fmt::format("updates are {}, the tensor {}", ir::info(updates.dtype).torch, ir::info(x.dtype).torch));
  if (static_cast<std::int64_t>(map.size()) != updates.numel())
    bad_value(fmt::format("{} updates for {} positions", updates.numel(), map.size()));
  if (mode == Mode::kSet) {
    Tensor out = copy_of(x);
    const std::int64_t item = ir::item_size(x.dtype);
    for (std::size_t i = 0; i < map.size(); ++i) {
      if (map[i] >= 0)
        std::memcpy(writable(out) + map[i] * item, updates.data + static_cast<std::int64_t>(i) * item, static_cast<std::size_t>(item));
    }
    return out;
  }
  const auto run = [&](auto tag) {
    using T = decltype(tag);
    std::vector<T> v = values<T>(x);
    const std::vector<T> u = values<T>(updates);
    for (std::size_t i = 0; i < map.size(); ++i) {
      if (map[i] < 0) continue;
      T& e = v[static_cast<std::size_t>(map[i])];
      if (mode == Mode::kAdd)
        e = e + u[i];
      else if (mode == Mode::kSub)
        e = e - u[i];
      else if (mode == Mode::kMul)
        e = e * u[i];
      else if constexpr (!std::is_same_v<T, Complex>)
        e = mode == Mode::kMax ? std::max(e, u[i]) : std::min(e, u[i]);
    }
    return make(x.dtype, x.shape, v);
  };
  if (ir::is_complex(x.dtype)) return run(Complex{});
  if (ir::is_floating(x.dtype)) return run(double{});
  if (mode == Mode::kMax || mode == Mode::kMin) return x.dtype == DType::kUInt64 ? run(std::uint64_t{}) : run(std::int64_t{});
  return run(std::uint64_t{});  // wraps; bool: add is OR, mul is AND
}

void check_scatter_elements(CheckCtx& c) {
  c.only("reduction", {"none", "add", "mul"});
  if (!c.attr_bool("include_self", true) && c.attr_string("reduction", "none") != "none") c.refuse("without include_self");
}
void host_scatter_elements(HostCtx& c) {
  const Tensor x = at_least_1d(c.in(0));
  const Tensor index = at_least_1d(c.in("indices", 1));
  const Tensor updates = at_least_1d(c.in("updates", 2));
  const std::int64_t axis = wrap_axis(c.attr_int("axis", 0), x.rank());
  const std::string reduction = c.attr_string("reduction", "none");
  const Mode mode = reduction == "add" ? Mode::kAdd : reduction == "mul" ? Mode::kMul : Mode::kSet;
  const bool v2 = c.node().type == "ScatterElementsV2";
  if (index.rank() != x.rank() || updates.rank() != x.rank()) bad_value("ScatterElements: ranks differ");
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    if (index.shape[i] > updates.shape[i] || (static_cast<std::int64_t>(i) != axis && index.shape[i] > x.shape[i])) {
      bad_value(fmt::format("ScatterElements: indices {} do not fit updates {} and data {}", dims_text(index.shape),
                            dims_text(updates.shape), dims_text(x.shape)));
    }
  }
  const Dims at = ints(index);
  const Dims strides = row_strides(x.shape);
  const Dims update_strides = row_strides(updates.shape);
  const auto a = static_cast<std::size_t>(axis);
  std::vector<std::int64_t> map;
  std::vector<std::int64_t> from;
  for_each(index.shape, [&](const Dims& i, std::int64_t flat) {
    const std::int64_t wanted = at[static_cast<std::size_t>(flat)];
    const std::int64_t p = place(wanted, x.shape[a], !v2);
    if (p < 0 && !v2) bad_value(fmt::format("ScatterElements: index {} is outside dimension {} of {}", wanted, axis, dims_text(x.shape)));
    map.push_back(p < 0 ? -1 : dot(i, strides) + (p - i[a]) * strides[a]);
    from.push_back(dot(i, update_strides));
  });
  c.out(0, apply(x, map, pick(updates, {static_cast<std::int64_t>(from.size())}, from), mode).reshaped(c.in(0).shape));
}

std::vector<std::int64_t> nd_map(const NdRows& rows) {
  std::vector<std::int64_t> map;
  for (const std::int64_t start : rows.start) {
    for (std::int64_t i = 0; i < rows.slice; ++i) map.push_back(start < 0 ? -1 : start * rows.slice + i);
  }
  return map;
}
void check_rows(const NdRows& rows, const std::string& type) {
  if (std::find(rows.start.begin(), rows.start.end(), -1) != rows.start.end()) bad_value(type + ": an index is outside the tensor");
}
void host_scatter_nd(HostCtx& c) {
  const Dims shape = ints(c.in("shape", 2));
  const NdRows rows = nd_rows(shape, c.in(0), false);
  check_rows(rows, "ScatterNd");
  c.out(0, apply(zeros(c.in(1).dtype, shape), nd_map(rows), c.in(1), Mode::kAdd));
}
template <Mode M>
void host_scatter_nd_into(HostCtx& c) {
  const NdRows rows = nd_rows(c.in(0).shape, c.in(1), false);
  if (c.node().type != "ScatterNdUpdate") check_rows(rows, c.node().type);
  c.out(0, apply(c.in(0), nd_map(rows), c.in(2), M));
}
/// On dimension 0: indices of any rank, updates of shape indices + rest.
template <Mode M>
void host_scatter_rows(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Tensor& indices = c.in(1);
  if (x.rank() < 1) bad_value("a scatter over rows needs at least one dimension");
  Dims deep = indices.shape;
  deep.push_back(1);
  const NdRows rows = nd_rows(x.shape, indices.reshaped(deep), false);
  if (M != Mode::kSet) check_rows(rows, c.node().type);
  const std::vector<std::int64_t> map = nd_map(rows);
  const Tensor updates =
      c.in(2).numel() == 1 && M != Mode::kSet ? broadcast_to(c.in(2).reshaped({1}), {static_cast<std::int64_t>(map.size())}) : c.in(2);
  c.out(0, apply(x, map, updates, M));
}
void host_index_put(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Tensor& value = c.in("value", 1);
  const Advanced a = advanced(x, ints(c.in("indexed_sizes", 2)), c.list("indices", 4, 0));
  c.out(0, apply(x, a.map, broadcast_to(value, a.shape), c.attr_bool("accumulate", false) ? Mode::kAdd : Mode::kSet));
}
void host_index_add(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Dims at = ints(c.in("indices", 1));
  Tensor updates = c.in("updates", 2);
  const std::int64_t axis = wrap_axis(c.attr_int("axis"), x.rank());
  if (const Tensor alpha = c.maybe("alpha", 3); alpha.present()) {
    const auto run = [&](auto tag) {
      using T = decltype(tag);
      std::vector<T> v = values<T>(updates);
      const T k = values<T>(alpha).at(0);
      for (T& e : v) e = e * k;
      updates = make(updates.dtype, updates.shape, v);
    };
    if (ir::is_floating(updates.dtype))
      run(double{});
    else
      run(std::uint64_t{});
  }
  Dims want = x.shape;
  want[static_cast<std::size_t>(axis)] = static_cast<std::int64_t>(at.size());
  if (updates.shape != want)
    bad_value(fmt::format("{}: updates {} should be {}", c.node().type, dims_text(updates.shape), dims_text(want)));
  const Dims strides = row_strides(x.shape);
  const auto a = static_cast<std::size_t>(axis);
  std::vector<std::int64_t> map;
  for_each(want, [&](const Dims& i, std::int64_t) {
    const std::int64_t p = place(at[static_cast<std::size_t>(i[a])], x.shape[a], false);
    map.push_back(p < 0 ? -1 : dot(i, strides) + (p - i[a]) * strides[a]);
  });
  c.out(0, apply(x, map, updates, Mode::kAdd));
}
void host_index_fill(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Dims at = ints(c.in("indices", 1));
  const Tensor value = c.in(2).reshaped({1});
  const std::int64_t axis = wrap_axis(c.attr_int("dim"), x.rank());
  if (value.dtype != x.dtype) bad_value("IndexFill's value must have x's element type");
  const auto a = static_cast<std::size_t>(axis);
  std::vector<bool> hit(static_cast<std::size_t>(x.shape[a]), false);
  for (const std::int64_t i : at) {
    if (const std::int64_t p = place(i, x.shape[a], true); p >= 0) hit[static_cast<std::size_t>(p)] = true;
  }
  std::vector<std::int64_t> map;
  for_each(x.shape, [&](const Dims& i, std::int64_t flat) { map.push_back(hit[static_cast<std::size_t>(i[a])] ? -1 : flat); });
  c.out(0, pick(x, x.shape, map, value));
}
void check_scatter_cache(CheckCtx& c) { c.only("reduce", {"update", "none"}); }
/// Cache update: var[b, .., indices[b] + k at axis, ..] = updates[b, .., k, ..].
void host_scatter_cache(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Tensor& indices = c.in("indices", 1);
  const Tensor& updates = c.in("updates", 2);
  const Dims at = ints(indices);
  const std::int64_t axis = wrap_axis(c.attr_int("axis", -1), x.rank());
  const auto a = static_cast<std::size_t>(axis);
  if (indices.rank() != 1) bad(Errc::kUnsupported, "Scatter with pairs of indices", c.node().name);
  if (axis == 0 || updates.rank() != x.rank() || updates.shape[0] != static_cast<std::int64_t>(at.size()) || updates.shape[0] > x.shape[0])
    bad_value("Scatter: updates do not fit");
  const Dims strides = row_strides(x.shape);
  std::vector<std::int64_t> map;
  for_each(updates.shape, [&](const Dims& i, std::int64_t) {
    std::int64_t flat = 0;
    for (std::size_t d = 0; d < i.size(); ++d) {
      const std::int64_t p = d == a ? at[static_cast<std::size_t>(i[0])] + i[d] : i[d];
      if (p < 0 || p >= x.shape[d]) bad_value(fmt::format("Scatter: position {} is outside dimension {} of {}", p, d, dims_text(x.shape)));
      flat += p * strides[d];
    }
    map.push_back(flat);
  });
  c.out(0, apply(x, map, updates, Mode::kSet));
}
void host_assign(HostCtx& c) {
  const Tensor& ref = c.in(0);
  const Tensor& value = c.in("value", 1);
  if (ref.shape != value.shape || ref.dtype != value.dtype) {
    bad_value(fmt::format("Assign of {} {} to {} {}: shape and type must be equal", ir::info(value.dtype).torch, dims_text(value.shape),
                          ir::info(ref.dtype).torch, dims_text(ref.shape)));
  }
  c.out(0, value);
}
template <Mode M>
void host_assign_op(HostCtx& c) {
  const Tensor& ref = c.in(0);
  if (ref.shape != c.in(1).shape) bad_value("in-place arithmetic does not broadcast");
  std::vector<std::int64_t> map(static_cast<std::size_t>(ref.numel()));
  std::iota(map.begin(), map.end(), 0);
  c.out(0, apply(ref, map, c.in(1), M));
}

// ---------------------------------------------------------------- masks

std::vector<std::int64_t> nonzero_flat(const Tensor& x) {
  std::vector<std::int64_t> out;
  const Tensor truth = cast(x, DType::kBool);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    if (truth.data[i] != std::byte{0}) out.push_back(i);
  }
  return out;
}
void coordinates(HostCtx& c, const Tensor& x, bool transposed, DType dtype) {
  const std::vector<std::int64_t> flat = nonzero_flat(x);
  const auto n = static_cast<std::int64_t>(flat.size());
  const std::int64_t rank = x.rank();
  const Dims strides = row_strides(x.shape);
  std::vector<std::int64_t> out(static_cast<std::size_t>(n * rank));
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t rest = flat[static_cast<std::size_t>(i)];
    for (std::int64_t d = 0; d < rank; ++d) {
      out[static_cast<std::size_t>(transposed ? d * n + i : i * rank + d)] = rest / strides[static_cast<std::size_t>(d)];
      rest %= strides[static_cast<std::size_t>(d)];
    }
  }
  c.out(0, make(dtype, transposed ? Dims{rank, n} : Dims{n, rank}, out));
}
void host_nonzero(HostCtx& c) { coordinates(c, c.in(0), c.attr_bool("transpose", false), c.attr_dtype("dtype", DType::kInt64)); }
void host_where(HostCtx& c) {
  if (c.in(0).rank() == 0) bad_value("Where needs at least one dimension");
  coordinates(c, c.in(0), false, DType::kInt64);
}
void host_masked_select(HostCtx& c) {
  const Dims shape = broadcast(c.in(0).shape, c.in(1).shape);
  const Tensor x = broadcast_to(c.in(0), shape);
  const std::vector<std::int64_t> flat = nonzero_flat(broadcast_to(cast(c.in(1), DType::kBool), shape));
  c.out(0, pick(x, {static_cast<std::int64_t>(flat.size())}, flat));
}
void host_masked_scatter(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Tensor& updates = c.in("updates", 2);
  if (c.in(1).shape != x.shape) bad_value("MaskedScatter: mask and x must have one shape");
  const std::vector<std::int64_t> flat = nonzero_flat(c.in(1));
  if (static_cast<std::int64_t>(flat.size()) > updates.numel())
    bad_value(fmt::format("MaskedScatter: {} positions, {} updates", flat.size(), updates.numel()));
  std::vector<std::int64_t> first(flat.size());
  std::iota(first.begin(), first.end(), 0);
  c.out(0, apply(x, flat, pick(updates, {static_cast<std::int64_t>(flat.size())}, first), Mode::kSet));
}

// ---------------------------------------------------------------- counts and repeats

void host_one_hot(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t depth = one_int(c.in("depth", 1));
  const Tensor& on = c.in("on_value", 2);
  const Tensor& off = c.in("off_value", 3);
  std::int64_t axis = c.attr_int("axis", -1);
  if (axis == -1) axis = x.rank();
  if (axis < 0 || axis > x.rank() || depth < 0) bad_value("OneHot: axis or depth out of range");
  if (on.dtype != off.dtype || on.numel() != 1 || off.numel() != 1) bad_value("OneHot: on and off must be single elements of one type");
  Dims shape = x.shape;
  shape.insert(shape.begin() + axis, depth);
  const Dims at = ints(x);
  const Split3 s = split_at(shape, axis);
  std::vector<std::int64_t> map(static_cast<std::size_t>(count(shape)), -1);
  for (std::int64_t o = 0; o < s.outer; ++o) {
    for (std::int64_t i = 0; i < s.inner; ++i) {
      const std::int64_t k = at[static_cast<std::size_t>(o * s.inner + i)];
      if (k >= 0 && k < depth) map[static_cast<std::size_t>((o * s.mid + k) * s.inner + i)] = 0;
    }
  }
  c.out(0, pick(on, shape, map, off));
}
void host_repeat_interleave(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Dims repeats = ints(c.in("repeats", 1));
  const std::int64_t axis = wrap_axis(c.attr_int("axis", 1000), x.rank());
  const std::int64_t dim = x.shape[static_cast<std::size_t>(axis)];
  if (repeats.size() != 1 && static_cast<std::int64_t>(repeats.size()) != dim)
    bad_value(fmt::format("RepeatInterleave: {} counts for {} entries", repeats.size(), dim));
  Dims at;
  for (std::int64_t i = 0; i < dim; ++i) {
    const std::int64_t n = repeats[repeats.size() == 1 ? 0 : static_cast<std::size_t>(i)];
    if (n < 0) bad_value("RepeatInterleave: negative count");
    at.insert(at.end(), static_cast<std::size_t>(n), i);
  }
  c.out(0, gather(x, make(DType::kInt64, {static_cast<std::int64_t>(at.size())}, at), axis, 0, false));
}
void host_invert_permutation(HostCtx& c) {
  const Dims p = ints(c.in(0));
  Dims out(p.size(), -1);
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] < 0 || p[i] >= static_cast<std::int64_t>(p.size()) || out[static_cast<std::size_t>(p[i])] != -1)
      bad_value("InvertPermutation: not a permutation");
    out[static_cast<std::size_t>(p[i])] = static_cast<std::int64_t>(i);
  }
  c.out(0, make(c.in(0).dtype, c.in(0).shape, out));
}

struct Uniques {
  std::vector<std::int64_t> first;    // flat position of each distinct value
  std::vector<std::int64_t> inverse;  // of every element
  std::vector<std::int64_t> counts;
};
Uniques uniques(const Tensor& x, bool sorted, bool consecutive) {
  Uniques u;
  with_real(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const std::vector<T> v = values<T>(x);
    std::map<T, std::int64_t> seen;
    for (std::size_t i = 0; i < v.size(); ++i) {
      bool fresh = false;
      std::int64_t id = 0;
      if (consecutive) {
        fresh = i == 0 || !(v[i] == v[i - 1]);
        id = static_cast<std::int64_t>(u.first.size()) - (fresh ? 0 : 1);
      } else if (v[i] != v[i]) {  // every NaN is distinct
        fresh = true;
        id = static_cast<std::int64_t>(u.first.size());
      } else {
        const auto [it, inserted] = seen.emplace(v[i], static_cast<std::int64_t>(u.first.size()));
        fresh = inserted;
        id = it->second;
      }
      if (fresh) {
        u.first.push_back(static_cast<std::int64_t>(i));
        u.counts.push_back(0);
      }
      u.counts[static_cast<std::size_t>(id)] += 1;
      u.inverse.push_back(id);
    }
    if (!sorted) return;
    std::vector<std::int64_t> order(u.first.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      const T& p = v[static_cast<std::size_t>(u.first[static_cast<std::size_t>(a)])];
      const T& q = v[static_cast<std::size_t>(u.first[static_cast<std::size_t>(b)])];
      return p != p ? false : q != q ? true : p < q;
    });
    std::vector<std::int64_t> rank(order.size());
    Uniques s;
    for (std::size_t i = 0; i < order.size(); ++i) {
      rank[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
      s.first.push_back(u.first[static_cast<std::size_t>(order[i])]);
      s.counts.push_back(u.counts[static_cast<std::size_t>(order[i])]);
    }
    for (const std::int64_t id : u.inverse) s.inverse.push_back(rank[static_cast<std::size_t>(id)]);
    u = s;
  });
  return u;
}
void check_unique_consecutive(CheckCtx& c) { c.only("axis", 1000, 1000); }  // "none"
void host_unique(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::string& type = c.node().type;
  const bool sorting = type == "UniqueWithCountsAndSorting";
  const bool consecutive = type == "UniqueConsecutive";
  const Uniques u = uniques(x, sorting && c.attr_bool("sorted", true), consecutive);
  const auto n = static_cast<std::int64_t>(u.first.size());
  const DType dtype = c.attr_dtype("out_idx", sorting || consecutive ? DType::kInt64 : DType::kInt32);
  c.out(0, pick(x, {n}, u.first));
  const bool inverse = sorting ? c.attr_bool("return_inverse", false) : !consecutive || c.attr_bool("return_idx", false);
  const bool counts = sorting || consecutive ? c.attr_bool("return_counts", false) : type == "UniqueWithCounts";
  c.out(1, inverse ? make(dtype, x.shape, u.inverse) : zeros(dtype, {0}));
  if (c.out_count() > 2) c.out(2, counts ? make(dtype, {n}, u.counts) : zeros(dtype, {0}));
}

// ---------------------------------------------------------------- plugin

void ov_gather_of(OvCtx& c, std::int64_t axis, std::int64_t batch) {
  const OvValue x = c.in(0);
  if (OvCtx::rank(x) == 0) throw NeedsHost{};
  axis = wrap_axis(axis, OvCtx::rank(x));
  // v8 wraps negative positions, v7 does not; both give zeros outside.
  if (c.attr_bool("negative_index_support", false)) return c.out(0, mk<ov::op::v8::Gather>(x, c.in(1), i64_scalar(axis), batch));
  c.out(0, mk<ov::op::v7::Gather>(x, c.in(1), i64_scalar(axis), batch));
}
void ov_gather(OvCtx& c) {
  const std::int64_t batch = c.attr_int("batch_dims", 0);
  if (batch < 0) throw NeedsHost{};
  ov_gather_of(c, batch, batch);
}
void ov_gather_v2(OvCtx& c) {
  const Dims axis = c.node().type == "GatherV2D" ? Dims{c.attr_int("axis")} : c.constant("axis", 2);
  if (axis.empty()) throw NeedsHost{};
  ov_gather_of(c, axis[0], c.attr_int("batch_dims", 0));
}
void ov_gather_elements(OvCtx& c) {
  if (OvCtx::rank(c.in(0)) == 0 || !is_real(c.in(0))) throw NeedsHost{};
  const std::int64_t axis = wrap_axis(c.attr_int("dim", 0), OvCtx::rank(c.in(0)));
  // GE lets the index be smaller than x beside the axis, OpenVINO wants equal sizes.
  ov::PartialShape x = c.in(0).get_partial_shape();
  ov::PartialShape index = c.in("index", 1).get_partial_shape();
  x[static_cast<std::size_t>(axis)] = index[static_cast<std::size_t>(axis)] = 1;
  if (x.is_dynamic() || x != index) throw NeedsHost{};
  c.out(0, mk<op::GatherElements>(c.in(0), c.in("index", 1), axis));
}

constexpr Op kTable[] = {
    checked({"Gather", host_gather, ov_gather, Ints::kMove}, check_gather),
    checked({"GatherV2", host_gather_v2, ov_gather_v2, Ints::kMove}, check_gather),
    {"GatherV2D", host_gather_v2, ov_gather_v2, Ints::kMove},
    {"GatherElements", host_gather_elements, ov_gather_elements, Ints::kMove},
    {"GatherNd", host_gather_nd, nullptr},
    {"Index", host_index, nullptr},
    {"IndexByTensor", host_index, nullptr},
    {"IndexPutV2", host_index_put, nullptr, Ints::kHost, 0},
    {"IndexFill", host_index_fill, nullptr},
    {"InplaceIndexAdd", host_index_add, nullptr, Ints::kHost, 0},
    checked({"ScatterElements", host_scatter_elements, nullptr}, check_scatter_elements),
    checked({"ScatterElementsV2", host_scatter_elements, nullptr}, check_scatter_elements),
    {"ScatterNd", host_scatter_nd, nullptr},
    {"ScatterNdUpdate", host_scatter_nd_into<Mode::kSet>, nullptr, Ints::kHost, 0},
    {"ScatterNdAdd", host_scatter_nd_into<Mode::kAdd>, nullptr, Ints::kHost, 0},
    {"ScatterNdMax", host_scatter_nd_into<Mode::kMax>, nullptr, Ints::kHost, 0},
    {"ScatterNdMin", host_scatter_nd_into<Mode::kMin>, nullptr, Ints::kHost, 0},
    {"TensorScatterUpdate", host_scatter_nd_into<Mode::kSet>, nullptr},
    {"TensorScatterAdd", host_scatter_nd_into<Mode::kAdd>, nullptr},
    {"ScatterUpdate", host_scatter_rows<Mode::kSet>, nullptr, Ints::kHost, 0},
    {"ScatterAdd", host_scatter_rows<Mode::kAdd>, nullptr, Ints::kHost, 0},
    checked({"Scatter", host_scatter_cache, nullptr, Ints::kHost, 0}, check_scatter_cache),
    {"Assign", host_assign, nullptr, Ints::kHost, 0},
    {"AssignAdd", host_assign_op<Mode::kAdd>, nullptr, Ints::kHost, 0},
    {"AssignSub", host_assign_op<Mode::kSub>, nullptr, Ints::kHost, 0},
    {"NonZero", host_nonzero, nullptr},
    {"Where", host_where, nullptr},
    {"MaskedSelect", host_masked_select, nullptr},
    {"MaskedScatter", host_masked_scatter, nullptr},
    {"OneHot", host_one_hot, nullptr},
    {"RepeatInterleave", host_repeat_interleave, nullptr},
    {"InvertPermutation", host_invert_permutation, nullptr},
    {"Unique", host_unique, nullptr},
    {"UniqueWithCounts", host_unique, nullptr},
    {"UniqueWithCountsAndSorting", host_unique, nullptr},
    checked({"UniqueConsecutive", host_unique, nullptr}, check_unique_consecutive),
};

}  // namespace

std::span<const Op> index_ops() { return kTable; }

}  // namespace airloom::runtime
