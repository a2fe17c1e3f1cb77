// Python tensors and arrays in and out without copies and without a detour through Python code: torch tensors over DLPack's C functions,
// numpy arrays over the buffer protocol.
#pragma once

#include <optional>

#include <nanobind/nanobind.h>

#include "airloom/runtime.h"

namespace airloom::bindings {

struct TorchApi;  // DLPackExchangeAPI of torch.Tensor

/// Elements of a Python object, valid while this and the object live.
class Borrowed {
 public:
  Borrowed() = default;
  Borrowed(Borrowed&& other) noexcept : view(std::move(other.view)), torch(other.torch), buffer_(std::exchange(other.buffer_, {})) {}
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  Borrowed& operator=(Borrowed&&) = delete;
  ~Borrowed() {
    if (buffer_.obj != nullptr) PyBuffer_Release(&buffer_);
  }

  runtime::TensorView view;
  const TorchApi* torch = nullptr;  // null: an array

 private:
  friend std::optional<Borrowed> borrow(nanobind::handle value, ir::DType wanted);
  Py_buffer buffer_{};
};

/// Whether tensor_of() knows the type.
bool has_tensor_form(ir::DType dtype);

/// Nothing unless `value` is exactly a torch.Tensor or numpy.ndarray, dense, row-major, on the CPU, of `wanted` elements (types that numpy
/// lacks: unsigned numbers of as many bits). No Python exception is left set.
std::optional<Borrowed> borrow(nanobind::handle value, ir::DType wanted);

/// A tensor over the buffer's own memory, which it keeps alive.
nanobind::object tensor_of(const runtime::TensorBuf& buf, const TorchApi& torch);
nanobind::object array_of(const runtime::TensorBuf& buf);

}  // namespace airloom::bindings
