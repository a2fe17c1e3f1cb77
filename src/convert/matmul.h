// The matrix product that linalg and attention share.
#pragma once

#include "convert/build.h"

namespace airloom::convert {

/// x1 @ x2 (x2 transposed in its last two dims when asked) as MatMulV2 for matrices, BatchMatMulV2 for batches. Throws Unsupported for
/// dtypes GE has no product of.
Value matrix_product(Build& b, Value x1, Value x2, const TensorType& out, bool transpose_x2, std::optional<Value> bias);

}  // namespace airloom::convert
