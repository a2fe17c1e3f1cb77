// Shapes, views and data movement: reshape, transpose, concat, split, slice, pad, tile, fill, range.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/check.h"
#include "runtime/families.h"
#include "runtime/ov.h"

namespace airloom::runtime {
namespace {

// ---------------------------------------------------------------- host: metadata

void host_identity(HostCtx& c) {
  for (std::size_t i = 0; i < c.in_count(); ++i) c.out(i, c.in(i));
}

void host_shape(HostCtx& c) {
  const DType dtype = c.attr_dtype("dtype", DType::kInt32);
  for (std::size_t i = 0; i < c.in_count(); ++i) c.out(i, make(dtype, {c.in(i).rank()}, c.in(i).shape));
}
void host_size(HostCtx& c) { c.out(0, make(c.attr_dtype("dtype", DType::kInt32), {}, Dims{c.in(0).numel()})); }
void host_rank(HostCtx& c) { c.out(0, make(DType::kInt32, {}, Dims{c.in(0).rank()})); }
void host_gather_shapes(HostCtx& c) {
  const auto it = c.node().attrs.find("axes");
  const ir::IntLists* axes = it == c.node().attrs.end() ? nullptr : std::get_if<ir::IntLists>(&it->second);
  if (axes == nullptr) bad(Errc::kInvalidGraph, "GatherShapes needs 'axes'", c.node().name);
  Dims out;
  for (const Dims& pair : *axes) {
    if (pair.size() != 2 || pair[0] < 0 || pair[0] >= static_cast<std::int64_t>(c.in_count()))
      bad_value("GatherShapes axes must be [input, dim] pairs");
    const Tensor& x = c.in(static_cast<std::size_t>(pair[0]));
    if (pair[1] < 0 || pair[1] >= x.rank()) bad_value(fmt::format("GatherShapes: no dim {} in {}", pair[1], dims_text(x.shape)));
    out.push_back(x.shape[static_cast<std::size_t>(pair[1])]);
  }
  c.out(0, make(c.attr_dtype("dtype", DType::kInt32), {static_cast<std::int64_t>(out.size())}, out));
}

void host_reshape(HostCtx& c) { c.out(0, c.in(0).reshaped(resolve_reshape(c, c.in(0).shape, ints(c.in("shape", 1))))); }

Dims squeeze_shape(const Dims& from, const Dims& axes) {
  const Dims drop = wrap_axes(axes, static_cast<std::int64_t>(from.size()));
  Dims out;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const bool listed = std::binary_search(drop.begin(), drop.end(), static_cast<std::int64_t>(i));
    if (listed && from[i] != 1) bad_value(fmt::format("Squeeze: dimension {} of {} is not 1", i, dims_text(from)));
    if (axes.empty() ? from[i] != 1 : !listed) out.push_back(from[i]);
  }
  return out;
}
Dims unsqueeze_shape(const Dims& from, Dims axes) {
  const auto rank = static_cast<std::int64_t>(from.size() + axes.size());
  const Dims at = wrap_axes(axes, rank);
  if (at.size() != axes.size()) bad_value("Unsqueeze: an axis is given twice");
  Dims out;
  auto next = from.begin();
  for (std::int64_t i = 0; i < rank; ++i) out.push_back(std::binary_search(at.begin(), at.end(), i) ? 1 : *next++);
  return out;
}
Dims squeeze_axes(const HostCtx& c) {
  if (c.node().type != "SqueezeV3") return c.attr_ints("axis", Dims{});
  const Tensor axes = c.maybe("axes", 1);
  return axes.present() ? ints(axes) : Dims{};
}
void host_squeeze(HostCtx& c) { c.out(0, c.in(0).reshaped(squeeze_shape(c.in(0).shape, squeeze_axes(c)))); }
void host_unsqueeze(HostCtx& c) {
  const std::string& type = c.node().type;
  const Dims axes = type == "UnsqueezeV3" ? ints(c.in("axes", 1)) : c.attr_ints(type == "UnsqueezeV2" ? "axis" : "axes");
  c.out(0, c.in(0).reshaped(unsqueeze_shape(c.in(0).shape, axes)));
}
void host_expand_dims(HostCtx& c) { c.out(0, c.in(0).reshaped(unsqueeze_shape(c.in(0).shape, {one_int(c.in("axis", 1))}))); }
void host_flatten(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t first = wrap_axis(c.attr_int("axis", 1), x.rank());
  const std::int64_t last = c.node().type == "Flatten" ? x.rank() - 1 : wrap_axis(c.attr_int("end_axis", -1), x.rank());
  if (first > last) bad_value("Flatten: the first axis is after the last");
  Dims out(x.shape.begin(), x.shape.begin() + first);
  std::int64_t merged = 1;
  for (std::int64_t i = first; i <= last; ++i) merged *= x.shape[static_cast<std::size_t>(i)];
  out.push_back(merged);
  out.insert(out.end(), x.shape.begin() + last + 1, x.shape.end());
  c.out(0, x.reshaped(out));
}

// ---------------------------------------------------------------- host: movement

Tensor transpose(const Tensor& x, Dims perm) {
  if (static_cast<std::int64_t>(perm.size()) != x.rank())
    bad_value(fmt::format("permutation {} does not fit shape {}", dims_text(perm), dims_text(x.shape)));
  const Dims own = row_strides(x.shape);
  Dims shape;
  Dims strides;
  for (std::int64_t& p : perm) {
    p = wrap_axis(p, x.rank());
    shape.push_back(x.shape[static_cast<std::size_t>(p)]);
    strides.push_back(own[static_cast<std::size_t>(p)]);
  }
  if (wrap_axes(perm, x.rank()).size() != perm.size()) bad_value(fmt::format("{} is not a permutation", dims_text(perm)));
  std::vector<std::int64_t> map;
  map.reserve(static_cast<std::size_t>(count(shape)));
  for_each(shape, [&](const Dims& index, std::int64_t) { map.push_back(dot(index, strides)); });
  return pick(x, shape, map);
}
Dims transpose_perm(const HostCtx& c) {
  const Tensor perm = c.maybe("perm", 1);
  if (perm.present()) return ints(perm);
  return c.attr_ints(c.node().type == "Permute" ? "order" : "perm");
}
void host_transpose(HostCtx& c) { c.out(0, transpose(c.in(0), transpose_perm(c))); }

void host_broadcast_to(HostCtx& c, bool onnx) {
  const Tensor& x = c.in(0);
  const Tensor input = c.maybe("shape", 1);
  Dims to = input.present() ? ints(input) : c.attr_ints("shape");
  if (to.size() < x.shape.size()) bad_value(fmt::format("target {} has fewer dimensions than {}", dims_text(to), dims_text(x.shape)));
  const std::size_t lead = to.size() - x.shape.size();
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::int64_t own = i < lead ? 1 : x.shape[i - lead];
    if (to[i] == -1 || (onnx && to[i] == 1)) to[i] = own;
  }
  c.out(0, broadcast_to(x, to));
}
void host_broadcast(HostCtx& c) { host_broadcast_to(c, false); }
void host_expand(HostCtx& c) { host_broadcast_to(c, true); }

void host_tile(HostCtx& c) {
  Tensor x = c.in(0);
  const Tensor input = c.maybe("multiples", 1);
  const Dims multiples = input.present() ? ints(input) : c.attr_ints("multiples");
  if (multiples.size() < x.shape.size()) bad_value("Tile: fewer multiples than dimensions");
  Dims lead(multiples.size() - x.shape.size(), 1);
  lead.insert(lead.end(), x.shape.begin(), x.shape.end());
  x = x.reshaped(lead);
  Dims shape = x.shape;
  for (std::size_t i = 0; i < shape.size(); ++i) shape[i] = times(shape[i], multiples[i]);
  const Dims strides = row_strides(x.shape);
  std::vector<std::int64_t> map;
  for_each(shape, [&](const Dims& index, std::int64_t) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < index.size(); ++i) at += index[i] % x.shape[i] * strides[i];
    map.push_back(at);
  });
  c.out(0, pick(x, shape, map));
}

