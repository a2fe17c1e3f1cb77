#include "airloom/dtype.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>

#include <gtest/gtest.h>

namespace airloom::ir {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(DTypeTable, NumbersAndNamesAreUniqueAndFindTheirRow) {
  std::set<int> protos;
  int rows = 0;
  for (int ge = 0; ge < 256; ++ge) {
    const auto dtype = dtype_from_ge(ge);
    if (!dtype) continue;
    ++rows;
    const DTypeInfo& row = info(*dtype);
    EXPECT_EQ(row.dtype, *dtype);
    EXPECT_TRUE(protos.insert(row.proto).second) << row.ge;
    EXPECT_EQ(dtype_from_proto(row.proto), dtype);
    EXPECT_EQ(dtype_from_ge_name(row.ge), dtype);
    EXPECT_EQ(dtype_from_text(row.text), dtype);
    if (!row.torch.empty()) {
      EXPECT_EQ(dtype_from_torch(row.torch), dtype);
    }
  }
  EXPECT_EQ(rows, 42);
  EXPECT_EQ(dtype_from_ge(5), std::nullopt);
  EXPECT_EQ(dtype_from_proto(-1), std::nullopt);
  EXPECT_EQ(dtype_from_torch(""), std::nullopt);
  EXPECT_EQ(dtype_from_text("float"), std::nullopt);
}

TEST(DTypeTable, KnownNumbers) {
  EXPECT_EQ(info(DType::kFloat).proto, 1);
  EXPECT_EQ(info(DType::kInt64).proto, 8);
  EXPECT_EQ(info(DType::kBFloat16).proto, 27);
  EXPECT_EQ(info(DType::kUndefined).proto, 0);
  EXPECT_EQ(info(DType::kFloat4E1M2).proto, 40);
  EXPECT_EQ(item_size(DType::kComplex128), 16);
  EXPECT_EQ(item_size(DType::kInt4), 0);
  EXPECT_EQ(info(static_cast<DType>(200)).dtype, DType::kUndefined);
  EXPECT_EQ(dtype_from_ge_name("DT_BFLOAT16"), DType::kBFloat16);
  EXPECT_EQ(dtype_from_ge_name("DT_FLOAT32"), DType::kFloat);
}

TEST(DTypeTable, Formats) {
  for (const Format format : {Format::kND, Format::kNCHW, Format::kNHWC, Format::kNCDHW, Format::kNDHWC, Format::kReserved}) {
    EXPECT_EQ(format_from_string(to_string(format)), format);
  }
  EXPECT_EQ(ge_number(Format::kND), 2);
  EXPECT_EQ(ge_number(Format::kNCDHW), 30);
  EXPECT_EQ(ge_number(Format::kOther), 40);
  EXPECT_EQ(format_from_string("FRACTAL_NZ"), Format::kOther);
  EXPECT_EQ(format_from_string("nchw"), Format::kOther);
  EXPECT_EQ(format_from_string("FORMAT_RESERVED"), Format::kReserved);
}

TEST(SmallFloats, EveryCodeSurvivesDecodingAndEncoding) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat8E5M2, DType::kFloat8E4M3FN, DType::kFloat8E8M0}) {
    const unsigned codes = 1U << static_cast<unsigned>(info(dtype).bits);
    for (unsigned code = 0; code < codes; ++code) {
      const double value = decode_float(dtype, static_cast<std::uint16_t>(code));
      const std::uint16_t back = encode_float(dtype, value);
      if (std::isnan(value)) {
        ASSERT_TRUE(std::isnan(decode_float(dtype, back))) << info(dtype).text << ' ' << code;
      } else {
        ASSERT_EQ(back, code) << info(dtype).text << ' ' << value;
      }
    }
  }
}

TEST(SmallFloats, HalfwayValuesGoToTheEvenNeighbour) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat8E5M2, DType::kFloat8E4M3FN}) {
    const unsigned positive = 1U << (static_cast<unsigned>(info(dtype).bits) - 1U);
    for (unsigned code = 0; code + 1 < positive; ++code) {
      const double low = decode_float(dtype, static_cast<std::uint16_t>(code));
      const double high = decode_float(dtype, static_cast<std::uint16_t>(code + 1));
      if (!std::isfinite(low) || !std::isfinite(high)) continue;
      const double middle = (low + high) / 2;
      ASSERT_EQ(encode_float(dtype, middle), code % 2 == 0 ? code : code + 1);
      ASSERT_EQ(encode_float(dtype, std::nextafter(middle, 0.0)), code);
      ASSERT_EQ(encode_float(dtype, std::nextafter(middle, kInf)), code + 1);
      ASSERT_EQ(encode_float(dtype, -std::nextafter(middle, kInf)), positive | (code + 1));
    }
  }
}

struct Case {
  DType dtype;
  double value;
  std::uint16_t code;
};

TEST(SmallFloats, Edges) {
  const Case cases[] = {
      {DType::kFloat16, 1.0, 0x3C00},         {DType::kFloat16, 65504, 0x7BFF},   {DType::kFloat16, 65519.99, 0x7BFF},
      {DType::kFloat16, 65520, 0x7C00},       {DType::kFloat16, 1e300, 0x7C00},   {DType::kFloat16, -kInf, 0xFC00},
      {DType::kFloat16, kNaN, 0x7E00},        {DType::kFloat16, -0.0, 0x8000},    {DType::kFloat16, 5.960464477539063e-08, 0x0001},
      {DType::kFloat16, 2.98e-08, 0x0000},    {DType::kFloat16, 5e-324, 0x0000},  {DType::kBFloat16, 1.0, 0x3F80},
      {DType::kBFloat16, 3.4e38, 0x7F80},     {DType::kBFloat16, 1e-40, 0x0001},  {DType::kBFloat16, 3.1415926, 0x4049},
      {DType::kFloat8E5M2, 57344, 0x7B},      {DType::kFloat8E5M2, 61440, 0x7C},  {DType::kFloat8E5M2, 61439, 0x7B},
      {DType::kFloat8E5M2, kNaN, 0x7E},       {DType::kFloat8E4M3FN, 448, 0x7E},  {DType::kFloat8E4M3FN, 464, 0x7E},
      {DType::kFloat8E4M3FN, 465, 0x7F},      {DType::kFloat8E4M3FN, kInf, 0x7F}, {DType::kFloat8E4M3FN, -1e9, 0xFF},
      {DType::kFloat8E4M3FN, 0.001953125, 1}, {DType::kFloat8E8M0, 1.0, 127},     {DType::kFloat8E8M0, 1.5, 128},
      {DType::kFloat8E8M0, 1.49, 127},        {DType::kFloat8E8M0, 0.0, 0},       {DType::kFloat8E8M0, 1e300, 0xFF},
      {DType::kFloat8E8M0, 1e-300, 0},
  };
  for (const Case& c : cases) EXPECT_EQ(encode_float(c.dtype, c.value), c.code) << info(c.dtype).text << ' ' << c.value;
}

}  // namespace
}  // namespace airloom::ir
