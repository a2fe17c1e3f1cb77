#include "ir/tensor.h"

#include <cmath>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "airloom/error.h"
#include "ir/attr.h"

namespace airloom::ir {
namespace {

Tensor view(const std::vector<std::int32_t>& storage, std::size_t offset, std::vector<std::int64_t> shape,
            std::vector<std::int64_t> stride) {
  Tensor t;
  t.dtype = DType::kInt32;
  t.shape = std::move(shape);
  t.stride = std::move(stride);
  t.data = reinterpret_cast<const std::byte*>(storage.data() + offset);
  return t;
}

std::vector<std::int64_t> values(const Tensor& t) {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < t.numel(); ++i) out.push_back(t.int_at(i));
  return out;
}

/// What the view's dense bytes hold.
std::vector<std::int64_t> gathered(const Tensor& t) { return values(Tensor::from_bytes(t.dtype, t.shape, t.bytes())); }

TEST(TensorView, GathersEveryKindOfView) {
  std::vector<std::int32_t> storage(24);
  std::iota(storage.begin(), storage.end(), 0);
  const struct {
    const char* what;
    Tensor tensor;
    bool dense;
    std::vector<std::int64_t> expected;
  } cases[] = {
      {"no stride", view(storage, 0, {2, 3}, {}), true, {0, 1, 2, 3, 4, 5}},
      {"row-major", view(storage, 4, {2, 3}, {3, 1}), true, {4, 5, 6, 7, 8, 9}},
      {"size-1 dims", view(storage, 0, {1, 2, 1, 3}, {99, 3, 7, 1}), true, {0, 1, 2, 3, 4, 5}},
      {"transposed", view(storage, 0, {3, 2}, {1, 3}), false, {0, 3, 1, 4, 2, 5}},
      {"columns", view(storage, 1, {3, 2}, {4, 1}), false, {1, 2, 5, 6, 9, 10}},
      {"every second", view(storage, 0, {4}, {2}), false, {0, 2, 4, 6}},
      {"expanded", view(storage, 5, {2, 2}, {0, 1}), false, {5, 6, 5, 6}},
      {"flipped", view(storage, 5, {6}, {-1}), false, {5, 4, 3, 2, 1, 0}},
      {"flipped rows", view(storage, 4, {3, 2}, {-2, 1}), false, {4, 5, 2, 3, 0, 1}},
      {"permuted 3-d", view(storage, 0, {2, 2, 3}, {1, 12, 4}), false, {0, 4, 8, 12, 16, 20, 1, 5, 9, 13, 17, 21}},
      {"empty", view(storage, 0, {0, 3}, {1, 7}), true, {}},
      {"scalar", view(storage, 7, {}, {}), true, {7}},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(c.tensor.dense(), c.dense) << c.what;
    EXPECT_EQ(values(c.tensor), c.expected) << c.what;
    EXPECT_EQ(gathered(c.tensor), c.expected) << c.what;
  }
}

TEST(TensorView, LargeViewsStreamThroughASmallBuffer) {
  constexpr std::int64_t kRows = 700;
  constexpr std::int64_t kColumns = 900;
  std::vector<std::int32_t> storage(static_cast<std::size_t>(kRows * kColumns));
  std::iota(storage.begin(), storage.end(), 0);
  const Tensor t = view(storage, 0, {kColumns, kRows}, {1, kColumns});
  std::int64_t at = 0;
  std::size_t largest = 0;
  bool right = true;
  ASSERT_TRUE(t.stream([&](std::span<const std::byte> piece) {
    largest = std::max(largest, piece.size());
    const Tensor part = Tensor::from_bytes(DType::kInt32, {static_cast<std::int64_t>(piece.size() / 4)}, {piece.begin(), piece.end()});
    for (std::int64_t i = 0; i < part.numel(); ++i, ++at) right = right && part.int_at(i) == at % kRows * kColumns + at / kRows;
    return true;
  }));
  EXPECT_TRUE(right);
  EXPECT_EQ(at, kRows * kColumns);
  EXPECT_LE(largest, std::size_t{1} << 20);
  int calls = 0;
  EXPECT_FALSE(t.stream([&calls](std::span<const std::byte>) { return ++calls < 2; }));
  EXPECT_EQ(calls, 2);
}

TEST(TensorView, DenseDataIsNotCopied) {
  const std::vector<std::int32_t> storage(100);
  const Tensor t = view(storage, 0, {10, 10}, {10, 1});
  EXPECT_TRUE(t.stream([&](std::span<const std::byte> piece) { return piece.data() == t.data && piece.size() == 400; }));
}

TEST(TensorSize, RefusesWhatCannotBeCounted) {
  Tensor t;
  t.shape = {std::int64_t{1} << 40, std::int64_t{1} << 40};
  EXPECT_EQ(t.numel(), -1);
  EXPECT_EQ(t.nbytes(), -1);
  t.shape = {std::int64_t{1} << 40, std::int64_t{1} << 40, 0};
  EXPECT_EQ(t.numel(), 0);
  t.shape = {std::int64_t{1} << 62};
  EXPECT_EQ(t.nbytes(), -1);
  t.shape = {3, -1};
  EXPECT_EQ(t.numel(), -1);
  t.shape = {3};
  EXPECT_FALSE(t.stream([](std::span<const std::byte>) { return true; })) << "no data";
  EXPECT_TRUE(t.bytes().empty());
  t.dtype = DType::kInt4;
  EXPECT_EQ(t.nbytes(), 2);
}

TEST(TensorNumbers, IntegersWrapAndFloatsRound) {
  const std::int64_t ints[] = {0, 1, -1, 255, 256, INT64_MIN};
  EXPECT_EQ(values(Tensor::from_ints(DType::kUInt8, {6}, ints)), (std::vector<std::int64_t>{0, 1, 255, 255, 0, 0}));
  EXPECT_EQ(values(Tensor::from_ints(DType::kInt8, {6}, ints)), (std::vector<std::int64_t>{0, 1, -1, -1, 0, 0}));
  EXPECT_EQ(values(Tensor::from_ints(DType::kBool, {6}, ints)), (std::vector<std::int64_t>{0, 1, 1, 1, 1, 1}));
  EXPECT_EQ(values(Tensor::from_ints(DType::kInt4, {6}, ints)), (std::vector<std::int64_t>{0, 1, -1, -1, 0, 0}));
  EXPECT_EQ(values(Tensor::from_ints(DType::kUInt1, {6}, ints)), (std::vector<std::int64_t>{0, 1, 1, 1, 0, 0}));
  EXPECT_EQ(Tensor::from_ints(DType::kUInt64, {6}, ints).float_at(2), 18446744073709551615.0);
  const double reals[] = {0.1, -2.75, 1e30, std::nan("")};
  EXPECT_EQ(Tensor::from_floats(DType::kFloat, {4}, reals).float_at(0), static_cast<double>(0.1F));
  EXPECT_EQ(Tensor::from_floats(DType::kFloat16, {4}, reals).float_at(0), 0.0999755859375);
  EXPECT_TRUE(std::isinf(Tensor::from_floats(DType::kFloat16, {4}, reals).float_at(2)));
  EXPECT_EQ(values(Tensor::from_floats(DType::kInt64, {4}, reals)), (std::vector<std::int64_t>{0, -2, INT64_MAX, 0}));
  EXPECT_EQ(values(Tensor::from_floats(DType::kDouble, {4}, reals)), (std::vector<std::int64_t>{0, -2, INT64_MAX, 0}));
  const Tensor complex = Tensor::from_floats(DType::kComplex64, {2, 2}, reals);
  EXPECT_EQ(complex.nbytes(), 32);
  EXPECT_EQ(complex.float_at(1), -2.75);
}

TEST(TensorNumbers, WrongCountsAndTypesAreErrors) {
  const std::int64_t three[] = {1, 2, 3};
  const auto code = [](const auto& call) {
    try {
      call();
    } catch (const Exception& e) {
      return e.error().code;
    }
    ADD_FAILURE() << "no error";
    return Errc::kRuntime;
  };
  EXPECT_EQ(code([&] { Tensor::from_ints(DType::kInt32, {2}, three); }), Errc::kInvalidArgument);
  EXPECT_EQ(code([&] { Tensor::from_ints(DType::kInt32, {-3}, three); }), Errc::kInvalidArgument);
  EXPECT_EQ(code([&] { Tensor::from_ints(DType::kHiFloat8, {3}, three); }), Errc::kUnsupported);
  EXPECT_EQ(code([&] { Tensor::from_bytes(DType::kInt32, {2}, std::vector<std::byte>(7)); }), Errc::kInvalidArgument);
}

TEST(TensorContent, ComparesThroughStrides) {
  const std::vector<std::int32_t> storage = {0, 1, 2, 3};
  const std::int64_t transposed[] = {0, 2, 1, 3};
  const Tensor dense = Tensor::from_ints(DType::kInt32, {2, 2}, transposed);
  EXPECT_TRUE(same_bytes(dense, view(storage, 0, {2, 2}, {1, 2})));
  EXPECT_TRUE(same_bytes(view(storage, 0, {2, 2}, {1, 2}), dense));
  EXPECT_FALSE(same_bytes(dense, view(storage, 0, {2, 2}, {2, 1})));
  EXPECT_FALSE(same_bytes(dense, view(storage, 0, {4}, {1})));
  EXPECT_FALSE(same_bytes(view(storage, 0, {2, 2}, {1, 2}), view(storage, 0, {2, 2}, {0, 1})));
  Tensor absent = dense;
  absent.data = nullptr;
  EXPECT_FALSE(same_bytes(dense, absent));
  EXPECT_TRUE(same_bytes(absent, absent));
}

TEST(TensorContent, PackedViewsAreGatheredToo) {
  const std::int64_t nibbles[] = {1, 2, 3, 4, 5, 6};
  Tensor t = Tensor::from_ints(DType::kInt4, {2, 3}, nibbles);
  t.shape = {3, 2};
  t.stride = {1, 3};
  EXPECT_EQ(gathered(t), (std::vector<std::int64_t>{1, 4, 2, 5, 3, 6}));
}

TEST(AttrEquality, FloatsAsTheFileHoldsThem) {
  EXPECT_TRUE(equal(Attr(0.1), Attr(static_cast<double>(0.1F))));
  EXPECT_TRUE(equal(Attr(std::nan("")), Attr(-std::nan(""))));
  EXPECT_FALSE(equal(Attr(0.0), Attr(-0.0)));
  EXPECT_FALSE(equal(Attr(1.0), Attr(std::int64_t{1})));
  EXPECT_FALSE(equal(Attr(Ints{}), Attr(Floats{})));
  EXPECT_TRUE(equal(Attr(Floats{0.1, 2}), Attr(Floats{static_cast<double>(0.1F), 2})));
  EXPECT_FALSE(equal(Attr(Floats{1}), Attr(Floats{1, 2})));
  EXPECT_FALSE(equal(Attr(TensorRef{}), Attr(std::make_shared<const Tensor>())));
}

}  // namespace
}  // namespace airloom::ir