Tensor concat(std::vector<Tensor> parts, std::int64_t axis) {
  if (parts.empty()) bad_value("nothing to concatenate");
  if (parts.size() == 1) return parts[0];
  for (Tensor& part : parts) {
    if (part.rank() == 0) part = part.reshaped({1});
  }
  const std::int64_t at = wrap_axis(axis, parts[0].rank());
  Dims shape = parts[0].shape;
  shape[static_cast<std::size_t>(at)] = 0;
  for (const Tensor& part : parts) {
    Dims own = part.shape;
    if (part.dtype != parts[0].dtype) bad_value("concatenated tensors have different element types");
    if (own.size() != shape.size())
      bad_value(fmt::format("concatenated tensors {} and {} have different ranks", dims_text(parts[0].shape), dims_text(part.shape)));
    shape[static_cast<std::size_t>(at)] += own[static_cast<std::size_t>(at)];
    own[static_cast<std::size_t>(at)] = parts[0].shape[static_cast<std::size_t>(at)];
    if (own != parts[0].shape)
      bad_value(fmt::format("shapes {} and {} cannot be concatenated on axis {}", dims_text(parts[0].shape), dims_text(part.shape), at));
  }
  Tensor out = allocate(parts[0].dtype, shape);
  const Split3 s = split_at(shape, at);
  const std::int64_t item = ir::item_size(out.dtype);
  std::byte* to = writable(out);
  for (std::int64_t o = 0; o < s.outer; ++o) {
    for (const Tensor& part : parts) {
      const std::int64_t bytes = part.shape[static_cast<std::size_t>(at)] * s.inner * item;
      std::memcpy(to, part.data + o * bytes, static_cast<std::size_t>(bytes));
      to += bytes;
    }
  }
  return out;
}
void host_concat_v2(HostCtx& c) { c.out(0, concat(c.list("x", 0, 1), one_int(c.in("concat_dim", c.in_count() - 1)))); }
void host_concat(HostCtx& c) { c.out(0, concat(c.list("x", 1, 0), one_int(c.in("concat_dim", 0)))); }
void host_concat_d(HostCtx& c) { c.out(0, concat(c.list("x", 0, 0), c.attr_int("concat_dim"))); }
void host_pack(HostCtx& c) {
  std::vector<Tensor> parts = c.list("x", 0, 0);
  if (parts.empty()) bad_value("nothing to pack");
  const Dims first = parts[0].shape;
  const std::int64_t axis = first.empty() ? 0 : wrap_axis(c.attr_int("axis", 0), static_cast<std::int64_t>(first.size()) + 1);
  for (Tensor& part : parts) {
    if (part.shape != first) bad_value(fmt::format("Pack needs equal shapes, not {} and {}", dims_text(first), dims_text(part.shape)));
    part = part.reshaped(unsqueeze_shape(part.shape, {axis}));
  }
  c.out(0, concat(std::move(parts), axis));
}

/// [begin, begin + size) on one axis.
Tensor narrow(const Tensor& x, std::int64_t axis, std::int64_t begin, std::int64_t size) {
  const Split3 s = split_at(x.shape, axis);
  if (begin < 0 || size < 0 || begin + size > s.mid)
    bad_value(fmt::format("[{}, {}) is outside dimension {} of {}", begin, begin + size, axis, dims_text(x.shape)));
  Dims shape = x.shape;
  shape[static_cast<std::size_t>(axis)] = size;
  Tensor out = allocate(x.dtype, shape);
  const std::int64_t item = ir::item_size(x.dtype);
  for (std::int64_t o = 0; o < s.outer; ++o) {
    std::memcpy(writable(out) + o * size * s.inner * item, x.data + (o * s.mid + begin) * s.inner * item,
                static_cast<std::size_t>(size * s.inner * item));
  }
  return out;
}
void split_into(HostCtx& c, const Tensor& x, std::int64_t axis, Dims sizes) {
  axis = wrap_axis(axis, x.rank());
  const std::int64_t dim = x.shape[static_cast<std::size_t>(axis)];
  const auto hole = std::find(sizes.begin(), sizes.end(), -1);
  if (hole != sizes.end()) *hole = dim - (std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}) + 1);
  if (std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}) != dim)
    bad_value(fmt::format("sizes {} do not add up to {}", dims_text(sizes), dim));
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    c.out(i, narrow(x, axis, begin, sizes[i]));
    begin += sizes[i];
  }
}
void host_split(HostCtx& c) {
  const bool d = c.node().type == "SplitD";
  const Tensor& x = c.in(d ? 0 : c.slot("x", 1));
  const std::int64_t axis = d ? c.attr_int("split_dim") : one_int(c.in("split_dim", 0));
  const std::int64_t n = c.attr_int("num_split");
  const std::int64_t dim = x.shape.at(static_cast<std::size_t>(wrap_axis(axis, x.rank())));
  if (n <= 0 || dim % n != 0) bad_value(fmt::format("{} does not split into {} equal parts", dim, n));
  split_into(c, x, axis, Dims(static_cast<std::size_t>(n), dim / n));
}
void host_split_v(HostCtx& c) {
  const bool d = c.node().type == "SplitVD";
  split_into(c, c.in(0), d ? c.attr_int("split_dim") : one_int(c.in("split_dim", 2)),
             d ? c.attr_ints("size_splits") : ints(c.in("size_splits", 1)));
}
void host_unpack(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t axis = wrap_axis(c.attr_int("axis", 0), x.rank());
  if (x.shape[static_cast<std::size_t>(axis)] != c.attr_int("num"))
    bad_value(fmt::format("Unpack: num is {}, the dimension {}", c.attr_int("num"), x.shape[static_cast<std::size_t>(axis)]));
  for (std::int64_t i = 0; i < c.attr_int("num"); ++i) {
    const Tensor part = narrow(x, axis, i, 1);
    c.out(static_cast<std::size_t>(i), part.reshaped(squeeze_shape(part.shape, {axis})));
  }
}

// Slices: TF's rules, for all forms of StridedSlice. ------------------------------------------------

