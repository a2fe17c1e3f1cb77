#include "ir/tensor.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "airloom/error.h"

namespace airloom::ir {

static_assert(std::endian::native == std::endian::little, "elements are used as they lie in memory and files: little-endian");

namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;

/// A signed or unsigned integer of `bits`, or bool: everything stored as a plain binary number.
struct IntKind {
  int bits = 0;
  bool is_signed = false;
};

IntKind int_kind(DType dtype) {
  switch (dtype) {
    case DType::kUInt1:
    case DType::kUInt2:
    case DType::kUInt8:
    case DType::kUInt16:
    case DType::kUInt32:
    case DType::kUInt64:
    case DType::kQUInt8:
    case DType::kQUInt16:
    case DType::kDualSubUInt8:
    case DType::kBool: return {info(dtype).bits, false};
    default: return is_signed(dtype) ? IntKind{info(dtype).bits, true} : IntKind{};
  }
}

std::uint64_t load_bits(const std::byte* base, std::int64_t element, int bits) {
  std::uint64_t out = 0;
  if (bits < 8) {  // packed from the least significant bit up
    const std::int64_t at = element * bits;
    const std::int64_t byte = at >> 3;
    out = std::to_integer<std::uint64_t>(base[byte]) >> static_cast<unsigned>(at & 7);
    return out & ((1ULL << static_cast<unsigned>(bits)) - 1);
  }
  const auto size = static_cast<std::size_t>(bits / 8);
  std::memcpy(&out, base + element * static_cast<std::int64_t>(size), size);
  return out;
}

void store_bits(std::byte* base, std::int64_t element, int bits, std::uint64_t value) {
  if (bits < 8) {  // the bytes start as zeros
    const std::int64_t at = element * bits;
    base[at >> 3] |= static_cast<std::byte>((value & ((1ULL << static_cast<unsigned>(bits)) - 1)) << static_cast<unsigned>(at & 7));
    return;
  }
  const auto size = static_cast<std::size_t>(bits / 8);
  std::memcpy(base + element * static_cast<std::int64_t>(size), &value, size);
}

std::int64_t sign_extend(std::uint64_t value, IntKind kind) {
  if (!kind.is_signed || kind.bits == 64) return static_cast<std::int64_t>(value);
  const unsigned shift = 64U - static_cast<unsigned>(kind.bits);
  return static_cast<std::int64_t>(value << shift) >> shift;
}

/// C's cast made total: saturates, NaN is 0.
std::int64_t to_int(double value) {
  if (std::isnan(value)) return 0;
  if (value >= 9223372036854775808.0) return std::numeric_limits<std::int64_t>::max();
  if (value < -9223372036854775808.0) return std::numeric_limits<std::int64_t>::min();
  return static_cast<std::int64_t>(value);
}

/// Number of real parts an element has, and the type of each.
std::pair<int, DType> parts(DType dtype) {
  if (dtype == DType::kComplex32) return {2, DType::kFloat16};
  if (dtype == DType::kComplex64) return {2, DType::kFloat};
  if (dtype == DType::kComplex128) return {2, DType::kDouble};
  return {1, dtype};
}

/// Bits of a real number as `dtype`, which is no complex type.
template <class Number>
std::uint64_t encode(DType dtype, Number value) {
  if (dtype == DType::kFloat) return std::bit_cast<std::uint32_t>(static_cast<float>(value));
  if (dtype == DType::kDouble) return std::bit_cast<std::uint64_t>(static_cast<double>(value));
  if (is_small_float(dtype)) return encode_float(dtype, static_cast<double>(value));
  if (dtype == DType::kBool) return value != 0 ? 1 : 0;
  if constexpr (std::is_floating_point_v<Number>) {
    // 2^63 and above is in the range of u64 alone.
    if (dtype == DType::kUInt64 && value >= 9223372036854775808.0) {
      return value >= 18446744073709551616.0 ? std::numeric_limits<std::uint64_t>::max() : static_cast<std::uint64_t>(value);
    }
    return static_cast<std::uint64_t>(to_int(value));
  } else {
    return static_cast<std::uint64_t>(value);
  }
}

double decode(DType dtype, std::uint64_t bits) {
  if (dtype == DType::kFloat) return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  if (dtype == DType::kDouble) return std::bit_cast<double>(bits);
  if (is_small_float(dtype)) return decode_float(dtype, static_cast<std::uint16_t>(bits));
  if (dtype == DType::kBool) return bits != 0 ? 1 : 0;
  if (dtype == DType::kUInt64) return static_cast<double>(bits);
  return static_cast<double>(sign_extend(bits, int_kind(dtype)));
}

[[noreturn]] void reject(Errc code, std::string message) { throw Exception(Error{code, std::move(message), "", ""}); }

/// A tensor of the right size, all zeros, for `count` values.
std::vector<std::byte> storage(DType dtype, const std::vector<std::int64_t>& shape, std::size_t count) {
  if (!Tensor::has_numbers(dtype)) reject(Errc::kUnsupported, fmt::format("elements of {} cannot be made from numbers", info(dtype).ge));
  Tensor t;
  t.dtype = dtype;
  t.shape = shape;
  if (t.numel() < 0 || static_cast<std::uint64_t>(t.numel()) != count || t.nbytes() < 0) {
    reject(Errc::kInvalidArgument, fmt::format("{} values for a tensor of shape [{}]", count, fmt::join(shape, ", ")));
  }
  return std::vector<std::byte>(static_cast<std::size_t>(t.nbytes()));
}

template <class Number>
Tensor from_numbers(DType dtype, std::vector<std::int64_t> shape, std::span<const Number> values) {
  std::vector<std::byte> bytes = storage(dtype, shape, values.size());
  const auto [count, part] = parts(dtype);
  const int bits = info(part).bits;
  for (std::size_t i = 0; i < values.size(); ++i)
    store_bits(bytes.data(), static_cast<std::int64_t>(i) * count, bits, encode(part, values[i]));
  return Tensor::from_bytes(dtype, std::move(shape), std::move(bytes));
}

/// Position of dense element i, in elements from element 0.
std::int64_t locate(const Tensor& t, std::int64_t i) {
  if (t.stride.empty()) return i;
  std::int64_t offset = 0;
  for (std::size_t d = t.shape.size(); d-- > 0;) {
    offset += i % t.shape[d] * t.stride[d];
    i /= t.shape[d];
  }
  return offset;
}

template <std::size_t kSize>
void copy_strided(std::byte* to, const std::byte* from, std::int64_t step, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) std::memcpy(to + static_cast<std::size_t>(i) * kSize, from + i * step, kSize);
}

