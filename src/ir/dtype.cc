#include "airloom/dtype.h"

#include <array>
#include <cmath>
#include <limits>

namespace airloom::ir {

namespace {

// Numbers of ge::DataType and ge.proto.DataType. In order of the former, which has no 5.
constexpr std::array kInfo = {
    DTypeInfo{DType::kFloat, 1, 32, "DT_FLOAT", "f32", "float32"},
    DTypeInfo{DType::kFloat16, 2, 16, "DT_FLOAT16", "f16", "float16"},
    DTypeInfo{DType::kInt8, 3, 8, "DT_INT8", "i8", "int8"},
    DTypeInfo{DType::kInt32, 7, 32, "DT_INT32", "i32", "int32"},
    DTypeInfo{DType::kUInt8, 4, 8, "DT_UINT8", "u8", "uint8"},
    DTypeInfo{DType::kInt16, 5, 16, "DT_INT16", "i16", "int16"},
    DTypeInfo{DType::kUInt16, 6, 16, "DT_UINT16", "u16", "uint16"},
    DTypeInfo{DType::kUInt32, 9, 32, "DT_UINT32", "u32", "uint32"},
    DTypeInfo{DType::kInt64, 8, 64, "DT_INT64", "i64", "int64"},
    DTypeInfo{DType::kUInt64, 10, 64, "DT_UINT64", "u64", "uint64"},
    DTypeInfo{DType::kDouble, 12, 64, "DT_DOUBLE", "f64", "float64"},
    DTypeInfo{DType::kBool, 11, 8, "DT_BOOL", "bool", "bool"},
    DTypeInfo{DType::kString, 13, 0, "DT_STRING", "str", ""},
    DTypeInfo{DType::kDualSubInt8, 14, 8, "DT_DUAL_SUB_INT8", "duali8", ""},
    DTypeInfo{DType::kDualSubUInt8, 15, 8, "DT_DUAL_SUB_UINT8", "dualu8", ""},
    DTypeInfo{DType::kComplex64, 16, 64, "DT_COMPLEX64", "c64", "complex64"},
    DTypeInfo{DType::kComplex128, 17, 128, "DT_COMPLEX128", "c128", "complex128"},
    DTypeInfo{DType::kQInt8, 18, 8, "DT_QINT8", "qi8", "qint8"},
    DTypeInfo{DType::kQInt16, 19, 16, "DT_QINT16", "qi16", "qint16"},
    DTypeInfo{DType::kQInt32, 20, 32, "DT_QINT32", "qi32", "qint32"},
    DTypeInfo{DType::kQUInt8, 21, 8, "DT_QUINT8", "qu8", "quint8"},
    DTypeInfo{DType::kQUInt16, 22, 16, "DT_QUINT16", "qu16", ""},
    DTypeInfo{DType::kResource, 23, 64, "DT_RESOURCE", "resource", ""},
    DTypeInfo{DType::kStringRef, 24, 0, "DT_STRING_REF", "strref", ""},
    DTypeInfo{DType::kDual, 25, 40, "DT_DUAL", "dual", ""},
    DTypeInfo{DType::kVariant, 26, 64, "DT_VARIANT", "variant", ""},
    DTypeInfo{DType::kBFloat16, 27, 16, "DT_BF16", "bf16", "bfloat16"},
    DTypeInfo{DType::kUndefined, 0, 0, "DT_UNDEFINED", "undef", ""},
    DTypeInfo{DType::kInt4, 28, 4, "DT_INT4", "i4", "quint4x2"},
    DTypeInfo{DType::kUInt1, 29, 1, "DT_UINT1", "u1", ""},
    DTypeInfo{DType::kInt2, 30, 2, "DT_INT2", "i2", ""},
    DTypeInfo{DType::kUInt2, 31, 2, "DT_UINT2", "u2", ""},
    DTypeInfo{DType::kComplex32, 32, 32, "DT_COMPLEX32", "c32", "complex32"},
    DTypeInfo{DType::kHiFloat8, 33, 8, "DT_HIFLOAT8", "hif8", ""},
    DTypeInfo{DType::kFloat8E5M2, 34, 8, "DT_FLOAT8_E5M2", "f8e5m2", "float8_e5m2"},
    DTypeInfo{DType::kFloat8E4M3FN, 35, 8, "DT_FLOAT8_E4M3FN", "f8e4m3fn", "float8_e4m3fn"},
    DTypeInfo{DType::kFloat8E8M0, 36, 8, "DT_FLOAT8_E8M0", "f8e8m0", "float8_e8m0fnu"},
    DTypeInfo{DType::kFloat6E3M2, 37, 6, "DT_FLOAT6_E3M2", "f6e3m2", ""},
    DTypeInfo{DType::kFloat6E2M3, 38, 6, "DT_FLOAT6_E2M3", "f6e2m3", ""},
    DTypeInfo{DType::kFloat4E2M1, 39, 4, "DT_FLOAT4_E2M1", "f4e2m1", ""},
    DTypeInfo{DType::kFloat4E1M2, 40, 4, "DT_FLOAT4_E1M2", "f4e1m2", ""},
    DTypeInfo{DType::kHiFloat4, 41, 4, "DT_HIFLOAT4", "hif4", ""},
};

constexpr std::size_t row_of(int ge) { return static_cast<std::size_t>(ge < 5 ? ge : ge - 1); }

constexpr bool in_order() {
  for (std::size_t i = 0; i < kInfo.size(); ++i) {
    if (row_of(static_cast<int>(kInfo[i].dtype)) != i) return false;
  }
  return true;
}
static_assert(in_order());

template <class Match>
std::optional<DType> find(const Match& match) {
  for (const DTypeInfo& row : kInfo) {
    if (match(row)) return row.dtype;
  }
  return std::nullopt;
}

struct FormatRow {
  Format format;
  int ge;
  std::string_view name;
};
constexpr std::array kFormats = {
    FormatRow{Format::kND, 2, "ND"},        FormatRow{Format::kNCHW, 0, "NCHW"},    FormatRow{Format::kNHWC, 1, "NHWC"},
    FormatRow{Format::kNCDHW, 30, "NCDHW"}, FormatRow{Format::kNDHWC, 27, "NDHWC"}, FormatRow{Format::kReserved, 40, ""},
    FormatRow{Format::kOther, 40, "OTHER"},
};

/// Sign bit, exponent and mantissa of a small float. `finite`: the only special code is all ones, a NaN.
struct Layout {
  int exponent;
  int mantissa;
  bool finite;
  [[nodiscard]] int bias() const { return (1 << (exponent - 1)) - 1; }
  [[nodiscard]] unsigned special() const { return ((1U << exponent) - 1U) << mantissa; }  // exponent all ones
};

Layout layout(DType dtype) {
  if (dtype == DType::kFloat16) return {5, 10, false};
  if (dtype == DType::kBFloat16) return {8, 7, false};
  if (dtype == DType::kFloat8E5M2) return {5, 2, false};
  return {4, 3, true};
}

constexpr int kE8M0Bias = 127;
constexpr std::uint16_t kE8M0NaN = 0xFF;

std::uint16_t encode_e8m0(double magnitude) {
  if (!std::isfinite(magnitude)) return kE8M0NaN;
  if (magnitude == 0) return 0;
  int e = 0;
  const double fraction = std::frexp(magnitude, &e);  // in [0.5, 1)
  const int code = e - 1 + (fraction >= 0.75 ? 1 : 0) + kE8M0Bias;
  if (code < 0) return 0;
  return code >= kE8M0NaN ? kE8M0NaN : static_cast<std::uint16_t>(code);
}

}  // namespace

const DTypeInfo& info(DType dtype) {
  const int ge = static_cast<int>(dtype);
  if (ge == 5 || row_of(ge) >= kInfo.size()) return kInfo[row_of(static_cast<int>(DType::kUndefined))];
  return kInfo[row_of(ge)];
}

std::optional<DType> dtype_from_proto(int number) {
  return find([number](const DTypeInfo& row) { return row.proto == number; });
}

std::optional<DType> dtype_from_ge(int number) {
  return find([number](const DTypeInfo& row) { return static_cast<int>(row.dtype) == number; });
}

std::optional<DType> dtype_from_ge_name(std::string_view name) {
  if (name == "DT_FLOAT32") return DType::kFloat;
  if (name == "DT_BFLOAT16") return DType::kBFloat16;
  return find([name](const DTypeInfo& row) { return row.ge == name; });
}

std::optional<DType> dtype_from_text(std::string_view name) {
  return find([name](const DTypeInfo& row) { return row.text == name; });
}

std::optional<DType> dtype_from_torch(std::string_view name) {
  if (name.empty()) return std::nullopt;
  return find([name](const DTypeInfo& row) { return row.torch == name; });
}

bool is_floating(DType dtype) {
  return dtype == DType::kFloat || dtype == DType::kDouble || dtype == DType::kHiFloat8 || is_small_float(dtype);
}

bool is_complex(DType dtype) { return dtype == DType::kComplex32 || dtype == DType::kComplex64 || dtype == DType::kComplex128; }

bool is_signed(DType dtype) {
  switch (dtype) {
    case DType::kInt2:
    case DType::kInt4:
    case DType::kInt8:
    case DType::kInt16:
    case DType::kInt32:
    case DType::kInt64:
    case DType::kQInt8:
    case DType::kQInt16:
    case DType::kQInt32:
    case DType::kDualSubInt8: return true;
    default: return false;
  }
}

bool is_integral(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
    case DType::kInt16:
    case DType::kInt32:
    case DType::kInt64:
    case DType::kUInt8:
    case DType::kUInt16:
    case DType::kUInt32:
    case DType::kUInt64:
    case DType::kInt2:
    case DType::kInt4:
    case DType::kUInt1:
    case DType::kUInt2: return true;
    default: return false;
  }
}