struct SliceDim {
  std::int64_t begin, step, count;
};
struct SliceSpec {
  std::vector<SliceDim> dims;  // per dimension of x
  Dims shape;                  // of the result
};
SliceDim one_slice(std::int64_t dim, std::int64_t begin, std::int64_t end, std::int64_t step, bool from_edge, bool to_edge) {
  if (step == 0) bad_value("slice step 0");
  const std::int64_t low = step > 0 ? 0 : -1;
  const std::int64_t high = step > 0 ? dim : dim - 1;
  const auto place = [&](std::int64_t at) { return std::clamp(at < 0 ? at + dim : at, low, high); };
  const std::int64_t b = from_edge ? (step > 0 ? low : high) : place(begin);
  const std::int64_t e = to_edge ? (step > 0 ? high : low) : place(end);
  const std::int64_t span = step > 0 ? e - b : b - e;
  const std::int64_t width = step > 0 ? step : -step;
  return {b, step, span <= 0 ? 0 : (span + width - 1) / width};
}
/// In the form with axes a mask bit is a dimension, which says nothing of new ones.
void check_slice_masks(CheckCtx& c) {
  c.only("ellipsis_mask", 0, 0);
  c.only("new_axis_mask", 0, 0);
}
SliceSpec slice_spec(const HostCtx& c) {
  const std::string& type = c.node().type;
  const Dims& x = c.in(0).shape;
  const bool d = type == "StridedSliceD";
  const bool axes_form = type == "StridedSliceV2" || type == "StridedSliceV3" || type == "StridedSliceAssignV2";
  const std::size_t first = type == "StridedSliceAssignV2" ? 2 : 1;
  const Dims begin = d ? c.attr_ints("begin") : ints(c.in("begin", first));
  const Dims end = d ? c.attr_ints("end") : ints(c.in("end", first + 1));
  Dims strides(begin.size(), 1);
  const std::size_t stride_slot = type == "StridedSliceAssignV2" ? 4 : axes_form ? 4 : 3;
  if (d) {
    strides = c.attr_ints("strides");
  } else if (const Tensor t = c.maybe("strides", stride_slot); t.present()) {
    strides = ints(t);
  }
  if (begin.size() != end.size() || begin.size() != strides.size()) bad_value("begin, end and strides have different lengths");
  const std::int64_t begin_mask = c.attr_int("begin_mask", 0);
  const std::int64_t end_mask = c.attr_int("end_mask", 0);
  const std::int64_t ellipsis = c.attr_int("ellipsis_mask", 0);
  const std::int64_t new_axis = c.attr_int("new_axis_mask", 0);
  const std::int64_t shrink = c.attr_int("shrink_axis_mask", 0);
  const auto bit = [](std::int64_t mask, std::size_t i) { return i < 63 && ((mask >> i) & 1) != 0; };
  SliceSpec spec;
  const auto rank = static_cast<std::int64_t>(x.size());
  const auto shrunk = [&](std::size_t dim, std::int64_t at, std::int64_t step) {
    const std::int64_t p = at < 0 ? at + x[dim] : at;
    if (step <= 0 || p < 0 || p >= x[dim]) bad_value(fmt::format("index {} is outside dimension {} of {}", at, dim, dims_text(x)));
    spec.dims.push_back({p, 1, 1});
  };
  if (axes_form) {
    const Tensor t = c.maybe("axes", type == "StridedSliceAssignV2" ? 5 : 3);
    Dims axes = t.present() ? ints(t) : Dims{};
    if (!t.present()) {
      for (std::size_t i = 0; i < begin.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
    }
    if (axes.size() != begin.size()) bad_value("axes and begin have different lengths");
    std::vector<std::int64_t> entry(x.size(), -1);
    for (std::size_t i = 0; i < axes.size(); ++i) {
      auto& at = entry[static_cast<std::size_t>(wrap_axis(axes[i], rank))];
      if (at != -1) bad_value("an axis is given twice");
      at = static_cast<std::int64_t>(i);
    }
    for (std::size_t dim = 0; dim < x.size(); ++dim) {
      if (entry[dim] < 0) {
        spec.dims.push_back({0, 1, x[dim]});
        spec.shape.push_back(x[dim]);
        continue;
      }
      const auto i = static_cast<std::size_t>(entry[dim]);
      if (bit(shrink, dim)) {
        shrunk(dim, begin[i], strides[i]);
        continue;
      }
      SliceDim s = one_slice(x[dim], begin[i], end[i], strides[i], bit(begin_mask, dim), bit(end_mask, dim));
      if (type == "StridedSliceV3" && strides[i] < 0 && begin[i] < -x[dim])
        s = one_slice(x[dim], 0, end[i], strides[i], false, false);  // clamps to 0
      spec.dims.push_back(s);
      spec.shape.push_back(s.count);
    }
    return spec;
  }
  std::int64_t named = 0;  // dimensions that spec items other than the ellipsis stand for
  for (std::size_t i = 0; i < begin.size(); ++i) named += bit(ellipsis, i) || bit(new_axis, i) ? 0 : 1;
  if (named > rank) bad_value(fmt::format("{} slices for shape {}", named, dims_text(x)));
  std::size_t dim = 0;
  const auto whole = [&](std::int64_t n) {
    for (; n > 0; --n, ++dim) {
      spec.dims.push_back({0, 1, x[dim]});
      spec.shape.push_back(x[dim]);
    }
  };
  for (std::size_t i = 0; i < begin.size(); ++i) {
    if (bit(ellipsis, i)) {
      whole(rank - named);
    } else if (bit(new_axis, i)) {
      spec.shape.push_back(1);
    } else if (bit(shrink, i)) {
      shrunk(dim++, begin[i], strides[i]);
    } else {
      const SliceDim s = one_slice(x[dim++], begin[i], end[i], strides[i], bit(begin_mask, i), bit(end_mask, i));
      spec.dims.push_back(s);
      spec.shape.push_back(s.count);
    }
  }
  whole(rank - static_cast<std::int64_t>(dim));
  return spec;
}

Tensor take_slices(const Tensor& x, const std::vector<SliceDim>& dims, const Dims& shape) {
  const Dims strides = row_strides(x.shape);
  Dims counts;
  for (const SliceDim& dim : dims) counts.push_back(dim.count);
  std::vector<std::int64_t> map;
  for_each(counts, [&](const Dims& index, std::int64_t) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < index.size(); ++i) at += (dims[i].begin + index[i] * dims[i].step) * strides[i];
    map.push_back(at);
  });
  return pick(x, shape, map);
}
void host_strided_slice(HostCtx& c) {
  const SliceSpec spec = slice_spec(c);
  c.out(0, take_slices(c.in(0), spec.dims, spec.shape));
}
void host_strided_assign(HostCtx& c) {
  const SliceSpec spec = slice_spec(c);
  const Tensor& x = c.in(0);
  const Tensor& value = c.in("input_value", c.node().type == "StridedSliceAssign" ? 4 : 1);
  if (value.shape != spec.shape)
    bad_value(fmt::format("the assigned value {} must have the slice's shape {}", dims_text(value.shape), dims_text(spec.shape)));
  if (value.dtype != x.dtype) bad_value("the assigned value must have the tensor's element type");
  Tensor out = allocate(x.dtype, x.shape);
  std::memcpy(writable(out), x.data, static_cast<std::size_t>(x.nbytes()));
  const Dims strides = row_strides(x.shape);
  Dims counts;
  for (const SliceDim& dim : spec.dims) counts.push_back(dim.count);
  const std::int64_t item = ir::item_size(x.dtype);
  for_each(counts, [&](const Dims& index, std::int64_t flat) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < index.size(); ++i) at += (spec.dims[i].begin + index[i] * spec.dims[i].step) * strides[i];
    std::memcpy(writable(out) + at * item, value.data + flat * item, static_cast<std::size_t>(item));
  });
  c.out(0, out);
}
void host_slice(HostCtx& c) {
  const Tensor& x = c.in(0);
  const bool d = c.node().type == "SliceD";
  const Dims offsets = d ? c.attr_ints("offsets") : ints(c.in("offsets", 1));
  const Dims sizes = d ? c.attr_ints("size") : ints(c.in("size", 2));
  if (offsets.size() != x.shape.size() || sizes.size() != x.shape.size()) bad_value("Slice needs one offset and size per dimension");
  std::vector<SliceDim> dims;
  Dims shape;
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    const std::int64_t size = sizes[i] == -1 ? plus(x.shape[i], -std::max<std::int64_t>(offsets[i], 0)) : sizes[i];
    if (offsets[i] < 0 || size < 0 || size > x.shape[i] || offsets[i] > x.shape[i] - size)
      bad_value(fmt::format("Slice of {} from {} is outside dimension {} of {}", size, offsets[i], i, dims_text(x.shape)));
    dims.push_back({offsets[i], 1, size});
    shape.push_back(size);
  }
  c.out(0, take_slices(x, dims, shape));
}

// Padding -----------------------------------------------------------------------------------------

