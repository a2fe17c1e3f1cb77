// A constant's elements: borrowed from a model's weights, mapped from a file, or owned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "airloom/dtype.h"

namespace airloom::ir {

/// Shape, dtype and a pointer to elements. `stride` (in elements) is empty for dense row-major data; views of weights keep
/// theirs, and the bytes are gathered while they stream into a file. `owner` keeps the memory alive (null: the caller does).
struct Tensor {
  DType dtype = DType::kFloat;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> stride;
  const std::byte* data = nullptr;  // element 0; null when the elements are elsewhere (a file named by an attribute) or there are none
  std::shared_ptr<const void> owner;
  std::string weight;  // fully qualified parameter/buffer name, empty for lifted and computed constants

  [[nodiscard]] std::int64_t numel() const;   // -1 when a dim is negative, the product does not fit 64 bits or `stride` has another rank
  [[nodiscard]] std::int64_t nbytes() const;  // of the dense form, sub-byte types packed; -1 like numel; 0 for types of no fixed size
  [[nodiscard]] bool dense() const;           // contiguous row-major (size-1 dims ignored)

  /// Calls `sink` with consecutive pieces of the dense little-endian bytes, without a copy of the whole when dense,
  /// else through a buffer of at most 1 MiB. Stops when sink returns false; returns whether it ran to the end (false too when
  /// nbytes() is not zero and there is no data).
  bool stream(const std::function<bool(std::span<const std::byte>)>& sink) const;
  /// A copy of the dense bytes, for small constants; empty when there is no data.
  [[nodiscard]] std::vector<std::byte> bytes() const;

  /// Throws Exception(kInvalidArgument) unless `bytes` are exactly the dense form.
  static Tensor from_bytes(DType dtype, std::vector<std::int64_t> shape, std::vector<std::byte> bytes);
  /// Elements given as numbers and stored as `dtype` (integers wrap, floats round to nearest even, fractions are cut off for integers).
  /// Throws Exception: kInvalidArgument unless there are exactly as many values as elements, kUnsupported unless has_numbers(dtype).
  static Tensor from_ints(DType dtype, std::vector<std::int64_t> shape, std::span<const std::int64_t> values);
  static Tensor from_floats(DType dtype, std::vector<std::int64_t> shape, std::span<const double> values);
  /// Whether elements of this type convert to and from numbers: all but str, resource, dual, hif8 and the fp6 and fp4 types.
  static bool has_numbers(DType dtype);
  /// Element i of the dense order widened to double / int64 (bool is 0 or 1; complex gives the real part; float to int cuts off and
  /// saturates, NaN is 0). `i` must be in range and the tensor have data and has_numbers(dtype).
  [[nodiscard]] double float_at(std::int64_t i) const;
  [[nodiscard]] std::int64_t int_at(std::int64_t i) const;
};

bool same_bytes(const Tensor& a, const Tensor& b);  // dtype, shape and dense content (or both without)

}  // namespace airloom::ir