bool is_small_float(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16 || dtype == DType::kFloat8E5M2 || dtype == DType::kFloat8E4M3FN ||
         dtype == DType::kFloat8E8M0;
}

std::uint16_t encode_float(DType dtype, double value) {
  const double magnitude = std::fabs(value);
  if (dtype == DType::kFloat8E8M0) return encode_e8m0(magnitude);
  const Layout l = layout(dtype);
  const unsigned sign = std::signbit(value) ? 1U << (l.exponent + l.mantissa) : 0U;
  const unsigned infinity = l.finite ? l.special() | ((1U << l.mantissa) - 1U) : l.special();
  const unsigned nan = l.finite ? infinity : l.special() | (1U << (l.mantissa - 1));
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | nan);
  if (std::isinf(value)) return static_cast<std::uint16_t>(sign | infinity);
  if (magnitude == 0) return static_cast<std::uint16_t>(sign);
  int e = 0;
  std::frexp(magnitude, &e);
  const int least = 1 - l.bias();  // exponent of the smallest normal, and of the subnormals
  const int exponent = e - 1 > least ? e - 1 : least;
  if (exponent > l.bias() + 1) return static_cast<std::uint16_t>(sign | infinity);
  const double scaled = std::ldexp(magnitude, l.mantissa - exponent);  // exact; the unit in the last place is 1
  double rounded = std::floor(scaled);
  const double rest = scaled - rounded;
  if (rest > 0.5 || (rest == 0.5 && std::fmod(rounded, 2.0) != 0)) rounded += 1;
  // The implicit one of a normal adds one to the exponent field; so does a carry out of the mantissa.
  const unsigned code = (static_cast<unsigned>(exponent - least) << l.mantissa) + static_cast<unsigned>(rounded);
  return static_cast<std::uint16_t>(sign | (code > infinity ? infinity : code));
}