Tensor pad(const Tensor& x, const Dims& front, const Dims& back, const std::string& mode, const Tensor& fill) {
  Dims shape = x.shape;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::int64_t dim = x.shape[i];
    shape[i] = plus(plus(shape[i], front[i]), back[i]);
    const std::int64_t most = std::max(front[i], back[i]);
    if (shape[i] < 0) bad_value(fmt::format("padding crops dimension {} of {} below zero", i, dims_text(x.shape)));
    if (mode == "reflect" && most >= std::max<std::int64_t>(dim, 1) && most > 0)
      bad_value("reflect padding must be smaller than the dimension");
    if ((mode == "symmetric" || mode == "circular") && most > dim) bad_value(mode + " padding must not exceed the dimension");
    if (mode == "edge" && dim == 0 && most > 0) bad_value("edge padding of an empty dimension");
  }
  const Dims strides = row_strides(x.shape);
  std::vector<std::int64_t> map;
  for_each(shape, [&](const Dims& index, std::int64_t) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < index.size(); ++i) {
      const std::int64_t dim = x.shape[i];
      std::int64_t p = index[i] - front[i];
      if (p < 0 || p >= dim) {
        if (mode == "constant") {
          at = -1;
          break;
        }
        if (mode == "edge")
          p = p < 0 ? 0 : dim - 1;
        else if (mode == "reflect")
          p = p < 0 ? -p : 2 * (dim - 1) - p;
        else if (mode == "symmetric")
          p = p < 0 ? -p - 1 : 2 * dim - 1 - p;
        else
          p = p < 0 ? p + dim : p - dim;
      }
      at += p * strides[i];
    }
    map.push_back(at);
  });
  return pick(x, shape, map, fill);
}
struct Padding {
  Dims front, back;
};
Padding split_paddings(const Dims& flat, std::int64_t rank, bool contiguous) {
  if (static_cast<std::int64_t>(flat.size()) != 2 * rank || rank == 0)
    bad_value(fmt::format("{} padding values for rank {}", flat.size(), rank));
  Padding p;
  for (std::int64_t i = 0; i < rank; ++i) {
    p.front.push_back(flat[static_cast<std::size_t>(contiguous ? 2 * i : i)]);
    p.back.push_back(flat[static_cast<std::size_t>(contiguous ? 2 * i + 1 : rank + i)]);
  }
  return p;
}
void check_mirror_pad(CheckCtx& c) { c.only("mode", {"REFLECT", "SYMMETRIC"}); }
void check_pad(CheckCtx& c) { c.only("mode", {"constant", "edge", "reflect", "symmetric", "circular"}); }
std::string pad_mode(const NodeView& n) {
  if (n.node().type == "MirrorPad") return n.attr_string("mode", "") == "REFLECT" ? "reflect" : "symmetric";
  return n.node().type == "PadV3" ? n.attr_string("mode", "constant") : "constant";
}
void host_pad(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Padding p = split_paddings(ints(c.in("paddings", 1)), x.rank(), c.attr_bool("paddings_contiguous", true));
  const Tensor fill = c.maybe("constant_values", 2);
  const std::string mode = pad_mode(c);
  if (mode == "constant" && fill.present() && (fill.numel() != 1 || fill.dtype != x.dtype))
    bad_value("constant_values must be one element of x's type");
  c.out(0, pad(x, p.front, p.back, mode, mode == "constant" ? fill : Tensor{}));
}

// Flips, rolls, triangles, diagonals --------------------------------------------------------------

template <class F>
Tensor remap(const Tensor& x, const Dims& shape, F&& f) {
  std::vector<std::int64_t> map;
  map.reserve(static_cast<std::size_t>(count(shape)));
  for_each(shape, [&](const Dims& index, std::int64_t flat) { map.push_back(f(index, flat)); });
  return pick(x, shape, map);
}
void host_reverse(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Tensor input = c.maybe("axis", 1);
  const Dims axes = wrap_axes(input.present() ? ints(input) : c.attr_ints("axis"), x.rank());
  const Dims strides = row_strides(x.shape);
  c.out(0, remap(x, x.shape, [&](const Dims& index, std::int64_t flat) {
          for (const std::int64_t axis : axes) {
            const auto i = static_cast<std::size_t>(axis);
            flat += (x.shape[i] - 1 - 2 * index[i]) * strides[i];
          }
          return flat;
        }));
}
void host_roll(HostCtx& c) {
  const Tensor& x = c.in(0);
  const bool v2 = c.node().type == "RollV2";
  const Dims shifts = v2 ? ints(c.in("shift", 1)) : c.attr_ints("shifts");
  Dims axes = v2 ? ints(c.in("axes", 2)) : c.attr_ints("dims", Dims{});
  Tensor y = x;
  if (axes.empty()) {
    if (shifts.size() != 1) bad_value("Roll without dims needs one shift");
    y = x.reshaped({x.numel()});
    axes = {0};
  }
  if (axes.size() != shifts.size()) bad_value("Roll needs one shift per dim");
  Dims total(y.shape.size(), 0);
  for (std::size_t i = 0; i < axes.size(); ++i) total[static_cast<std::size_t>(wrap_axis(axes[i], y.rank()))] += shifts[i];
  const Dims strides = row_strides(y.shape);
  c.out(0, remap(y, y.shape, [&](const Dims& index, std::int64_t) {
             std::int64_t at = 0;
             for (std::size_t i = 0; i < index.size(); ++i) {
               const std::int64_t p = (index[i] - total[i]) % y.shape[i];
               at += (p < 0 ? p + y.shape[i] : p) * strides[i];
             }
             return at;
           }).reshaped(x.shape));
}
template <class F>
void triangle(HostCtx& c, F&& keep) {
  const Tensor& x = c.in(0);
  if (x.rank() < 2) bad_value(fmt::format("{} needs a matrix, not shape {}", c.node().type, dims_text(x.shape)));
  c.out(0,
        remap(x, x.shape, [&](const Dims& index, std::int64_t flat) { return keep(index[index.size() - 2], index.back()) ? flat : -1; }));
}
void host_tril(HostCtx& c) {
  const std::int64_t k = c.attr_int("diagonal", 0);
  triangle(c, [k](std::int64_t i, std::int64_t j) { return j - i <= k; });
}
void host_triu(HostCtx& c) {
  const std::int64_t k = c.attr_int("diagonal", 0);
  triangle(c, [k](std::int64_t i, std::int64_t j) { return j - i >= k; });
}
void host_band_part(HostCtx& c) {
  const std::int64_t lower = one_int(c.in("num_lower", 1));
  const std::int64_t upper = one_int(c.in("num_upper", 2));
  triangle(c, [&](std::int64_t i, std::int64_t j) { return (lower < 0 || i - j <= lower) && (upper < 0 || j - i <= upper); });
}
void host_diag(HostCtx& c) {
  const Tensor& x = c.in(0);
  Dims shape = x.shape;
  shape.insert(shape.end(), x.shape.begin(), x.shape.end());
  const Dims strides = row_strides(x.shape);
  const auto k = static_cast<std::ptrdiff_t>(x.shape.size());
  c.out(0, remap(x, shape, [&](const Dims& index, std::int64_t) {
          if (!std::equal(index.begin(), index.begin() + k, index.begin() + k)) return std::int64_t{-1};
          return dot(Dims(index.begin(), index.begin() + k), strides);
        }));
}
void host_diag_part(HostCtx& c) {
  const Tensor& x = c.in(0);
  const auto k = static_cast<std::ptrdiff_t>(x.shape.size() / 2);
  const Dims half(x.shape.begin(), x.shape.begin() + k);
  if (x.rank() % 2 != 0 || !std::equal(half.begin(), half.end(), x.shape.begin() + k))
    bad_value(fmt::format("DiagPart of shape {}", dims_text(x.shape)));
  const std::int64_t step = count(half);
  c.out(0, remap(x, half, [&](const Dims&, std::int64_t flat) { return flat * (step + 1); }));
}
void host_diag_v2(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t k = c.attr_int("diagonal", 0);
  if (x.rank() == 2 && c.node().type == "DiagV2") {
    const std::int64_t rows = x.shape[0];
    const std::int64_t cols = x.shape[1];
    const std::int64_t n = std::max<std::int64_t>(0, k >= 0 ? std::min(rows, cols - k) : std::min(rows + k, cols));
    return c.out(0, remap(x, {n}, [&](const Dims& i, std::int64_t) {
                   return (i[0] + std::max<std::int64_t>(-k, 0)) * cols + i[0] + std::max<std::int64_t>(k, 0);
                 }));
  }
  if (x.rank() > 1 && c.node().type == "DiagV2") bad_value("DiagV2 of more than two dimensions");
  const std::int64_t n = x.numel() + std::llabs(k);
  c.out(0, remap(x, {n, n}, [&](const Dims& i, std::int64_t) { return i[1] - i[0] == k ? std::min(i[0], i[1]) : -1; }));
}
void host_matrix_diag(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (x.rank() < 1) bad_value("MatrixDiag needs at least one dimension");
  Dims shape = x.shape;
  shape.push_back(x.shape.back());
  const std::int64_t n = x.shape.back();
  c.out(0, remap(x, shape, [&](const Dims& i, std::int64_t flat) { return i.back() == i[i.size() - 2] ? flat / n : -1; }));
}
void host_matrix_diag_part(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (x.rank() < 2) bad_value("MatrixDiagPart needs a matrix");
  const std::int64_t rows = x.shape[x.shape.size() - 2];
  const std::int64_t cols = x.shape.back();
  Dims shape(x.shape.begin(), x.shape.end() - 2);
  shape.push_back(std::min(rows, cols));
  const std::int64_t n = std::max<std::int64_t>(shape.back(), 1);
  c.out(0, remap(x, shape, [&](const Dims&, std::int64_t flat) { return flat / n * rows * cols + flat % n * (cols + 1); }));
}
void host_matrix_set_diag(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Tensor& d = c.in(1);
  if (x.rank() < 2) bad_value("MatrixSetDiag needs a matrix");
  const std::int64_t n = std::max<std::int64_t>(std::min(x.shape.back(), x.shape[x.shape.size() - 2]), 1);
  const std::int64_t plane = x.shape.back() * x.shape[x.shape.size() - 2];
  const Tensor both = concat({x.reshaped({x.numel()}), d.reshaped({d.numel()})}, 0);
  c.out(0, remap(both, x.shape, [&](const Dims& i, std::int64_t flat) {
          return i.back() == i[i.size() - 2] ? x.numel() + flat / plane * n + i.back() : flat;
        }));
}
void check_space(CheckCtx& c) {
  c.only("mode", {"DCR", "CRD"});
  c.only("data_format", {"NHWC", "NCHW"});
}
void host_depth_to_space(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t b = c.attr_int("block_size");
  const bool dcr = c.attr_string("mode", "DCR") == "DCR";
  const bool nhwc = c.attr_string("data_format", "NHWC") == "NHWC";
  if (x.rank() != 4 || b < 1) bad_value("DepthToSpace needs four dimensions");
  const Dims& s = x.shape;
  const std::int64_t depth = nhwc ? s[3] : s[1];
  if (depth % (b * b) != 0) bad_value(fmt::format("{} channels do not divide by {} squared", depth, b));
  const std::int64_t d = depth / (b * b);
  if (nhwc) {
    const Tensor y = dcr ? transpose(x.reshaped({s[0], s[1], s[2], b, b, d}), {0, 1, 3, 2, 4, 5})
                         : transpose(x.reshaped({s[0], s[1], s[2], d, b, b}), {0, 1, 4, 2, 5, 3});
    return c.out(0, y.reshaped({s[0], s[1] * b, s[2] * b, d}));
  }
  const Tensor y = dcr ? transpose(x.reshaped({s[0], b, b, d, s[2], s[3]}), {0, 3, 4, 1, 5, 2})
                       : transpose(x.reshaped({s[0], d, b, b, s[2], s[3]}), {0, 1, 4, 2, 5, 3});
  c.out(0, y.reshaped({s[0], d, s[2] * b, s[3] * b}));
}
void host_space_to_depth(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t b = c.attr_int("block_size");
  const bool nhwc = c.attr_string("data_format", "NHWC") == "NHWC";
  const Dims& s = x.shape;
  if (x.rank() != 4 || b < 1 || s[nhwc ? 1U : 2U] % b != 0 || s[nhwc ? 2U : 3U] % b != 0)
    bad_value(fmt::format("SpaceToDepth: shape {} does not divide by {}", dims_text(s), b));
  if (nhwc) {
    return c.out(0, transpose(x.reshaped({s[0], s[1] / b, b, s[2] / b, b, s[3]}), {0, 1, 3, 2, 4, 5})
                        .reshaped({s[0], s[1] / b, s[2] / b, b * b * s[3]}));
  }
  c.out(
      0,
      transpose(x.reshaped({s[0], s[1], s[2] / b, b, s[3] / b, b}), {0, 1, 3, 5, 2, 4}).reshaped({s[0], s[1] * b * b, s[2] / b, s[3] / b}));
}
void host_as_strided(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Dims size = ints(c.in("size", 1));
  const Dims stride = ints(c.in("stride", 2));
  const Tensor offset = c.maybe("storage_offset", 3);
  const std::int64_t start = offset.present() ? one_int(offset) : 0;
  if (stride.size() != size.size() || start < 0 || std::any_of(stride.begin(), stride.end(), [](std::int64_t s) { return s < 0; }))
    bad_value("AsStrided: strides and offset do not fit");
  if (count(size) == 0) return c.out(0, zeros(x.dtype, size));
  std::int64_t last = start;
  for (std::size_t i = 0; i < size.size(); ++i) last = plus(last, times(size[i] - 1, stride[i]));
  c.out(0, remap(x, size, [&](const Dims& index, std::int64_t) { return start + dot(index, stride); }));
}
void host_view_copy(HostCtx& c) {
  const Tensor& dst = c.in(0);
  const Dims size = ints(c.in(1));
  const Dims dst_stride = ints(c.in(2));
  const std::int64_t dst_start = one_int(c.in(3));
  const Tensor& src = c.in(4);
  const Dims src_stride = ints(c.in(6));
  const std::int64_t src_start = one_int(c.in(7));
  if (ints(c.in(5)) != size || dst_stride.size() != size.size() || src_stride.size() != size.size() || src.dtype != dst.dtype)
    bad_value("ViewCopy: the two views do not fit");
  Tensor out = allocate(dst.dtype, dst.shape);
  std::memcpy(writable(out), dst.data, static_cast<std::size_t>(dst.nbytes()));
  const std::int64_t item = ir::item_size(dst.dtype);
  for_each(size, [&](const Dims& index, std::int64_t) {
    const std::int64_t to = dst_start + dot(index, dst_stride);
    const std::int64_t from = src_start + dot(index, src_stride);
    if (to < 0 || to >= dst.numel() || from < 0 || from >= src.numel()) bad_value("ViewCopy leaves its buffer");
    std::memcpy(writable(out) + to * item, src.data + from * item, static_cast<std::size_t>(item));
  });
  c.out(0, out);
}

