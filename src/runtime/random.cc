// Random numbers: Philox 4x32-10 as the operators define it, so the same seed gives the same stream everywhere.
#include <array>
#include <chrono>
#include <cmath>
#include <numeric>
#include <random>

#include "runtime/families.h"

namespace airloom::runtime {
namespace {

using Block = std::array<std::uint32_t, 4>;

Block philox(Block counter, std::uint64_t key64) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key64);
  std::uint32_t k1 = static_cast<std::uint32_t>(key64 >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53U} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57U} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ k0, static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ k1, static_cast<std::uint32_t>(a)};
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return counter;
}
Block block_of(std::uint64_t low, std::uint64_t high) {
  return {static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(low >> 32), static_cast<std::uint32_t>(high),
          static_cast<std::uint32_t>(high >> 32)};
}
/// `n` words from the 128-bit counter on, one block per four.
std::vector<std::uint32_t> words(std::uint64_t key, std::uint64_t low, std::uint64_t high, std::int64_t n) {
  std::vector<std::uint32_t> out;
  for (std::int64_t i = 0; i < n; i += 4) {
    const std::uint64_t at = low + static_cast<std::uint64_t>(i / 4);
    const Block block = philox(block_of(at, high + (at < low ? 1 : 0)), key);
    for (std::int64_t k = 0; k < 4 && i + k < n; ++k) out.push_back(block[static_cast<std::size_t>(k)]);
  }
  return out;
}
std::uint64_t fresh_seed() { return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()); }
double open_unit(std::uint32_t r) { return static_cast<double>(static_cast<float>(r) * 0x1p-32F + 0x1p-33F); }

