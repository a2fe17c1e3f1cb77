// Collectives: host nodes that see their group.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "runtime/check.h"
#include "runtime/exec.h"
#include "runtime/families.h"
#include "runtime/ranks.h"

namespace airloom::runtime {
namespace {

RankGroup& group_of(HostCtx& c) {
  if (c.scope() == nullptr) bad(Errc::kUnsupported, "collectives are not folded", c.node().name);
  RankGroup& group = c.scope()->group(c.attr_string("group", ""));
  const std::int64_t declared = c.attr_int("rank_size", group.size());
  if (declared != group.size()) {
    bad(Errc::kInvalidGraph, fmt::format("rank_size is {}, but group '{}' has {} ranks", declared, group.name(), group.size()),
        c.node().name, "start as many ranks as the file was exported for");
  }
  return group;
}

Reduction reduction_of(const NodeView& n) {
  const std::string name = n.attr_string("reduction", "sum");
  return name == "prod" ? Reduction::kProd : name == "max" ? Reduction::kMax : name == "min" ? Reduction::kMin : Reduction::kSum;
}

/// The type that values are combined in: half types are summed in float32 and rounded once.
DType wide_type(DType dtype) { return dtype == DType::kFloat16 || dtype == DType::kBFloat16 ? DType::kFloat : dtype; }
/// Also for a type that no descriptor declares, which the check at load does not see.
Combine combine_for(const HostCtx& c, DType wide, Reduction reduction) {
  const Combine combine = combine_of(wide, reduction);
  if (combine == nullptr) bad_value(fmt::format("reduction {:?} of {}", c.attr_string("reduction", "sum"), ir::info(wide).torch));
  return combine;
}
void check_reduction(CheckCtx& c) {
  c.only("reduction", {"sum", "prod", "max", "min"});
  const DType dtype = c.dtype(c.slot("x", 0));
  if (dtype != DType::kUndefined && combine_of(wide_type(dtype), reduction_of(c)) == nullptr)
    c.refuse(fmt::format("with reduction {:?} of {}", c.attr_string("reduction", "sum"), ir::info(dtype).torch));
}

Tensor own_copy(const Tensor& x) {
  Tensor out = allocate(x.dtype, x.shape);
  std::memcpy(writable(out), x.data, static_cast<std::size_t>(x.nbytes()));
  return out;
}

std::int64_t rows_by_rank(HostCtx& c, const Tensor& x, const RankGroup& group) {
  if (x.rank() == 0 || x.shape[0] % group.size() != 0) {
    bad(Errc::kRuntime, fmt::format("dimension 0 of {} does not divide into {} ranks", dims_text(x.shape), group.size()), c.node().name);
  }
  return x.shape[0] / group.size();
}

void all_reduce(HostCtx& c) {
  RankGroup& group = group_of(c);
  const Tensor& x = c.in("x", 0);
  const Reduction reduction = reduction_of(c);
  const DType wide = wide_type(x.dtype);
  const Combine combine = combine_for(c, wide, reduction);
  group.agree({"HcomAllReduce", x.dtype, x.numel(), static_cast<std::int64_t>(reduction), {}});
  const Tensor sum = wide == x.dtype ? own_copy(x) : cast(x, wide);
  group.all_reduce(writable(sum), static_cast<std::size_t>(sum.numel()), static_cast<std::size_t>(ir::item_size(wide)), combine);
  c.out(0, wide == x.dtype ? sum : cast(sum, x.dtype));
}

void all_gather(HostCtx& c) {
  RankGroup& group = group_of(c);
  const Tensor& x = c.in("x", 0);
  Dims shape = x.shape;
  if (shape.empty()) shape = {1};
  shape[0] *= group.size();
  group.agree({"HcomAllGather", x.dtype, x.numel(), 0, {}});
  Tensor y = allocate(x.dtype, std::move(shape));
  group.all_gather(x.data, static_cast<std::size_t>(x.nbytes()), writable(y));
  c.out(0, std::move(y));
}

/// Every rank gets its own chunk of all others and combines them in rank order.
void reduce_scatter(HostCtx& c) {
  RankGroup& group = group_of(c);
  const Tensor& x = c.in("x", 0);
  const Reduction reduction = reduction_of(c);
  const DType wide = wide_type(x.dtype);
  const Combine combine = combine_for(c, wide, reduction);
  Dims shape = x.shape;
  const std::int64_t rows = rows_by_rank(c, x, group);
  group.agree({"HcomReduceScatter", x.dtype, x.numel(), static_cast<std::int64_t>(reduction), {}});
  const std::vector<std::int64_t> bytes(static_cast<std::size_t>(group.size()), x.nbytes() / group.size());
  const Tensor received = allocate(x.dtype, x.shape);
  if (x.nbytes() != 0) group.all_to_all(x.data, bytes, writable(received), bytes);
  const Tensor parts = wide == x.dtype ? received : cast(received, wide);
  shape[0] = rows;
  Tensor y = allocate(wide, shape);
  const std::int64_t chunk = y.nbytes();
  std::memcpy(writable(y), parts.data, static_cast<std::size_t>(chunk));
  for (int r = 1; r < group.size(); ++r) combine(writable(y), y.data, parts.data + r * chunk, static_cast<std::size_t>(y.numel()));
  c.out(0, wide == x.dtype ? std::move(y) : cast(y, x.dtype));
}

void all_to_all(HostCtx& c) {
  RankGroup& group = group_of(c);
  const Tensor& x = c.in("x", 0);
  rows_by_rank(c, x, group);
  group.agree({"HcomAllToAll", x.dtype, x.numel(), 0, {}});
  const std::vector<std::int64_t> bytes(static_cast<std::size_t>(group.size()), x.nbytes() / group.size());
  Tensor y = allocate(x.dtype, x.shape);
  if (x.nbytes() != 0) group.all_to_all(x.data, bytes, writable(y), bytes);
  c.out(0, std::move(y));
}

/// Counts and displacements in elements; every block within [0, limit) elements.
struct Blocks {
  Dims counts, starts;
};
Blocks blocks(HostCtx& c, std::string_view counts, std::size_t slot, std::string_view starts, const RankGroup& group, std::int64_t limit) {
  Blocks out{ints(c.in(counts, slot)), ints(c.in(starts, slot + 1))};
  const auto n = static_cast<std::size_t>(group.size());
  if (out.counts.size() != n || out.starts.size() != n) {
    bad(Errc::kRuntime,
        fmt::format("{} and {} have {} and {} elements, the group has {} ranks", counts, starts, out.counts.size(), out.starts.size(), n),
        c.node().name);
  }
  if (limit < 0) {  // as much as the counts say
    limit = 0;
    for (const std::int64_t count : out.counts) {
      if (count < 0 || count > INT64_MAX / 64 - limit)
        bad(Errc::kRuntime, fmt::format("{} = [{}]", counts, fmt::join(out.counts, ", ")), c.node().name);
      limit += count;
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (out.counts[i] < 0 || out.counts[i] > limit || out.starts[i] < 0 || out.starts[i] > limit - out.counts[i]) {
      bad(Errc::kRuntime,
          fmt::format("{} = [{}] from [{}] are not within {} elements", counts, fmt::join(out.counts, ", "), fmt::join(out.starts, ", "),
                      limit),
          c.node().name);
    }
  }
  return out;
}

void all_to_all_v(HostCtx& c) {
  RankGroup& group = group_of(c);
  const Tensor& x = c.in("send_data", 0);
  const Blocks send = blocks(c, "send_counts", 1, "send_displacements", group, x.numel());
  const Blocks receive = blocks(c, "recv_counts", 3, "recv_displacements", group, -1);
  const Dims told = group.agree({"HcomAllToAllV", x.dtype, 0, 0, send.counts});
  if (told != receive.counts) {
    bad(Errc::kRuntime,
        fmt::format("recv_counts are [{}], but the ranks send [{}] elements", fmt::join(receive.counts, ", "), fmt::join(told, ", ")),
        c.node().name);
  }
  const std::int64_t item = ir::item_size(x.dtype);
  const std::int64_t total = std::accumulate(receive.counts.begin(), receive.counts.end(), std::int64_t{0});
  // Blocks go one after another on the wire.
  const Tensor packed = allocate(x.dtype, {std::accumulate(send.counts.begin(), send.counts.end(), std::int64_t{0})});
  const Tensor arrived = allocate(x.dtype, {total});
  Dims send_bytes;
  Dims receive_bytes;
  std::byte* to = writable(packed);
  for (std::size_t i = 0; i < send.counts.size(); ++i) {
    send_bytes.push_back(send.counts[i] * item);
    receive_bytes.push_back(receive.counts[i] * item);
    std::memcpy(to, x.data + send.starts[i] * item, static_cast<std::size_t>(send_bytes[i]));
    to += send_bytes[i];
  }
  group.all_to_all(packed.data, send_bytes, writable(arrived), receive_bytes);
  // Rows of the input's inner dimensions; flat when the elements do not fill rows.
  Dims shape = {total};
  if (x.rank() > 1) {
    const std::int64_t row = count(Dims(x.shape.begin() + 1, x.shape.end()));
    if (row > 0 && total % row == 0) {
      shape = x.shape;
      shape[0] = total / row;
    } else if (row == 0) {  // nothing says how many rows of nothing: what the file declares
      shape = x.shape;
      const ir::TensorType& type = c.node().outputs.at(0).type;
      if (type.is_static() && !type.unknown_rank && !type.dims().empty()) shape[0] = type.dims()[0];
    }
  }
  Tensor y = zeros(x.dtype, std::move(shape));
  const std::byte* from = arrived.data;
  for (std::size_t i = 0; i < receive.counts.size(); ++i) {
    std::memcpy(writable(y) + receive.starts[i] * item, from, static_cast<std::size_t>(receive_bytes[i]));
    from += receive_bytes[i];
  }
  c.out(0, std::move(y));
}

void broadcast(HostCtx& c) {
  RankGroup& group = group_of(c);
  const std::int64_t root = c.attr_int("root_rank");
  if (root < 0 || root >= group.size())
    bad(Errc::kInvalidGraph, fmt::format("root_rank {} is not in group '{}' of {} ranks", root, group.name(), group.size()), c.node().name);
  const std::vector<Tensor> list = c.list("x", 0, 0);
  for (std::size_t i = 0; i < list.size(); ++i) {
    group.agree({"HcomBroadcast", list[i].dtype, list[i].numel(), root, {}});
    Tensor y = own_copy(list[i]);
    group.broadcast(writable(y), static_cast<std::size_t>(y.nbytes()), static_cast<int>(root));
    c.out(i, std::move(y));
  }
}

constexpr Op row(std::string_view type, HostFn host, CheckFn check = nullptr) {
  return {type, host, nullptr, Ints::kHost, -1, true, true, check};
}
constexpr Op kTable[] = {
    row("HcomAllReduce", all_reduce, check_reduction),
    row("HcomAllGather", all_gather),
    row("HcomReduceScatter", reduce_scatter, check_reduction),
    row("HcomAllToAll", all_to_all),
    row("HcomAllToAllV", all_to_all_v),
    row("HcomBroadcast", broadcast),
};

}  // namespace

std::span<const Op> collective_ops() { return kTable; }

}  // namespace airloom::runtime