// Creation ----------------------------------------------------------------------------------------

Tensor filled(const Tensor& value, const Dims& shape) {
  return pick(value, shape, std::vector<std::int64_t>(static_cast<std::size_t>(count(shape)), 0));
}
void host_fill(HostCtx& c) {
  if (c.in(1).numel() != 1) bad_value("Fill's value must have one element");
  c.out(0, filled(c.in(1), ints(c.in(0))));
}
void host_fill_v2(HostCtx& c) {
  c.out(0, filled(make(c.out_dtype(0), {}, std::vector<double>{c.attr_float("value", 0.0)}), ints(c.in(0))));
}
void host_empty(HostCtx& c) { c.out(0, zeros(c.attr_dtype("dtype", DType::kInt32), ints(c.in(0)))); }
void host_zeros_like(HostCtx& c) { c.out(0, zeros(c.in(0).dtype, c.in(0).shape)); }
void host_ones_like(HostCtx& c) { c.out(0, filled(make(c.in(0).dtype, {}, Dims{1}), c.in(0).shape)); }
void host_eye(HostCtx& c) {
  const std::int64_t rows = c.attr_int("num_rows");
  const std::int64_t cols = c.attr_int("num_columns", 0) <= 0 ? rows : c.attr_int("num_columns", 0);
  if (rows <= 0) bad_value("Eye needs at least one row");
  Dims shape = c.attr_ints("batch_shape", Dims{});
  shape.insert(shape.end(), {rows, cols});
  const Tensor one = make(c.attr_dtype("dtype", DType::kFloat), {}, Dims{1});
  c.out(0, remap(one, shape, [](const Dims& i, std::int64_t) { return i.back() == i[i.size() - 2] ? 0 : -1; }));
}
void check_range(CheckCtx& c) { c.never("is_closed"); }
void host_range(HostCtx& c) {
  const Tensor& start = c.in("start", 0);
  const Tensor& limit = c.in("limit", 1);
  const Tensor& delta = c.in("delta", 2);
  for (const Tensor* t : {&start, &limit, &delta}) {
    if (t->numel() != 1) bad_value("Range needs scalars");
  }
  const bool same = start.dtype == limit.dtype && limit.dtype == delta.dtype;
  const DType dtype = same ? start.dtype : DType::kFloat;
  if (same && !ir::is_floating(dtype)) {
    const std::int64_t a = one_int(start);
    const std::int64_t b = one_int(limit);
    const std::int64_t d = one_int(delta);
    if (d == 0 || (d > 0 ? b < a : b > a)) bad_value(fmt::format("Range from {} to {} by {}", a, b, d));
    const auto width = static_cast<std::uint64_t>(d > 0 ? b : a) - static_cast<std::uint64_t>(d > 0 ? a : b);
    const auto step = d > 0 ? static_cast<std::uint64_t>(d) : 0 - static_cast<std::uint64_t>(d);
    const auto n = static_cast<std::int64_t>(width / step + (width % step != 0 ? 1 : 0));
    if (n < 0) bad_value("Range is too long");
    std::vector<std::int64_t> out;
    out.reserve(static_cast<std::size_t>(count({n})));
    for (std::int64_t i = 0; i < n; ++i)
      out.push_back(
          static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(d)));
    return c.out(0, make(dtype, {n}, out));
  }
  const double a = values<double>(start)[0];
  const double b = values<double>(limit)[0];
  const double d = values<double>(delta)[0];
  if (!(d != 0) || !(d > 0 ? b >= a : b <= a) || !std::isfinite((b - a) / d)) bad_value(fmt::format("Range from {} to {} by {}", a, b, d));
  const std::int64_t n = saturate_int64(std::ceil((b - a) / d));
  std::vector<double> out;
  out.reserve(static_cast<std::size_t>(count({n})));
  for (std::int64_t i = 0; i < n; ++i) out.push_back(a + static_cast<double>(i) * d);
  c.out(0, make(dtype, {n}, out));
}
void host_linspace(HostCtx& c) {
  const Tensor& start = c.in("start", 0);
  const double a = values<double>(start).at(0);
  const double b = values<double>(c.in("stop", 1)).at(0);
  const std::int64_t n = one_int(c.in("num", 2));
  if (start.numel() != 1 || n < 0) bad_value("LinSpace needs scalars and a count of at least 0");
  std::vector<double> out;
  out.reserve(static_cast<std::size_t>(count({n})));
  for (std::int64_t i = 0; i < n; ++i)
    out.push_back(i + 1 == n && n > 1 ? b : n == 1 ? a : a + (b - a) / static_cast<double>(n - 1) * static_cast<double>(i));
  c.out(0, make(start.dtype, {n}, out));
}
void check_bitcast(CheckCtx& c) { c.never("keep_dim"); }
void host_bitcast(HostCtx& c) {
  const Tensor& x = c.in(0);
  const DType to = c.attr_dtype("type");
  const std::int64_t from_size = ir::item_size(x.dtype);
  const std::int64_t to_size = ir::item_size(to);
  Tensor out = x;
  out.dtype = to;
  if (from_size > to_size) {
    out.shape.push_back(from_size / to_size);
  } else if (from_size < to_size) {
    if (x.rank() == 0 || x.shape.back() != to_size / from_size)
      bad_value("Bitcast to a wider type: the last dimension must be their ratio");
    out.shape.pop_back();
  }
  c.out(0, out);
}