struct Stream {
  std::uint64_t key = 0, low = 0, high = 0;
};
Stream stateless_stream(const HostCtx& c) {
  const Dims key = ints(c.in("key", 1));
  const Dims counter = ints(c.in("counter", 2));
  if (key.size() != 1 || counter.empty() || counter.size() > 2) bad_value("a key of one and a counter of two words are needed");
  return {static_cast<std::uint64_t>(key[0]), static_cast<std::uint64_t>(counter[0]),
          counter.size() == 2 ? static_cast<std::uint64_t>(counter[1]) : 0};
}
std::vector<double> uniforms(const Stream& s, std::int64_t n, DType dtype) {
  std::vector<double> out;
  for (const std::uint32_t r : words(s.key, s.low, s.high, n)) {
    if (dtype == DType::kFloat16)
      out.push_back((r & 0x3FFU) * 0x1p-10);
    else if (dtype == DType::kBFloat16)
      out.push_back((r & 0x7FU) * 0x1p-7);
    else
      out.push_back((r & 0x7FFFFFU) * 0x1p-23);
  }
  return out;
}
std::vector<double> normals(const Stream& s, std::int64_t n) {
  const std::vector<std::uint32_t> r = words(s.key, s.low, s.high, (n + 1) / 2 * 2);
  std::vector<double> out;
  for (std::size_t i = 0; i + 1 < r.size(); i += 2) {
    const double u1 = std::max((r[i] & 0x7FFFFFU) * 0x1p-23, 1e-7);
    const double angle = 2 * M_PI * ((r[i + 1] & 0x7FFFFFU) * 0x1p-23);
    const double radius = std::sqrt(-2 * std::log(u1));
    out.push_back(radius * std::sin(angle));
    out.push_back(radius * std::cos(angle));
  }
  out.resize(static_cast<std::size_t>(n));
  return out;
}
void host_uniform(HostCtx& c) {
  const Dims shape = ints(c.in("shape", 0));
  const DType dtype = c.attr_dtype("dtype", DType::kFloat);
  c.out(0, make(dtype, shape, uniforms(stateless_stream(c), count(shape), dtype)));
}
void host_normal(HostCtx& c) {
  const Dims shape = ints(c.in("shape", 0));
  c.out(0, make(c.attr_dtype("dtype", DType::kFloat), shape, normals(stateless_stream(c), count(shape))));
}
/// Seeds given as attributes; both zero: a new one each time.
Stream attribute_stream(const HostCtx& c) {
  const auto seed = static_cast<std::uint64_t>(c.attr_int("seed", 0));
  const auto seed2 = static_cast<std::uint64_t>(c.attr_int("seed2", 0));
  return {seed == 0 && seed2 == 0 ? fresh_seed() : seed, seed2, 0};
}
void host_random_uniform(HostCtx& c) {
  const Dims shape = ints(c.in(0));
  const DType dtype = c.attr_dtype("dtype");
  c.out(0, make(dtype, shape, uniforms(attribute_stream(c), count(shape), dtype)));
}
void host_random_normal(HostCtx& c) {
  const Dims shape = ints(c.in(0));
  c.out(0, make(c.attr_dtype("dtype"), shape, normals(attribute_stream(c), count(shape))));
}
void host_random_int(HostCtx& c) {
  const Dims shape = ints(c.in(0));
  const std::int64_t lo = one_int(c.in(1));
  const std::int64_t hi = one_int(c.in(2));
  if (hi <= lo) bad_value(fmt::format("no integers in [{}, {})", lo, hi));
  const auto width = static_cast<std::uint64_t>(hi) - static_cast<std::uint64_t>(lo);
  const Stream s = attribute_stream(c);
  const std::vector<std::uint32_t> r = words(s.key, s.low, s.high, 2 * count(shape));
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i + 1 < r.size(); i += 2) {
    const std::uint64_t wide = static_cast<std::uint64_t>(r[i]) << 32 | r[i + 1];
    out.push_back(static_cast<std::int64_t>(static_cast<std::uint64_t>(lo) + wide % width));
  }
  c.out(0, make(c.in(1).dtype, shape, out));
}
struct Seeded {
  std::uint64_t seed = 0, offset = 0;
};
Seeded seeded(const HostCtx& c, std::size_t seed_slot, std::size_t offset_slot) {
  const std::int64_t seed = one_int(c.in("seed", seed_slot));
  const std::int64_t offset = one_int(c.in("offset", offset_slot));
  if (offset < 0) bad_value("a negative random offset");
  if (seed == -1 && offset == 0) return {fresh_seed(), 0};
  return {static_cast<std::uint64_t>(seed), static_cast<std::uint64_t>(offset)};
}
void host_bernoulli(HostCtx& c) {
  const Dims shape = ints(c.in("shape", 0));
  const std::vector<double> prob = values<double>(c.in("prob", 1));
  const Seeded s = seeded(c, 2, 3);
  const std::int64_t n = count(shape);
  if (prob.size() != 1 && static_cast<std::int64_t>(prob.size()) != n) bad_value("prob must have one element or as many as the result");
  if (s.offset % 4 != 0) bad_value("the random offset must be a multiple of 4");
  const std::int64_t threads = 512 * ((n + 2047) / 2048);
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t group = i / 4;
    const Block block =
        philox(block_of(s.offset / 4 + static_cast<std::uint64_t>(group / threads), static_cast<std::uint64_t>(group % threads)), s.seed);
    out.push_back(open_unit(block[static_cast<std::size_t>(i % 4)]) <= prob[prob.size() == 1 ? 0 : static_cast<std::size_t>(i)] ? 1 : 0);
  }
  c.out(0, make(c.attr_dtype("dtype", DType::kFloat), shape, out));
}
void host_bernoulli_v2(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Seeded s = seeded(c, 1, 2);
  const std::vector<double> p = values<double>(x);
  const std::vector<std::uint32_t> r = words(s.seed, s.offset, 0, x.numel());
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i < p.size(); ++i) out.push_back(open_unit(r[i]) <= p[i] ? 1 : 0);
  const DType dtype = c.attr_dtype("dtype", DType::kUndefined);
  c.out(0, make(dtype == DType::kUndefined ? x.dtype : dtype, x.shape, out));
}
void host_drop_mask(HostCtx& c) {
  const std::int64_t n = count(ints(c.in("shape", 0)));
  const double keep = values<double>(c.in("prob", 1)).at(0);
  const std::int64_t seed = one_int(c.in("seed", 2));
  const Tensor given = c.maybe("offset", 4);
  const Dims offset = given.present() ? ints(given) : Dims{0};
  const std::vector<std::uint32_t> r = words(static_cast<std::uint64_t>(seed), static_cast<std::uint64_t>(offset.at(0)),
                                             offset.size() > 1 ? static_cast<std::uint64_t>(offset[1]) : 0, n);
  const std::int64_t bytes = (n + 127) / 128 * 16;
  std::vector<std::int64_t> out(static_cast<std::size_t>(bytes), 0);
  for (std::size_t i = 0; i < r.size(); ++i) {
    if (open_unit(r[i]) < keep) out[i / 8] |= std::int64_t{1} << (i % 8);
  }
  c.out(0, make(DType::kUInt8, {bytes}, out));
}
void host_drop_do_mask(HostCtx& c) {
  const Tensor& x = c.in("x", 0);
  const Tensor& mask = c.in("mask", 1);
  const double keep = values<double>(c.in("keep_prob", 2)).at(0);
  if (mask.dtype != DType::kUInt8 || mask.numel() != (x.numel() + 127) / 128 * 16) bad_value("the mask does not fit x");
  std::vector<double> v = values<double>(x);
  for (std::size_t i = 0; i < v.size(); ++i)
    v[i] = (std::to_integer<unsigned>(mask.data[i / 8]) >> (i % 8) & 1U) != 0 ? v[i] * (1 / keep) : 0.0;
  c.out(0, make(x.dtype, x.shape, v));
}
void host_randperm(HostCtx& c) {
  const std::int64_t n = one_int(c.in("n", 0));
  const Seeded s = seeded(c, 1, 2);
  if (n < 0) bad_value("a permutation of fewer than 0 numbers");
  const std::vector<std::uint32_t> r = words(s.seed, s.offset, 0, 2 * count({n}));
  std::vector<std::int64_t> out(static_cast<std::size_t>(n));
  std::iota(out.begin(), out.end(), 0);
  for (std::size_t i = out.size(); i > 1; --i) {
    const std::uint64_t wide = static_cast<std::uint64_t>(r[2 * (i - 1)]) << 32 | r[2 * (i - 1) + 1];
    std::swap(out[i - 1], out[wide % i]);
  }
  c.out(0, make(c.attr_dtype("dtype", DType::kInt64), {n}, out));
}
void host_multinomial(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Seeded s = seeded(c, 1, 2);
  const std::int64_t samples = c.attr_int("numsamples");
  const bool replacement = c.attr_bool("replacement", false);
  if (x.rank() < 1 || x.rank() > 2 || samples < 0) bad_value("multinomial weights have one or two dimensions");
  const std::int64_t n = x.shape.back();
  const std::int64_t rows = x.rank() == 2 ? x.shape[0] : 1;
  const std::vector<double> weights = values<double>(x);
  const std::vector<std::uint32_t> r = words(s.seed, s.offset, 0, rows * samples);
  std::vector<std::int64_t> out;
  for (std::int64_t row = 0; row < rows; ++row) {
    std::vector<double> w(weights.begin() + row * n, weights.begin() + (row + 1) * n);
    for (std::int64_t k = 0; k < samples; ++k) {
      const double total = std::accumulate(w.begin(), w.end(), 0.0);
      if (!(total > 0)) bad_value("multinomial weights without anything left to draw");
      double at = open_unit(r[static_cast<std::size_t>(row * samples + k)]) * total;
      std::int64_t pick_at = -1;
      for (std::int64_t i = 0; i < n; ++i) {
        const double e = w[static_cast<std::size_t>(i)];
        if (e <= 0) continue;
        pick_at = i;
        at -= e;
        if (at <= 0) break;
      }
      out.push_back(pick_at);
      if (!replacement) w[static_cast<std::size_t>(pick_at)] = 0;
    }
  }
  c.out(0, make(DType::kInt64, x.rank() == 2 ? Dims{rows, samples} : Dims{samples}, out));
}

constexpr Op kTable[] = {
    {"StatelessRandomUniformV2", host_uniform, nullptr, Ints::kHost, -1, true},
    {"StatelessRandomNormalV2", host_normal, nullptr, Ints::kHost, -1, true},
    {"RandomUniform", host_random_uniform, nullptr, Ints::kHost, -1, true},
    {"RandomStandardNormal", host_random_normal, nullptr, Ints::kHost, -1, true},
    {"RandomUniformInt", host_random_int, nullptr, Ints::kHost, -1, true},
    {"StatelessBernoulli", host_bernoulli, nullptr, Ints::kHost, -1, true},
    {"StatelessBernoulliV2", host_bernoulli_v2, nullptr, Ints::kHost, -1, true},
    {"StatelessDropOutGenMask", host_drop_mask, nullptr, Ints::kHost, -1, true},
    {"DropOutDoMask", host_drop_do_mask, nullptr},
    {"StatelessRandperm", host_randperm, nullptr, Ints::kHost, -1, true},
    {"MultinomialWithReplacement", host_multinomial, nullptr, Ints::kHost, -1, true},
};

}  // namespace

std::span<const Op> random_ops() { return kTable; }

}  // namespace airloom::runtime
