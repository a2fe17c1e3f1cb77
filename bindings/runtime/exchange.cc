#include "exchange.h"

#include <array>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include "runtime/tensor.h"

namespace nb = nanobind;

namespace airloom::bindings {

// DLPack 1.3, dlpack.h: the layout of the structures is the standard's.
namespace {
struct Version {
  std::uint32_t major, minor;
};
struct Managed {
  Version version;
  void* context;
  void (*deleter)(Managed* self);
  std::uint64_t flags;
  nb::dlpack::dltensor tensor;
};
}  // namespace

struct TorchApi {
  Version version;
  void* previous;
  void* allocate;
  int (*managed_from_object)(void* object, Managed** out);
  int (*managed_to_object)(Managed* tensor, void** out);
  int (*tensor_from_object)(void* object, nb::dlpack::dltensor* out);
  void* stream;
};

namespace {

using ir::DType;

struct Known {
  DType dtype;
  std::uint8_t code, bits;  // DLPack
  std::string_view format;  // buffer protocol; empty where numpy has no such type
};
constexpr std::array kKnown = {
    Known{DType::kFloat, 2, 32, "f"},   Known{DType::kDouble, 2, 64, "d"},     Known{DType::kFloat16, 2, 16, "e"},
    Known{DType::kBFloat16, 4, 16, ""}, Known{DType::kInt8, 0, 8, "b"},        Known{DType::kInt16, 0, 16, "h"},
    Known{DType::kInt32, 0, 32, "i"},   Known{DType::kInt64, 0, 64, "l"},      Known{DType::kUInt8, 1, 8, "B"},
    Known{DType::kUInt16, 1, 16, "H"},  Known{DType::kUInt32, 1, 32, "I"},     Known{DType::kUInt64, 1, 64, "L"},
    Known{DType::kBool, 6, 8, "?"},     Known{DType::kComplex64, 5, 64, "Zf"}, Known{DType::kComplex128, 5, 128, "Zd"},
};
const Known* known(DType dtype) {
  for (const Known& row : kKnown) {
    if (row.dtype == dtype) return &row;
  }
  return nullptr;
}
const Known* unsigned_of(std::int64_t bytes) {
  for (const DType dtype : {DType::kUInt8, DType::kUInt16, DType::kUInt32, DType::kUInt64}) {
    if (ir::item_size(dtype) == bytes) return known(dtype);
  }
  return nullptr;
}
/// How numpy holds these elements.
const Known* in_numpy(DType dtype) {
  const Known* row = known(dtype);
  return row != nullptr && !row->format.empty() ? row : unsigned_of(ir::item_size(dtype));
}

/// The functions of torch.Tensor; null when the type is another one.
const TorchApi* torch_api(PyTypeObject* type) {
  static const PyTypeObject* tensor_type = nullptr;  // guarded by the GIL
  static const TorchApi* api = nullptr;
  if (type == tensor_type) return api;
  if (tensor_type != nullptr || std::string_view(type->tp_name) != "Tensor") return nullptr;
  const nb::handle object(reinterpret_cast<PyObject*>(type));
  if (nb::cast<std::string>(object.attr("__module__")) != "torch") return nullptr;
  const nb::object capsule = nb::getattr(object, "__dlpack_c_exchange_api__", nb::none());
  if (!PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) return nullptr;
  const auto* found = static_cast<const TorchApi*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  if (found->version.major != 1 || found->tensor_from_object == nullptr) return nullptr;
  api = found;  // lives as long as the process
  tensor_type = type;
  return api;
}

bool row_major(const nb::dlpack::dltensor& tensor) {
  if (tensor.strides == nullptr) return true;
  std::int64_t step = 1;
  for (std::int32_t i = tensor.ndim; i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != step) return false;
    step *= tensor.shape[i];
  }
  return true;
}

/// Memory of a TensorBuf on its way through DLPack.
struct Handed {
  Managed managed;
  std::shared_ptr<void> owner;
  std::vector<std::int64_t> shape, strides;
};

}  // namespace

bool has_tensor_form(DType dtype) { return known(dtype) != nullptr; }

