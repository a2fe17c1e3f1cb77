#include <algorithm>

#include "symbolic/expr.h"
#include "symbolic/nodes.h"

namespace airloom::sym {
namespace {

constexpr std::int64_t kMinus = INT64_MIN;  // minus infinity
constexpr std::int64_t kPlus = INT64_MAX;

bool infinite(std::int64_t v) { return v == kMinus || v == kPlus; }

// Saturating product; an infinity times zero is zero, as bounds are limits of finite products.
std::int64_t times(std::int64_t a, std::int64_t b) {
  if (a == 0 || b == 0) return 0;
  std::int64_t out = 0;
  if (infinite(a) || infinite(b) || __builtin_mul_overflow(a, b, &out)) return (a < 0) == (b < 0) ? kPlus : kMinus;
  return out;
}

std::int64_t plus(std::int64_t a, std::int64_t b, std::int64_t infinity) {
  if (a == infinity || b == infinity) return infinity;
  if (infinite(a)) return a;
  if (infinite(b)) return b;
  std::int64_t out = 0;
  if (__builtin_add_overflow(a, b, &out)) return a < 0 ? kMinus : kPlus;
  return out;
}

std::int64_t negated(std::int64_t a) { return times(a, -1); }

// b > 0, perhaps infinite.
std::int64_t quotient(std::int64_t a, std::int64_t b) {
  if (infinite(a)) return a;
  if (b == kPlus) return a < 0 ? -1 : 0;
  return checked_floor_div(a, b).value_or(a);
}

// A lower bound of plus infinity (from saturation) would say more than is known.
Range sane(Range r) { return {r.lower == kPlus ? kPlus - 1 : r.lower, r.upper == kMinus ? kMinus + 1 : r.upper}; }

Range add(Range a, Range b) { return sane({plus(a.lower, b.lower, kMinus), plus(a.upper, b.upper, kPlus)}); }

Range multiply(Range a, Range b) {
  const auto [lower, upper] =
      std::minmax({times(a.lower, b.lower), times(a.lower, b.upper), times(a.upper, b.lower), times(a.upper, b.upper)});
  return sane({lower, upper});
}

// Division by zero has no value, so a divisor range that only touches zero is one-sided.
Range divide(Range a, Range b) {
  if (b.lower < 0 && b.upper > 0) return {};
  if (b.upper <= 0 && b.lower < 0) {
    a = {negated(a.upper), negated(a.lower)};
    b = {negated(b.upper), negated(b.lower)};
  }
  if (b.upper <= 0) return {};  // always zero
  b.lower = std::max<std::int64_t>(b.lower, 1);
  return sane({quotient(a.lower, a.lower < 0 ? b.lower : b.upper), quotient(a.upper, a.upper < 0 ? b.upper : b.lower)});
}

Range modulo(Range a, Range b) {
  if (b.lower >= 0) {
    const std::int64_t least = std::max<std::int64_t>(b.lower, 1);
    if (a.lower >= 0 && a.upper < least) return a;
    const std::int64_t most = b.upper == kPlus ? kPlus : std::max<std::int64_t>(b.upper - 1, 0);
    return {0, a.lower >= 0 ? std::min(most, a.upper) : most};
  }
  if (b.upper <= 0) return {b.lower == kMinus ? kMinus : b.lower + 1, 0};
  return {b.lower == kMinus ? kMinus : b.lower + 1, b.upper == kPlus ? kPlus : b.upper - 1};
}

std::int64_t power(std::int64_t base, std::int64_t exponent) {
  if (!infinite(base)) {
    if (const auto value = checked_pow(base, exponent)) return *value;
  }
  return base < 0 && exponent % 2 != 0 ? kMinus : kPlus;
}

Range raise(Range base, Range exponent) {
  if (exponent.lower != exponent.upper || exponent.lower < 0) return base.lower >= 0 ? Range{0, kPlus} : Range{};
  const std::int64_t n = exponent.lower;
  if (n == 0) return {1, 1};
  const std::int64_t low = power(base.lower, n);
  const std::int64_t high = power(base.upper, n);
  if (n % 2 != 0) return sane({low, high});
  if (base.lower >= 0) return sane({low, high});
  if (base.upper <= 0) return sane({high, low});
  return sane({0, std::max(low, high)});
}

Range flag(bool always, bool never) { return {always ? 1 : 0, never ? 0 : 1}; }

}  // namespace

Range range(const Expr& expr, const std::map<std::string, Range>& symbols) {
  if (const auto value = expr.value()) return {*value, *value};
  if (expr.op() == Op::kSymbol) {
    const auto found = symbols.find(expr.name());
    return found == symbols.end() ? Range{} : found->second;
  }
  if (expr.op() == Op::kUnknown) return {};
  std::vector<Range> in;
  for (const Expr& operand : expr.operands()) in.push_back(range(operand, symbols));
  const Range a = in[0];
  const Range b = in.back();
  const bool disjoint = a.upper < b.lower || b.upper < a.lower;
  const bool same = a.lower == a.upper && b.lower == b.upper && a.lower == b.lower;
  const auto fold = [&](auto step) {
    Range result = a;
    for (std::size_t i = 1; i < in.size(); ++i) result = step(result, in[i]);
    return result;
  };
  const auto smaller = [](Range x, Range y) { return Range{std::min(x.lower, y.lower), std::min(x.upper, y.upper)}; };
  const auto larger = [](Range x, Range y) { return Range{std::max(x.lower, y.lower), std::max(x.upper, y.upper)}; };
  switch (expr.op()) {
    case Op::kAdd: return fold(add);
    case Op::kMul: return fold(multiply);
    case Op::kFloorDiv: return divide(a, b);
    case Op::kCeilDiv: {
      const Range floor = divide({negated(a.upper), negated(a.lower)}, b);
      return {negated(floor.upper), negated(floor.lower)};
    }
    case Op::kMod: return modulo(a, b);
    case Op::kPow: return raise(a, b);
    case Op::kMin: return fold(smaller);
    case Op::kMax: return fold(larger);
    case Op::kEq: return flag(same, disjoint);
    case Op::kNe: return flag(disjoint, same);
    case Op::kLt: return flag(a.upper < b.lower, a.lower >= b.upper);
    case Op::kLe: return flag(a.upper <= b.lower, a.lower > b.upper);
    case Op::kGt: return flag(a.lower > b.upper, a.upper <= b.lower);
    case Op::kGe: return flag(a.lower >= b.upper, a.upper < b.lower);
    case Op::kAnd: return fold(smaller);
    case Op::kOr: return fold(larger);
    case Op::kNot: return {1 - std::clamp<std::int64_t>(a.upper, 0, 1), 1 - std::clamp<std::int64_t>(a.lower, 0, 1)};
    case Op::kWhere:
      if (a.lower > 0 || a.upper < 0) return in[1];
      if (a.lower == 0 && a.upper == 0) return in[2];
      return {std::min(in[1].lower, in[2].lower), std::max(in[1].upper, in[2].upper)};
    case Op::kConst:
    case Op::kSymbol:
    case Op::kUnknown: break;
  }
  return {};
}

}  // namespace airloom::sym
