// NumPy archives: .npz files of .npy arrays, stored or deflated.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "airloom/runtime.h"

namespace airloom::runtime {

/// Arrays by name, in the archive's order. Fortran-ordered, big-endian and object arrays are refused, damaged archives too.
Result<std::vector<std::pair<std::string, TensorBuf>>> read_npz(const std::string& path);
/// Stored (not compressed); written under a temporary name and renamed. bfloat16 has no NumPy type: it is written as float32.
Status write_npz(const std::string& path, const std::vector<std::pair<std::string, TensorBuf>>& arrays);

}  // namespace airloom::runtime