// ---------------------------------------------------------------- plugin

void ov_identity(OvCtx& c) { c.out(0, c.in(0)); }
void ov_shape(OvCtx& c) {
  const ov::element::Type type = plugin_type(c.attr_dtype("dtype", DType::kInt32));
  for (std::size_t i = 0; i < c.in_count(); ++i) c.out(i, mk<op::ShapeOf>(c.in(i), type));
}
void ov_reshape(OvCtx& c) {
  if (c.attr_int("axis", 0) != 0 || c.attr_int("num_axes", -1) != -1) throw NeedsHost{};
  const OvValue target = c.in("shape", 1);
  // OpenVINO 2026.4's CPU plugin crashes where a matrix product is reshaped to a scalar.
  if (target.get_partial_shape() == ov::PartialShape{0}) throw NeedsHost{};
  c.out(0, mk<op::Reshape>(c.in(0), target, true));
}
void ov_squeeze(OvCtx& c) {
  const OvValue x = c.in(0);
  Dims axes = c.node().type == "SqueezeV3" ? (c.fed("axes", 1) ? c.constant("axes", 1) : Dims{}) : c.attr_ints("axis", Dims{});
  const ov::PartialShape& shape = x.get_partial_shape();
  const std::int64_t rank = OvCtx::rank(x);
  if (axes.empty()) {
    if (shape.is_dynamic()) throw NeedsHost{};
    for (std::int64_t i = 0; i < rank; ++i) {
      if (shape[static_cast<std::size_t>(i)] == 1) axes.push_back(i);
    }
    if (axes.empty()) return c.out(0, x);
  }
  axes = wrap_axes(axes, rank);
  for (const std::int64_t axis : axes) {
    const ov::Dimension& dim = shape[static_cast<std::size_t>(axis)];
    if (dim.is_static() && dim != 1)
      bad(Errc::kInvalidGraph, fmt::format("Squeeze: dimension {} is {}, not 1", axis, dim.get_length()), c.node().name);
  }
  c.out(0, mk<op::Squeeze>(x, i64(axes)));
}
void ov_unsqueeze(OvCtx& c) {
  const std::string& type = c.node().type;
  const Dims axes = type == "ExpandDims"    ? c.constant("axis", 1)
                    : type == "UnsqueezeV3" ? c.constant("axes", 1)
                                            : c.attr_ints(type == "UnsqueezeV2" ? "axis" : "axes");
  c.out(0, mk<op::Unsqueeze>(c.in(0), i64(wrap_axes(axes, OvCtx::rank(c.in(0)) + static_cast<std::int64_t>(axes.size())))));
}
void ov_transpose(OvCtx& c) {
  Dims perm = c.fed("perm", 1) ? c.constant("perm", 1) : c.attr_ints(c.node().type == "Permute" ? "order" : "perm");
  for (std::int64_t& p : perm) p = wrap_axis(p, OvCtx::rank(c.in(0)));
  if (perm.empty()) return c.out(0, c.in(0));
  c.out(0, mk<op::Transpose>(c.in(0), i64(perm)));
}
void ov_broadcast(OvCtx& c) {
  // Numpy broadcasting would also widen the target; only constants without -1 are certain.
  const std::optional<Dims> known = [&]() -> std::optional<Dims> {
    try {
      return c.fed("shape", 1) ? c.constant("shape", 1) : c.attr_ints("shape");
    } catch (const NeedsHost&) {
      return std::nullopt;
    }
  }();
  const OvValue x = c.in(0);
  const std::int64_t rank = OvCtx::rank(x);
  if (!known) {
    // A computed target may hold -1 for "as x": two-way broadcasting means that by 1.
    const OvValue target = c.in("shape", 1);
    const ov::element::Type type = target.get_element_type();
    const OvValue one = op::Constant::create(type, ov::Shape{}, {1});
    const OvValue kept = mk<op::Equal>(target, op::Constant::create(type, ov::Shape{}, {-1}));
    return c.out(0, mk<op::Broadcast>(x, mk<op::Select>(kept, one, target), ov::op::BroadcastType::BIDIRECTIONAL));
  }
  Dims to = *known;
  const auto lead = static_cast<std::int64_t>(to.size()) - rank;
  if (lead < 0) bad(Errc::kInvalidGraph, "the target shape has fewer dimensions than x", c.node().name);
  for (std::size_t i = 0; i < to.size(); ++i) {
    const bool keeps = to[i] == -1 || to[i] == 1;
    if (keeps && static_cast<std::int64_t>(i) >= lead && to[i] == 1 && c.node().type != "Expand") {
      const ov::Dimension& dim = x.get_partial_shape()[i - static_cast<std::size_t>(lead)];
      if (dim != 1) throw NeedsHost{};
    }
    if (keeps) to[i] = 1;
  }
  c.out(0, mk<op::Broadcast>(x, i64(to), ov::op::BroadcastType::BIDIRECTIONAL));
}
void ov_tile(OvCtx& c) {
  const Dims multiples = c.fed("multiples", 1) ? c.constant("multiples", 1) : c.attr_ints("multiples");
  if (multiples.empty()) return c.out(0, c.in(0));
  c.out(0, mk<op::Tile>(c.in(0), i64(multiples)));
}
void ov_concat_of(OvCtx& c, const std::vector<OvValue>& parts, std::int64_t axis) {
  if (parts.empty()) bad(Errc::kInvalidGraph, "nothing to concatenate", c.node().name);
  if (parts.size() == 1) return c.out(0, parts[0]);
  ov::OutputVector values;
  for (const OvValue& part : parts) {
    if (OvCtx::rank(part) == 0) throw NeedsHost{};
    if (part.get_element_type() != parts[0].get_element_type())
      bad(Errc::kInvalidGraph, "concatenated tensors have different element types", c.node().name);
    values.push_back(part);
  }
  c.out(0, mk<op::Concat>(values, wrap_axis(axis, OvCtx::rank(parts[0]))));
}
void ov_concat(OvCtx& c) {
  const std::string& type = c.node().type;
  if (type == "ConcatD" || type == "ConcatV2D") return ov_concat_of(c, c.list("x", 0, 0), c.attr_int("concat_dim"));
  const bool v2 = type == "ConcatV2";
  const Dims axis = c.constant("concat_dim", v2 ? c.in_count() - 1 : 0);
  if (axis.size() != 1) throw NeedsHost{};
  ov_concat_of(c, v2 ? c.list("x", 0, 1) : c.list("x", 1, 0), axis[0]);
}
void ov_pack(OvCtx& c) {
  std::vector<OvValue> parts = c.list("x", 0, 0);
  if (parts.empty()) bad(Errc::kInvalidGraph, "nothing to pack", c.node().name);
  const std::int64_t rank = OvCtx::rank(parts[0]);
  const std::int64_t axis = rank == 0 ? 0 : wrap_axis(c.attr_int("axis", 0), rank + 1);
  for (OvValue& part : parts) part = mk<op::Unsqueeze>(part, i64({axis}));
  ov_concat_of(c, parts, axis);
}
void ov_split(OvCtx& c) {
  const std::string& type = c.node().type;
  if (type == "SplitV" || type == "SplitVD") {
    const bool d = type == "SplitVD";
    const Dims axis = d ? Dims{c.attr_int("split_dim")} : c.constant("split_dim", 2);
    const OvValue x = c.in(0);
    const OvValue sizes = d ? i64(c.attr_ints("size_splits")) : c.in("size_splits", 1);
    if (axis.size() != 1) throw NeedsHost{};
    const auto node = std::make_shared<op::VariadicSplit>(x, i64_scalar(wrap_axis(axis[0], OvCtx::rank(x))), sizes);
    for (std::size_t i = 0; i < node->get_output_size(); ++i) c.out(i, node->output(i));
    return;
  }
  const bool d = type == "SplitD";
  const OvValue x = c.in(d ? 0 : c.slot("x", 1));
  const Dims axis = d ? Dims{c.attr_int("split_dim")} : c.constant("split_dim", 0);
  if (axis.size() != 1) throw NeedsHost{};
  const auto node =
      std::make_shared<op::Split>(x, i64_scalar(wrap_axis(axis[0], OvCtx::rank(x))), static_cast<std::size_t>(c.attr_int("num_split")));
  for (std::size_t i = 0; i < node->get_output_size(); ++i) c.out(i, node->output(i));
}
void ov_unpack(OvCtx& c) {
  const OvValue x = c.in(0);
  const std::int64_t axis = wrap_axis(c.attr_int("axis", 0), OvCtx::rank(x));
  const ov::Dimension& dim = x.get_partial_shape()[static_cast<std::size_t>(axis)];
  if (dim.is_dynamic() || dim.get_length() != c.attr_int("num")) throw NeedsHost{};  // the host says what is wrong
  const auto node = std::make_shared<op::Split>(x, i64_scalar(axis), static_cast<std::size_t>(c.attr_int("num")));
  for (std::size_t i = 0; i < node->get_output_size(); ++i) c.out(i, mk<op::Squeeze>(node->output(i), i64({axis})));
}
void ov_strided_slice(OvCtx& c) {
  for (const char* mask : {"begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"}) {
    if (c.attr_int(mask, 0) != 0) throw NeedsHost{};
  }
  if (c.node().type == "StridedSliceD" || c.in(0).get_element_type() == ov::element::boolean) throw NeedsHost{};
  const bool v1 = c.node().type == "StridedSlice";
  const OvValue x = c.in(0);
  const OvValue begin = c.in("begin", 1);
  const OvValue end = c.in("end", 2);
  const ov::PartialShape& shape = begin.get_partial_shape();
  if (shape.rank().is_dynamic() || shape.rank().get_length() != 1 || shape[0].is_dynamic()) throw NeedsHost{};
  const std::int64_t n = shape[0].get_length();
  Dims axes;
  if (!v1 && c.fed("axes", 3)) {
    axes = c.constant("axes", 3);
  } else {
    axes.resize(static_cast<std::size_t>(n));
    std::iota(axes.begin(), axes.end(), 0);
  }
  for (std::int64_t& axis : axes) axis = wrap_axis(axis, OvCtx::rank(x));
  Dims steps(static_cast<std::size_t>(n), 1);
  if (c.fed("strides", v1 ? 3 : 4)) steps = c.constant("strides", v1 ? 3 : 4);
  // The plugin's Slice has ONNX's rules for negative steps; TF's differ at the edges.
  if (std::any_of(steps.begin(), steps.end(), [](std::int64_t s) { return s <= 0; })) throw NeedsHost{};
  if (n == 0) return c.out(0, x);
  const OvValue step = i64(steps);
  const auto wide = [](const OvValue& v) { return v.get_element_type() == ov::element::i64 ? v : mk<op::Convert>(v, ov::element::i64); };
  c.out(0, mk<op::Slice>(x, wide(begin), wide(end), step, i64(axes)));
}
void ov_slice(OvCtx& c) {
  if (c.node().type == "SliceD") throw NeedsHost{};
  const Dims offsets = c.constant("offsets", 1);
  const Dims sizes = c.constant("size", 2);
  if (offsets.empty()) return c.out(0, c.in(0));
  Dims ends;
  Dims axes;
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const ov::Dimension& dim = c.in(0).get_partial_shape()[i];
    if (dim.is_dynamic() && sizes[i] != -1 && offsets[i] + sizes[i] != 0) throw NeedsHost{};  // GE does not clamp, the plugin does
    if (dim.is_static() && (offsets[i] < 0 || offsets[i] + std::max<std::int64_t>(sizes[i], 0) > dim.get_length())) throw NeedsHost{};
    ends.push_back(sizes[i] == -1 ? INT32_MAX : offsets[i] + sizes[i]);
    axes.push_back(static_cast<std::int64_t>(i));
  }
  c.out(0, mk<op::Slice>(c.in(0), i64(offsets), i64(ends), i64(Dims(offsets.size(), 1)), i64(axes)));
}
void ov_pad(OvCtx& c) {
  const OvValue x = c.in(0);
  const Padding p = split_paddings(c.constant("paddings", 1), OvCtx::rank(x), c.attr_bool("paddings_contiguous", true));
  const std::string mode = pad_mode(c);
  if (mode == "circular" || x.get_element_type() == ov::element::boolean) throw NeedsHost{};
  const ov::op::PadMode kind = mode == "constant"  ? ov::op::PadMode::CONSTANT
                               : mode == "edge"    ? ov::op::PadMode::EDGE
                               : mode == "reflect" ? ov::op::PadMode::REFLECT
                                                   : ov::op::PadMode::SYMMETRIC;
  for (std::size_t i = 0; i < p.front.size(); ++i) {
    if (kind != ov::op::PadMode::CONSTANT && (p.front[i] < 0 || p.back[i] < 0)) throw NeedsHost{};
  }
  if (kind != ov::op::PadMode::CONSTANT) return c.out(0, mk<op::Pad>(x, i64(p.front), i64(p.back), kind));
  OvValue fill = num(x, 0);
  if (c.fed("constant_values", 2)) {
    fill = c.in("constant_values", 2);
    if (fill.get_element_type() != x.get_element_type())
      bad(Errc::kInvalidGraph, "constant_values must have x's element type", c.node().name);
    fill = mk<op::Reshape>(fill, i64({}), false);
  }
  c.out(0, mk<op::Pad>(x, i64(p.front), i64(p.back), fill, kind));
}
void ov_fill(OvCtx& c) {
  const OvValue value = mk<op::Reshape>(c.in("value", 1), i64({}), false);
  c.out(0, mk<op::Broadcast>(value, c.in("dims", 0), ov::op::BroadcastType::NUMPY));
}
void ov_range(OvCtx& c) {
  if (is_real(c.in(0))) throw NeedsHost{};
  const ov::element::Type type = c.in(0).get_element_type();
  std::vector<OvValue> v;
  for (std::size_t i = 0; i < 3; ++i) {
    if (c.in(i).get_element_type() != type) throw NeedsHost{};
    v.push_back(mk<op::Reshape>(c.in(i), i64({}), false));
  }
  c.out(0, mk<op::Range>(v[0], v[1], v[2], type));
}
void ov_zeros_like(OvCtx& c) {
  c.out(0, mk<op::Broadcast>(num(c.in(0), c.node().type == "OnesLike" ? 1 : 0), mk<op::ShapeOf>(c.in(0)), ov::op::BroadcastType::NUMPY));
}