double decode_float(DType dtype, std::uint16_t bits) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  if (dtype == DType::kFloat8E8M0) return (bits & 0xFFU) == kE8M0NaN ? kNaN : std::ldexp(1.0, static_cast<int>(bits & 0xFFU) - kE8M0Bias);
  const Layout l = layout(dtype);
  const unsigned code = bits & ((1U << (l.exponent + l.mantissa)) - 1U);
  const bool negative = ((static_cast<unsigned>(bits) >> (l.exponent + l.mantissa)) & 1U) != 0;
  const unsigned field = code >> l.mantissa;
  const unsigned mantissa = code & ((1U << l.mantissa) - 1U);
  double magnitude = 0;
  if (l.finite ? code == (l.special() | ((1U << l.mantissa) - 1U)) : code > l.special()) {
    magnitude = kNaN;
  } else if (!l.finite && code == l.special()) {
    magnitude = std::numeric_limits<double>::infinity();
  } else {
    const unsigned digits = field == 0 ? mantissa : mantissa | (1U << l.mantissa);
    magnitude = std::ldexp(digits, (field == 0 ? 1 : static_cast<int>(field)) - l.bias() - l.mantissa);
  }
  return std::copysign(magnitude, negative ? -1.0 : 1.0);
}

std::string_view to_string(Format format) {
  for (const FormatRow& row : kFormats) {
    if (row.format == format) return row.name;
  }
  return {};
}

int ge_number(Format format) {
  for (const FormatRow& row : kFormats) {
    if (row.format == format) return row.ge;
  }
  return 40;
}

Format format_from_string(std::string_view name) {
  for (const FormatRow& row : kFormats) {
    if (row.name == name) return row.format;
  }
  return name == "RESERVED" || name == "FORMAT_RESERVED" || name == "UNDEFINED" ? Format::kReserved : Format::kOther;
}

}  // namespace airloom::ir