/// Copies `count` elements of `size` bytes lying `step` bytes apart.
void copy_row(std::byte* to, const std::byte* from, std::size_t size, std::int64_t step, std::int64_t count) {
  if (step == static_cast<std::int64_t>(size)) {
    std::memcpy(to, from, size * static_cast<std::size_t>(count));
    return;
  }
  switch (size) {
    case 1: return copy_strided<1>(to, from, step, count);
    case 2: return copy_strided<2>(to, from, step, count);
    case 4: return copy_strided<4>(to, from, step, count);
    case 8: return copy_strided<8>(to, from, step, count);
    case 16: return copy_strided<16>(to, from, step, count);
    default:
      for (std::int64_t i = 0; i < count; ++i) std::memcpy(to + static_cast<std::size_t>(i) * size, from + i * step, size);
  }
}

using Sink = std::function<bool(std::span<const std::byte>)>;

/// The dense bytes of a view with elements of whole bytes, through a buffer.
bool gather(const Tensor& t, const Sink& sink) {
  // Dims of size 1 vanish and dims that continue each other become one, so that rows are as long as they can be.
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> stride;
  for (std::size_t d = 0; d < t.shape.size(); ++d) {
    if (t.shape[d] == 1) continue;
    if (!shape.empty() && stride.back() == t.stride[d] * t.shape[d]) {
      shape.back() *= t.shape[d];
      stride.back() = t.stride[d];
    } else {
      shape.push_back(t.shape[d]);
      stride.push_back(t.stride[d]);
    }
  }
  if (shape.empty()) {
    shape.push_back(1);
    stride.push_back(1);
  }
  const auto size = static_cast<std::size_t>(item_size(t.dtype));
  const std::int64_t row = shape.back();
  const std::int64_t step = stride.back() * static_cast<std::int64_t>(size);
  const auto room = static_cast<std::int64_t>(kChunk / size);
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(t.numel(), room)) * size);
  std::int64_t filled = 0;
  std::vector<std::int64_t> index(shape.size() - 1, 0);
  while (true) {
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < index.size(); ++d) offset += index[d] * stride[d];
    const std::byte* from = t.data + offset * static_cast<std::int64_t>(size);
    for (std::int64_t done = 0; done < row;) {
      const std::int64_t count = std::min(row - done, room - filled);
      copy_row(buffer.data() + static_cast<std::size_t>(filled) * size, from + done * step, size, step, count);
      filled += count;
      done += count;
      if (filled == room) {
        if (!sink(std::span(buffer.data(), static_cast<std::size_t>(filled) * size))) return false;
        filled = 0;
      }
    }
    std::size_t d = index.size();
    while (d > 0 && ++index[d - 1] == shape[d - 1]) index[--d] = 0;
    if (d == 0) break;
  }
  return filled == 0 || sink(std::span(buffer.data(), static_cast<std::size_t>(filled) * size));
}

}  // namespace