constexpr Op kTable[] = {
    {"Identity", host_identity, ov_identity, Ints::kMove},
    {"IdentityN", host_identity, nullptr},
    {"TensorMove", host_identity, ov_identity, Ints::kMove},
    {"Shape", host_shape, ov_shape, Ints::kShape},
    {"ShapeN", host_shape, ov_shape, Ints::kShape},
    {"Size", host_size, nullptr, Ints::kShape},
    {"Rank", host_rank, nullptr, Ints::kShape},
    {"GatherShapes", host_gather_shapes, nullptr, Ints::kShape},
    {"Reshape", host_reshape, ov_reshape, Ints::kMove},
    {"Squeeze", host_squeeze, ov_squeeze, Ints::kMove},
    {"SqueezeV2", host_squeeze, ov_squeeze, Ints::kMove},
    {"SqueezeV3", host_squeeze, ov_squeeze, Ints::kMove},
    {"Unsqueeze", host_unsqueeze, ov_unsqueeze, Ints::kMove},
    {"UnsqueezeV2", host_unsqueeze, ov_unsqueeze, Ints::kMove},
    {"UnsqueezeV3", host_unsqueeze, ov_unsqueeze, Ints::kMove},
    {"ExpandDims", host_expand_dims, ov_unsqueeze, Ints::kMove},
    {"Flatten", host_flatten, nullptr, Ints::kMove},
    {"FlattenV2", host_flatten, nullptr, Ints::kMove},
    {"Transpose", host_transpose, ov_transpose, Ints::kMove},
    {"TransposeD", host_transpose, ov_transpose, Ints::kMove},
    {"Permute", host_transpose, ov_transpose, Ints::kMove},
    {"BroadcastTo", host_broadcast, ov_broadcast, Ints::kMove},
    {"BroadcastToD", host_broadcast, ov_broadcast, Ints::kMove},
    {"Expand", host_expand, ov_broadcast, Ints::kMove},
    {"Tile", host_tile, ov_tile, Ints::kMove},
    {"TileD", host_tile, ov_tile, Ints::kMove},
    {"Concat", host_concat, ov_concat, Ints::kMove},
    {"ConcatD", host_concat_d, ov_concat, Ints::kMove},
    {"ConcatV2", host_concat_v2, ov_concat, Ints::kMove},
    {"ConcatV2D", host_concat_d, ov_concat, Ints::kMove},
    {"Pack", host_pack, ov_pack, Ints::kMove},
    {"Split", host_split, ov_split, Ints::kMove},
    {"SplitD", host_split, ov_split, Ints::kMove},
    {"SplitV", host_split_v, ov_split, Ints::kMove},
    {"SplitVD", host_split_v, ov_split, Ints::kMove},
    {"Unpack", host_unpack, ov_unpack, Ints::kMove},
    {"Slice", host_slice, ov_slice, Ints::kMove},
    {"SliceD", host_slice, ov_slice, Ints::kMove},
    {"StridedSlice", host_strided_slice, ov_strided_slice, Ints::kMove},
    {"StridedSliceD", host_strided_slice, nullptr, Ints::kMove},
    checked({"StridedSliceV2", host_strided_slice, ov_strided_slice, Ints::kMove}, check_slice_masks),
    {"StridedSliceV3", host_strided_slice, ov_strided_slice, Ints::kMove},
    {"StridedSliceAssign", host_strided_assign, nullptr, Ints::kHost, 0},
    {"StridedSliceAssignV2", host_strided_assign, nullptr, Ints::kHost, 0},
    {"Pad", host_pad, ov_pad, Ints::kMove},
    {"PadV2", host_pad, ov_pad, Ints::kMove},
    checked({"PadV3", host_pad, ov_pad, Ints::kMove}, check_pad),
    checked({"MirrorPad", host_pad, ov_pad, Ints::kMove}, check_mirror_pad),
    {"ReverseV2", host_reverse, nullptr},
    {"ReverseV2D", host_reverse, nullptr},
    {"Roll", host_roll, nullptr},
    {"RollV2", host_roll, nullptr},
    {"Tril", host_tril, nullptr},
    {"Triu", host_triu, nullptr},
    {"MatrixBandPart", host_band_part, nullptr},
    {"Diag", host_diag, nullptr},
    {"DiagPart", host_diag_part, nullptr},
    {"DiagV2", host_diag_v2, nullptr},
    {"DiagFlat", host_diag_v2, nullptr},
    {"MatrixDiag", host_matrix_diag, nullptr},
    {"MatrixDiagPart", host_matrix_diag_part, nullptr},
    {"MatrixSetDiag", host_matrix_set_diag, nullptr},
    checked({"DepthToSpace", host_depth_to_space, nullptr}, check_space),
    checked({"SpaceToDepth", host_space_to_depth, nullptr}, check_space),
    {"AsStrided", host_as_strided, nullptr},
    {"ViewCopy", host_view_copy, nullptr, Ints::kHost, 0},
    {"Fill", host_fill, ov_fill, Ints::kMove},
    {"FillV2", host_fill_v2, nullptr},
    {"Empty", host_empty, nullptr},
    {"ZerosLike", host_zeros_like, ov_zeros_like, Ints::kMove},
    {"OnesLike", host_ones_like, ov_zeros_like, Ints::kMove},
    {"Eye", host_eye, nullptr},
    checked({"Range", host_range, ov_range, Ints::kArith}, check_range),
    {"LinSpace", host_linspace, nullptr},
    checked({"Bitcast", host_bitcast, nullptr}, check_bitcast),
};

}  // namespace

