// The operator families: one constexpr table each.
#pragma once

#include <span>

#include "runtime/op.h"

namespace airloom::runtime {

std::span<const Op> pointwise_ops();
std::span<const Op> reduce_ops();
std::span<const Op> shape_ops();
std::span<const Op> index_ops();
std::span<const Op> linalg_ops();
std::span<const Op> nn_ops();
std::span<const Op> attention_ops();
std::span<const Op> random_ops();
std::span<const Op> control_ops();
std::span<const Op> collective_ops();

}  // namespace airloom::runtime