std::int64_t Tensor::numel() const {
  if (!stride.empty() && stride.size() != shape.size()) return -1;
  std::int64_t out = 1;
  bool overflow = false;
  bool empty = false;
  for (const std::int64_t dim : shape) {
    if (dim < 0) return -1;
    if (dim == 0) empty = true;
    overflow = overflow || __builtin_mul_overflow(out, dim, &out);
  }
  if (empty) return 0;
  return overflow ? -1 : out;
}

std::int64_t Tensor::nbytes() const {
  std::int64_t bits = 0;
  const std::int64_t count = numel();
  const int each = info(dtype).bits;
  if (count < 0) return -1;
  if (each % 8 == 0) return __builtin_mul_overflow(count, std::int64_t{each / 8}, &bits) ? -1 : bits;
  if (__builtin_mul_overflow(count, std::int64_t{each}, &bits) || bits > std::numeric_limits<std::int64_t>::max() - 7) return -1;
  return (bits + 7) / 8;
}

bool Tensor::dense() const {
  if (stride.empty() || numel() <= 1) return true;
  std::int64_t step = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (shape[d] == 1) continue;
    if (stride[d] != step) return false;
    step *= shape[d];
  }
  return true;
}

bool Tensor::stream(const std::function<bool(std::span<const std::byte>)>& sink) const {
  const std::int64_t total = nbytes();
  if (total == 0) return true;
  if (total < 0 || data == nullptr) return false;
  if (dense()) return sink(std::span(data, static_cast<std::size_t>(total)));
  if (item_size(dtype) > 0) return gather(*this, sink);
  // A view of packed elements: only whole bytes can be moved at once, so this is bit by bit, in memory.
  std::vector<std::byte> packed(static_cast<std::size_t>(total));
  const int bits = info(dtype).bits;
  for (std::int64_t i = 0; i < numel(); ++i) {
    for (int b = 0; b < bits; ++b) store_bits(packed.data(), i * bits + b, 1, load_bits(data, locate(*this, i) * bits + b, 1));
  }
  return sink(packed);
}

std::vector<std::byte> Tensor::bytes() const {
  std::vector<std::byte> out;
  if (data == nullptr || nbytes() <= 0) return out;
  out.reserve(static_cast<std::size_t>(nbytes()));
  stream([&out](std::span<const std::byte> piece) {
    out.insert(out.end(), piece.begin(), piece.end());
    return true;
  });
  return out;
}

Tensor Tensor::from_bytes(DType dtype, std::vector<std::int64_t> shape, std::vector<std::byte> bytes) {
  Tensor t;
  t.dtype = dtype;
  t.shape = std::move(shape);
  if (t.nbytes() < 0 || static_cast<std::uint64_t>(t.nbytes()) != bytes.size()) {
    reject(Errc::kInvalidArgument,
           fmt::format("{} bytes for a tensor of {} and shape [{}]", bytes.size(), info(dtype).ge, fmt::join(t.shape, ", ")));
  }
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  t.data = owner->data();
  t.owner = std::move(owner);
  return t;
}

Tensor Tensor::from_ints(DType dtype, std::vector<std::int64_t> shape, std::span<const std::int64_t> values) {
  return from_numbers(dtype, std::move(shape), values);
}

Tensor Tensor::from_floats(DType dtype, std::vector<std::int64_t> shape, std::span<const double> values) {
  return from_numbers(dtype, std::move(shape), values);
}

bool Tensor::has_numbers(DType dtype) {
  const DType part = parts(dtype).second;
  return part == DType::kFloat || part == DType::kDouble || is_small_float(part) || int_kind(part).bits != 0;
}

double Tensor::float_at(std::int64_t i) const {
  const auto [count, part] = parts(dtype);
  return decode(part, load_bits(data, locate(*this, i) * count, info(part).bits));
}

std::int64_t Tensor::int_at(std::int64_t i) const {
  const IntKind kind = int_kind(dtype);
  if (kind.bits == 0) return to_int(float_at(i));
  const std::uint64_t bits = load_bits(data, locate(*this, i), kind.bits);
  return dtype == DType::kBool ? std::int64_t{bits != 0} : sign_extend(bits, kind);
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  if (a.nbytes() <= 0) return true;
  if (a.data == nullptr || b.data == nullptr) return a.data == b.data;
  const auto total = static_cast<std::size_t>(a.nbytes());
  if (a.dense() && b.dense()) return a.data == b.data || std::memcmp(a.data, b.data, total) == 0;
  if (a.data == b.data && a.stride == b.stride) return true;
  const Tensor& view = a.dense() ? b : a;
  const Tensor& other = a.dense() ? a : b;
  std::vector<std::byte> copy;
  const std::byte* expected = other.data;
  if (!other.dense()) {
    copy = other.bytes();
    expected = copy.data();
  }
  return view.stream([&expected](std::span<const std::byte> piece) {
    const bool same = std::memcmp(piece.data(), expected, piece.size()) == 0;
    expected += piece.size();
    return same;
  });
}

}  // namespace airloom::ir
