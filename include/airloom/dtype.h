// Element types: GE's own numbering, the proto numbering, sizes and names.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace airloom::ir {

/// Values are ge::DataType numbers (what attributes of kind Type and Cast.dst_type hold).
enum class DType : std::uint8_t {
  kFloat = 0,
  kFloat16 = 1,
  kInt8 = 2,
  kInt32 = 3,
  kUInt8 = 4,
  kInt16 = 6,
  kUInt16 = 7,
  kUInt32 = 8,
  kInt64 = 9,
  kUInt64 = 10,
  kDouble = 11,
  kBool = 12,
  kString = 13,
  kDualSubInt8 = 14,
  kDualSubUInt8 = 15,
  kComplex64 = 16,
  kComplex128 = 17,
  kQInt8 = 18,
  kQInt16 = 19,
  kQInt32 = 20,
  kQUInt8 = 21,
  kQUInt16 = 22,
  kResource = 23,
  kStringRef = 24,
  kDual = 25,
  kVariant = 26,
  kBFloat16 = 27,
  kUndefined = 28,
  kInt4 = 29,
  kUInt1 = 30,
  kInt2 = 31,
  kUInt2 = 32,
  kComplex32 = 33,
  kHiFloat8 = 34,
  kFloat8E5M2 = 35,
  kFloat8E4M3FN = 36,
  kFloat8E8M0 = 37,
  kFloat6E3M2 = 38,
  kFloat6E2M3 = 39,
  kFloat4E2M1 = 40,
  kFloat4E1M2 = 41,
  kHiFloat4 = 42,
};

struct DTypeInfo {
  DType dtype;
  int proto;               // ge.proto.DataType number: TensorDescriptor.dtype and TensorDef
  int bits;                // 0 where elements have no fixed size
  std::string_view ge;     // "DT_FLOAT", the enumerator's name
  std::string_view text;   // "f32": the text form
  std::string_view torch;  // "float32": torch's name, empty where torch has none
};

const DTypeInfo& info(DType dtype);
std::optional<DType> dtype_from_proto(int number);
std::optional<DType> dtype_from_ge(int number);
std::optional<DType> dtype_from_ge_name(std::string_view name);  // also DT_FLOAT32, DT_BFLOAT16
std::optional<DType> dtype_from_text(std::string_view name);
std::optional<DType> dtype_from_torch(std::string_view name);

/// Bytes of one element; 0 for sub-byte and variable-size types.
inline std::int64_t item_size(DType dtype) { return info(dtype).bits / 8; }
bool is_floating(DType dtype);  // f16 bf16 f32 f64 and the fp8 types
bool is_complex(DType dtype);
bool is_signed(DType dtype);    // integers with negative values, quantised and sub-byte ones included
bool is_integral(DType dtype);  // signed and unsigned ints, not bool and not the quantised ones

/// f16, bf16 and the fp8 types except hif8: floats of at most 16 bits whose encoding encode_float and decode_float know.
bool is_small_float(DType dtype);
/// The encoding of `value` rounded to nearest even; beyond the largest finite value: infinity, or NaN where the type has none.
/// f8e8m0 has neither sign nor zero: the magnitude's nearest power of two. `dtype` must satisfy is_small_float.
std::uint16_t encode_float(DType dtype, double value);
double decode_float(DType dtype, std::uint16_t bits);

/// Tensor formats airloom reads and writes; others in a file are kept as kOther with their string.
enum class Format : std::uint8_t { kND, kNCHW, kNHWC, kNCDHW, kNDHWC, kReserved, kOther };
std::string_view to_string(Format format);         // "ND", "NCHW", ...; "" for kReserved, "OTHER" for kOther
int ge_number(Format format);                      // ge::Format number, for format_for_int; FORMAT_RESERVED's for kOther
Format format_from_string(std::string_view name);  // "", "RESERVED", "FORMAT_RESERVED", "UNDEFINED" give kReserved

}  // namespace airloom::ir