Dims resolve_reshape(const NodeView& n, const Dims& from, Dims to) {
  const std::int64_t axis = n.attr_int("axis", 0);
  const std::int64_t num = n.attr_int("num_axes", -1);
  const auto rank = static_cast<std::int64_t>(from.size());
  const std::int64_t first = axis < 0 ? axis + rank + 1 : axis;
  const std::int64_t last = num < 0 ? rank : first + num;
  if (first < 0 || first > rank || last > rank) bad_value("Reshape's axis and num_axes do not fit x");
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i] != 0) continue;
    if (first + static_cast<std::int64_t>(i) >= rank)
      bad_value(fmt::format("Reshape copies dimension {} of {}, which has none", i, dims_text(from)));
    to[i] = from[static_cast<std::size_t>(first) + i];
  }
  Dims out(from.begin(), from.begin() + first);
  out.insert(out.end(), to.begin(), to.end());
  out.insert(out.end(), from.begin() + last, from.end());
  const auto hole = std::find(out.begin(), out.end(), -1);
  if (hole != out.end()) {
    *hole = 1;
    const std::int64_t known = count(out);
    const std::int64_t all = count(from);
    if (known == 0 || all % known != 0) bad_value(fmt::format("Reshape of {} to {}: -1 cannot be found", dims_text(from), dims_text(to)));
    *hole = all / known;
  }
  return out;
}
std::span<const Op> shape_ops() { return kTable; }

}  // namespace airloom::runtime