std::optional<Borrowed> borrow(nb::handle value, DType wanted) {
  PyTypeObject* type = Py_TYPE(value.ptr());
  Borrowed out;
  out.view.dtype = wanted;
  if (const TorchApi* api = torch_api(type)) {
    const Known* row = known(wanted);
    if (row == nullptr) return std::nullopt;
    // Elements that stand there with the other sign: DLPack does not know of them.
    static const nb::handle is_neg(PyUnicode_InternFromString("is_neg"));
    const nb::object negative = nb::steal(PyObject_CallMethodNoArgs(value.ptr(), is_neg.ptr()));
    nb::dlpack::dltensor tensor{};
    if (negative.ptr() != Py_False || api->tensor_from_object(value.ptr(), &tensor) != 0) {
      PyErr_Clear();
      return std::nullopt;
    }
    if (tensor.device.device_type != nb::device::cpu::value || tensor.dtype.code != row->code || tensor.dtype.bits != row->bits ||
        tensor.dtype.lanes != 1 || !row_major(tensor))
      return std::nullopt;
    out.torch = api;
    out.view.shape.assign(tensor.shape, tensor.shape + tensor.ndim);
    out.view.data = static_cast<const std::byte*>(tensor.data) + tensor.byte_offset;
  } else if (std::string_view(type->tp_name) == "numpy.ndarray") {
    if (PyObject_GetBuffer(value.ptr(), &out.buffer_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) {
      PyErr_Clear();
      return std::nullopt;
    }
    const Known* row = in_numpy(wanted);
    if (row == nullptr || out.buffer_.format == nullptr || row->format != out.buffer_.format) return std::nullopt;
    out.view.shape.assign(out.buffer_.shape, out.buffer_.shape + out.buffer_.ndim);
    out.view.data = out.buffer_.buf;
  } else {
    return std::nullopt;
  }
  static constexpr std::byte kNothing{};
  if (out.view.data == nullptr) out.view.data = &kNothing;  // no elements; null would ask for a kept value
  return out;
}

nb::object tensor_of(const runtime::TensorBuf& buf, const TorchApi& torch) {
  const Known* row = known(buf.dtype);
  if (row == nullptr) throw nb::type_error(fmt::format("elements of type {} have no form in torch", ir::info(buf.dtype).text).c_str());
  auto handed = std::make_unique<Handed>();
  handed->owner = buf.data;
  handed->shape = buf.shape;
  handed->strides = runtime::row_strides(buf.shape);
  Managed& managed = handed->managed;
  managed = {};
  managed.version = {1, 1};
  managed.context = handed.get();
  managed.deleter = [](Managed* self) { delete static_cast<Handed*>(self->context); };
  managed.tensor.data = buf.data.get();
  managed.tensor.device = {nb::device::cpu::value, 0};
  managed.tensor.ndim = static_cast<std::int32_t>(buf.shape.size());
  managed.tensor.dtype = {row->code, row->bits, 1};
  managed.tensor.shape = handed->shape.data();
  managed.tensor.strides = handed->strides.data();
  void* out = nullptr;
  if (torch.managed_to_object(&managed, &out) != 0) throw nb::python_error();
  handed.release();  // NOLINT(bugprone-unused-return-value): the tensor has it
  return nb::steal(static_cast<PyObject*>(out));
}

nb::object array_of(const runtime::TensorBuf& buf) {
  static std::byte nothing[16];  // where arrays without elements point
  const Known* row = in_numpy(buf.dtype);
  if (row == nullptr) throw nb::type_error(fmt::format("elements of type {} have no form in numpy", ir::info(buf.dtype).text).c_str());
  const std::vector<std::size_t> shape(buf.shape.begin(), buf.shape.end());
  auto holder = std::make_unique<std::shared_ptr<void>>(buf.data);
  void* data = *holder ? holder->get() : nothing;
  const nb::capsule owner(holder.get(), [](void* p) noexcept { delete static_cast<std::shared_ptr<void>*>(p); });
  holder.release();  // NOLINT(bugprone-unused-return-value): the capsule has it
  return nb::cast(nb::ndarray<nb::numpy>(data, shape.size(), shape.data(), owner, nullptr, nb::dlpack::dtype{row->code, row->bits, 1}));
}

}  // namespace airloom::bindings
