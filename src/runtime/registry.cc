// Joins the families' tables.
#include <algorithm>

#include "runtime/families.h"

namespace airloom::runtime {
namespace {

using Family = std::span<const Op> (*)();
constexpr Family kFamilies[] = {pointwise_ops, reduce_ops,    shape_ops,  index_ops,   linalg_ops,
                                nn_ops,        attention_ops, random_ops, control_ops, collective_ops};

}  // namespace

const Op* find_op(std::string_view type) {
  for (const Family family : kFamilies) {
    for (const Op& row : family()) {
      if (row.type == type) return &row;
    }
  }
  return nullptr;
}

std::vector<std::string_view> op_types() {
  std::vector<std::string_view> out;
  for (const Family family : kFamilies) {
    for (const Op& row : family()) out.push_back(row.type);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace airloom::runtime
