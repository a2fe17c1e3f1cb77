// Functional collectives (torch.ops._c10d_functional).
#include <numeric>

#include <fmt/format.h>

#include "convert/elementwise.h"
#include "convert/registry.h"

namespace airloom::convert {

namespace {

constexpr std::size_t kMaxGroupName = 127;  // HCCL copies the name into a fixed buffer

const program::Group& checked_group(Build& b, const std::string& name) {
  const program::Group& group = b.group(name);
  if (group.name.empty() || group.name.size() > kMaxGroupName)
    throw Unsupported(fmt::format("the group name \"{}\" is not of 1 to {} bytes", group.name, kMaxGroupName));
  return group;
}

/// HCCL knows sum, prod, max, min; an average is a sum and a division by the group's size.
struct Reduction {
  std::string name;
  bool average = false;
};
Reduction reduction(const std::string& op) {
  if (op == "sum" || op == "max" || op == "min") return {op, false};
  if (op == "product" || op == "prod") return {"prod", false};
  if (op == "avg") return {"sum", true};
  throw Unsupported(fmt::format("the reduction \"{}\" (HCCL has sum, prod, max, min; avg is computed from sum)", op));
}
Value averaged(Build& b, Value sum, const Reduction& by, std::size_t ranks) {
  if (!by.average) return sum;
  const DType dtype = b.out().dtype;
  const Value count = b.scalar(static_cast<std::int64_t>(ranks), dtype);
  if (ir::is_floating(dtype)) return b.op<ge::RealDiv>(b.out(), {sum, count});
  throw Unsupported("the average of an integer tensor");
}

// _c10d_functional::all_reduce(Tensor input, str reduce_op, str group_name) -> Tensor
Value all_reduce(Build& b, Value input, std::string reduce_op, std::string group_name) {
  const program::Group& group = checked_group(b, group_name);
  const Reduction by = reduction(reduce_op);
  const Value sum = b.op<ge::HcomAllReduce>(b.out(), {input}, {.reduction = by.name, .group = group.name, .fusion = 0});
  return averaged(b, sum, by, group.ranks.size());
}

// _c10d_functional::all_gather_into_tensor(Tensor input, int group_size, str group_name) -> Tensor
Value all_gather_into_tensor(Build& b, Value input, std::int64_t group_size, std::string group_name) {
  const program::Group& group = checked_group(b, group_name);
  return b.op<ge::HcomAllGather>(b.out(), {input}, {.rank_size = group_size, .group = group.name});
}

// _c10d_functional::reduce_scatter_tensor(Tensor input, str reduce_op, int group_size, str group_name) -> Tensor
Value reduce_scatter_tensor(Build& b, Value input, std::string reduce_op, std::int64_t group_size, std::string group_name) {
  const program::Group& group = checked_group(b, group_name);
  const Reduction by = reduction(reduce_op);
  const Value sum = b.op<ge::HcomReduceScatter>(b.out(), {input}, {.reduction = by.name, .group = group.name, .rank_size = group_size});
  return averaged(b, sum, by, group.ranks.size());
}

// _c10d_functional::all_to_all_single(Tensor input, SymInt[] output_split_sizes, SymInt[] input_split_sizes, str group_name) -> Tensor
Value all_to_all_single(Build& b, Value input, Shape output_split_sizes, Shape input_split_sizes, std::string group_name) {
  const program::Group& group = checked_group(b, group_name);
  const auto even = [](const Shape& sizes) {
    return std::all_of(sizes.begin(), sizes.end(), [&](const Expr& e) { return e == sizes.front(); });
  };
  if (even(output_split_sizes) && even(input_split_sizes)) return b.op<ge::HcomAllToAll>(b.out(), {input}, {.group = group.name});
  // The V form counts elements, torch counts rows.
  Expr row(1);
  for (std::size_t i = 1; i < b.shape(input).size(); ++i) row = row * b.shape(input)[i];
  const auto counts = [&](const Shape& rows, bool displacements) {
    Shape out;
    Expr before(0);
    for (const Expr& e : rows) {
      out.push_back(displacements ? before * row : e * row);
      before = before + e;
    }
    return b.sizes(out);
  };
  return b.op<ge::HcomAllToAllV>(b.out(),
                                 {input, counts(input_split_sizes, false), counts(input_split_sizes, true),
                                  counts(output_split_sizes, false), counts(output_split_sizes, true)},
                                 {.group = group.name});
}

// _c10d_functional::broadcast(Tensor input, int src, str group_name) -> Tensor
Value broadcast(Build& b, Value input, std::int64_t src, std::string group_name) {
  const program::Group& group = checked_group(b, group_name);
  return b.ops<ge::HcomBroadcast>({b.out()}, {std::vector<Value>{input}}, {.root_rank = src, .group = group.name}).front();
}

// _c10d_functional::wait_tensor(Tensor tensor) -> Tensor
Value wait_tensor(Build& b, Value tensor) { return b.identity(tensor); }

constexpr Converter table[] = {
    {"_c10d_functional.all_reduce.default", bind<all_reduce>},
    {"_c10d_functional.all_gather_into_tensor.default", bind<all_gather_into_tensor>},
    {"_c10d_functional.reduce_scatter_tensor.default", bind<reduce_scatter_tensor>},
    {"_c10d_functional.all_to_all_single.default", bind<all_to_all_single>},
    {"_c10d_functional.broadcast.default", bind<broadcast>},
    {"_c10d_functional.wait_tensor.default", bind<wait_tensor>},
};

}  // namespace

std::span<const Converter> collective_table() { return table; }

}  // namespace airloom::convert
