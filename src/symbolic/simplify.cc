// Expr::make: the rules that bring an expression into canonical form. Every rule holds for all integers for which the operands are defined.
#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "symbolic/expr.h"
#include "symbolic/nodes.h"
#include "symbolic/polynomial.h"

namespace airloom::sym {
namespace {

__extension__ using Wide = __int128;

constexpr std::size_t kSmallSum = 8;      // sums up to this many terms are multiplied out
constexpr std::int64_t kSmallPower = 8;   // and powers of them up to this exponent
constexpr std::size_t kMaxCompared = 16;  // operands of Min/Max compared pairwise
constexpr int kMaxRewrites = 16;

Expr make_add(const std::vector<Expr>& operands);
Expr make_mul(const std::vector<Expr>& operands);
Expr make_floor_div(const Expr& a, const Expr& b);
Expr make_mod(const Expr& a, const Expr& b);

Expr negate(const Expr& e) { return make_mul({Expr(-1), e}); }
Expr sum(const Terms& terms, const Expr& more) { return make_add({from_terms(terms), more}); }

// The divisor of a floor division or modulo by a positive constant.
std::optional<std::int64_t> constant_divisor(const Expr& e) {
  const auto divisor = e.operands()[1].value();
  return divisor && *divisor > 0 ? divisor : std::nullopt;
}

// Mod(x, k) - x -> -k*(x//k)   and   x - k*(x//k) -> Mod(x, k): both halves of the division identity, so that padding a size up to a
// multiple becomes a rounded quotient. x is compared without its constant.
bool merge_division(Terms& terms) {
  for (const auto& [key, coefficient] : terms) {
    if (key.op() != Op::kMod && key.op() != Op::kFloorDiv) continue;
    const auto k = constant_divisor(key);
    const bool from_mod = key.op() == Op::kMod;
    if (!k || (!from_mod && coefficient % *k != 0) || coefficient == INT64_MIN) continue;
    const std::int64_t scale = from_mod ? coefficient : coefficient / *k;
    const Expr& x = key.operands()[0];
    const auto inner = terms_of(x);
    if (!inner) continue;
    const auto wanted = scaled(*inner, -scale);
    if (!wanted) continue;
    Terms rest = terms;
    rest.erase(key);
    bool present = true;
    for (const auto& [inner_key, inner_coefficient] : *wanted) {
      if (inner_key.is_const()) {
        present = present && inner_coefficient != INT64_MIN && add_term(rest, inner_key, -inner_coefficient);
      } else {
        const auto found = rest.find(inner_key);
        present = present && found != rest.end() && found->second == inner_coefficient;
        if (present) rest.erase(found);
      }
    }
    if (!present) continue;
    const Expr merged =
        from_mod ? make_mul({Expr(-scale), Expr(*k), make_floor_div(x, Expr(*k))}) : make_mul({Expr(-scale), make_mod(x, Expr(*k))});
    if (!accumulate(rest, merged)) continue;
    terms = std::move(rest);
    return true;
  }
  return false;
}

Expr make_add(const std::vector<Expr>& operands) {
  auto terms = sum_of(operands);
  if (!terms) return Nodes::raw_node(Op::kAdd, operands);
  for (int i = 0; i < kMaxRewrites && merge_division(*terms); ++i) {
  }
  return from_terms(*terms);
}

bool is_small_sum(const Expr& e) { return e.op() == Op::kAdd && !Nodes::is_raw(e) && e.operands().size() <= kSmallSum; }

// Operand by operand into a constant, factors and small sums (one entry per power); false on overflow.
bool split_product(const std::vector<Expr>& operands, Wide& constant, Factors& factors, std::vector<Expr>& sums) {
  for (const Expr& operand : operands) {
    if (operand.op() == Op::kMul) {
      if (!split_product(operand.operands(), constant, factors, sums)) return false;
    } else if (operand.is_const()) {
      constant *= *operand.value();
      if (constant > -static_cast<Wide>(INT64_MIN) || constant < INT64_MIN) return false;  // no later factor but 0 makes it smaller
    } else if (is_small_sum(operand)) {
      sums.push_back(operand);
    } else {
      const auto parts = factors_of(operand);
      if (!parts) return false;
      for (const auto& [base, exponent] : *parts) {
        std::int64_t& total = factors[base];
        if (__builtin_add_overflow(total, exponent, &total)) return false;
      }
    }
  }
  return true;
}

Expr make_mul(const std::vector<Expr>& operands) {
  Wide scale = 1;  // one bit wider than int64, so that the order of -1, 2 and 2^62 does not matter
  Factors factors;
  std::vector<Expr> sums;
  for (const Expr& operand : operands) {
    if (operand.value() == 0) return 0;
  }
  if (!split_product(operands, scale, factors, sums)) return Nodes::raw_node(Op::kMul, operands);
  std::sort(sums.begin(), sums.end());
  while (sums.size() >= 2) {
    const auto a = terms_of(sums[0]);
    const auto b = terms_of(sums[1]);
    const auto expanded = a && b ? product(*a, *b) : std::nullopt;
    if (!expanded) return Nodes::raw_node(Op::kMul, operands);
    sums.erase(sums.begin(), sums.begin() + 2);
    std::vector<Expr> rest = std::move(sums);
    rest.push_back(make_add({from_terms(*expanded)}));
    sums.clear();
    if (!split_product(rest, scale, factors, sums)) return Nodes::raw_node(Op::kMul, operands);
    std::sort(sums.begin(), sums.end());
  }
  if (scale > INT64_MAX) return Nodes::raw_node(Op::kMul, operands);
  const auto constant = static_cast<std::int64_t>(scale);
  const auto is_sum = [](const auto& factor) { return factor.first.op() == Op::kAdd; };
  // A large sum takes part in products as a factor of its own, else nested products would grow without bound.
  const bool has_large = std::any_of(factors.begin(), factors.end(), is_sum);
  if (has_large && factors.size() == 1 && sums.empty() && factors.begin()->second == 1) {
    const auto terms = terms_of(factors.begin()->first);
    const auto result = terms ? scaled(*terms, constant) : std::nullopt;
    return result ? make_add({from_terms(*result)}) : Nodes::raw_node(Op::kMul, operands);
  }
  if (!sums.empty() && !has_large) {
    const auto terms = terms_of(sums[0]);
    const auto result = terms ? product(*terms, Terms{{from_factors(factors), constant}}) : std::nullopt;
    return result ? make_add({from_terms(*result)}) : Nodes::raw_node(Op::kMul, operands);
  }
  if (!sums.empty()) ++factors[sums[0]];
  return from_terms({{from_factors(factors), constant}});
}

Expr make_pow(const Expr& base, const Expr& exponent) {
  if (base.value() == 1) return 1;
  const auto n = exponent.value();
  if (!n || *n < 0) return Nodes::node(Op::kPow, {base, exponent});
  if (*n == 0) return 1;
  if (*n == 1) return base;
  if (Nodes::is_raw(base)) return Nodes::node(Op::kPow, {base, exponent}, true);
  if (base.is_const()) {
    const auto value = checked_pow(*base.value(), *n);
    return value ? Expr(*value) : Nodes::node(Op::kPow, {base, exponent}, true);
  }
  if (is_small_sum(base) && *n <= kSmallPower) return make_mul(std::vector<Expr>(static_cast<std::size_t>(*n), base));
  if (base.op() == Op::kMul) {
    std::vector<Expr> powers;
    for (const Expr& factor : base.operands()) powers.push_back(make_pow(factor, exponent));
    return make_mul(powers);
  }
  if (base.op() == Op::kPow && base.operands()[1].is_const() && *base.operands()[1].value() > 0) {
    const auto total = checked_mul(*base.operands()[1].value(), *n);
    if (total) return Nodes::node(Op::kPow, {base.operands()[0], Expr(*total)});
  }
  return Nodes::node(Op::kPow, {base, exponent});
}

// (x//m + y) // k == (x + m*y) // (m*k); only when there is one such quotient, so that the result does not depend on a choice.
std::optional<Expr> unnest(const Terms& terms, std::int64_t k) {
  const Expr* inner = nullptr;
  for (const auto& [key, coefficient] : terms) {
    if (key.op() != Op::kFloorDiv || !constant_divisor(key)) continue;
    if (inner != nullptr || coefficient != 1) return std::nullopt;
    inner = &key;
  }
  if (inner == nullptr) return std::nullopt;
  const std::int64_t m = *constant_divisor(*inner);
  const auto total = checked_mul(m, k);
  Terms rest = terms;
  const Expr x = inner->operands()[0];
  rest.erase(Expr(*inner));
  auto outer = scaled(rest, m);
  if (!total || !outer || !accumulate(*outer, x)) return std::nullopt;
  return make_floor_div(make_add({from_terms(*outer)}), Expr(*total));
}

// Floor division by a constant k > 1.
Expr divide_by_constant(const Terms& a, std::int64_t k) {
  Terms quotient;
  Terms rest;
  for (const auto& [key, coefficient] : a) {
    const std::int64_t whole = *checked_floor_div(coefficient, k);
    if (key.is_const()) {
      add_term(quotient, key, whole);
      add_term(rest, key, *checked_mod(coefficient, k));
    } else if (coefficient % k == 0) {
      add_term(quotient, key, whole);
    } else {
      add_term(rest, key, coefficient);
    }
  }
  if (rest.empty() || rest.rbegin()->first.is_const()) return from_terms(quotient);  // nothing but the constant's remainder is left
  if (const std::int64_t g = content(rest, k, false); g > 1) {
    Terms reduced;
    for (const auto& [key, coefficient] : rest) add_term(reduced, key, *checked_floor_div(coefficient, g));
    return sum(quotient, make_floor_div(from_terms(reduced), Expr(k / g)));
  }
  // floor(r/k) == -floor((k-1-r)/k): the first coefficient is made positive, so that ceilings have one form.
  const auto first = std::find_if(rest.begin(), rest.end(), [](const auto& entry) { return !entry.first.is_const(); });
  if (first->second < 0) {
    if (auto flipped = scaled(rest, -1); flipped && add_term(*flipped, Expr(1), k - 1)) {
      return sum(quotient, negate(make_floor_div(from_terms(*flipped), Expr(k))));
    }
  }
  if (const auto flat = unnest(rest, k)) return sum(quotient, *flat);
  return sum(quotient, Nodes::node(Op::kFloorDiv, {from_terms(rest), Expr(k)}));
}

// a and b without their common monomial and content; nullopt when there is none.
struct Reduced {
  Expr a;
  Expr b;
  Expr factor;
};
std::optional<Reduced> reduce(const Terms& a, const Terms& b) {
  const Expr monomial = from_factors(common_factors(a, b));
  const std::int64_t g = content(b, content(a, 0, true), true);
  if (monomial.value() == 1 && g <= 1) return std::nullopt;
  const auto divided = [&](const Terms& terms) -> std::optional<Expr> {
    Terms out;
    for (const auto& [key, coefficient] : terms) {
      const auto rest = divide_monomial(key, monomial);
      if (!rest || !add_term(out, *rest, coefficient / g)) return std::nullopt;
    }
    return from_terms(out);
  };
  const auto x = divided(a);
  const auto y = divided(b);
  if (!x || !y) return std::nullopt;
  return Reduced{*x, *y, make_mul({Expr(g), monomial})};
}

// Splits a = q*b + rest with q polynomial: term by term when b is one term, else only when the division leaves nothing.
std::optional<std::pair<Terms, Terms>> split_multiples(const Terms& a, const Terms& b) {
  if (b.size() > 1) {
    auto exact = divide_exactly(a, b);
    if (!exact) return std::nullopt;
    return std::pair{std::move(*exact), Terms{}};
  }
  Terms quotient;
  Terms rest;
  const auto& [divisor, scale] = *b.begin();
  for (const auto& [key, coefficient] : a) {
    const auto monomial = divide_monomial(key, divisor);
    const auto whole = checked_floor_div(coefficient, scale);
    if (monomial && whole && checked_mod(coefficient, scale) == 0) {
      add_term(quotient, *monomial, *whole);
    } else {
      add_term(rest, key, coefficient);
    }
  }
  if (quotient.empty()) return std::nullopt;
  return std::pair{std::move(quotient), std::move(rest)};
}

Expr make_floor_div(const Expr& a, const Expr& b) {
  Expr plain = Nodes::node(Op::kFloorDiv, {a, b});
  const auto k = b.value();
  if (k == 1) return a;
  if (k == 0) return plain;
  if (a.is_const() && k) {
    const auto value = checked_floor_div(*a.value(), *k);
    return value ? Expr(*value) : plain;
  }
  if (a.value() == 0) return 0;
  if (a == b) return 1;
  const auto dividend = terms_of(a);
  const auto divisor = terms_of(b);
  if (!dividend || !divisor) return plain;
  // One sign for the divisor: its first coefficient is positive.
  const auto first = divisor->size() > 1 && divisor->begin()->first.is_const() ? std::next(divisor->begin()) : divisor->begin();
  if (first->second < 0) {
    const auto negative_a = scaled(*dividend, -1);
    const auto negative_b = scaled(*divisor, -1);
    return negative_a && negative_b ? make_floor_div(from_terms(*negative_a), from_terms(*negative_b)) : plain;
  }
  if (k) return divide_by_constant(*dividend, *k);
  if (const auto split = split_multiples(*dividend, *divisor)) return sum(split->first, make_floor_div(from_terms(split->second), b));
  if (const auto reduced = reduce(*dividend, *divisor)) return make_floor_div(reduced->a, reduced->b);
  return plain;
}

// Modulo by a constant k > 1: coefficients matter only modulo k and are brought next to zero, the constant into [0, k).
Expr mod_by_constant(const Terms& a, std::int64_t k) {
  Terms rest;
  for (const auto& [key, coefficient] : a) {
    std::int64_t residue = *checked_mod(coefficient, k);
    if (!key.is_const() && residue > k / 2) residue -= k;
    if (key.op() == Op::kMod && constant_divisor(key) && *constant_divisor(key) % k == 0) {
      Terms inner = a;
      inner.erase(key);
      if (accumulate(inner, key.operands()[0], coefficient)) return make_mod(make_add({from_terms(inner)}), Expr(k));
    }
    add_term(rest, key, residue);
  }
  const auto constant = rest.find(Expr(1));
  std::int64_t offset = constant == rest.end() ? 0 : *checked_mod(constant->second, k);
  if (constant != rest.end()) rest.erase(constant);
  if (rest.empty()) return offset;
  const std::int64_t g = content(rest, k, false);
  Terms reduced;
  for (const auto& [key, coefficient] : rest) add_term(reduced, key, coefficient / g);
  add_term(reduced, Expr(1), offset / g);
  if (g > 1) return make_add({make_mul({Expr(g), make_mod(from_terms(reduced), Expr(k / g))}), Expr(offset % g)});
  // The changed coefficients may have let divisions merge; fewer terms mean this ends.
  const Expr dividend = make_add({from_terms(reduced)});
  const auto merged = terms_of(dividend);
  if (merged && merged->size() < reduced.size()) return make_mod(dividend, Expr(k));
  return Nodes::node(Op::kMod, {dividend, Expr(k)});
}

Expr make_mod(const Expr& a, const Expr& b) {
  Expr plain = Nodes::node(Op::kMod, {a, b});
  const auto k = b.value();
  if (k == 0) return plain;
  if (k == 1 || k == -1 || a.value() == 0 || a == b) return 0;
  if (a.is_const() && k) return *checked_mod(*a.value(), *k);
  const auto dividend = terms_of(a);
  const auto divisor = terms_of(b);
  if (!dividend || !divisor) return plain;
  if (k && *k > 0) return mod_by_constant(*dividend, *k);
  if (const auto split = split_multiples(*dividend, *divisor)) return make_mod(from_terms(split->second), b);
  if (const auto reduced = reduce(*dividend, *divisor)) return make_mul({reduced->factor, make_mod(reduced->a, reduced->b)});
  return plain;
}

// The sign of a - b when it is the same for every binding.
std::optional<int> order_of(const Expr& a, const Expr& b) {
  if (a.is_const() && b.is_const()) return Nodes::compare(a, b);
  const auto distance = (a - b).value();
  if (!distance) return std::nullopt;
  return *distance < 0 ? -1 : (*distance > 0 ? 1 : 0);
}

Expr make_min_max(Op op, const std::vector<Expr>& operands) {
  std::set<Expr> flat;
  for (const Expr& operand : operands) {
    if (operand.op() == op) {
      flat.insert(operand.operands().begin(), operand.operands().end());
    } else {
      flat.insert(operand);
    }
  }
  std::vector<Expr> kept(flat.begin(), flat.end());
  // Of two operands a known distance apart one is redundant.
  const auto redundant = [&](const Expr& x, const Expr& y) {
    const auto order = order_of(x, y);
    return order && (op == Op::kMax ? *order < 0 : *order > 0);
  };
  for (std::size_t i = 0; i < kept.size() && (kept.size() <= kMaxCompared || kept[i].is_const());) {
    const bool drop = std::any_of(kept.begin(), kept.end(), [&](const Expr& other) { return redundant(kept[i], other); });
    if (drop) {
      kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  return kept.size() == 1 ? kept[0] : Nodes::node(op, std::move(kept));
}

Expr make_comparison(Op op, const Expr& a, const Expr& b) {
  if (op == Op::kGt) return make_comparison(Op::kLt, b, a);
  if (op == Op::kGe) return make_comparison(Op::kLe, b, a);
  const bool symmetric = op == Op::kEq || op == Op::kNe;
  // One order for equalities, a constant last; before any arithmetic, as a - b may overflow where b - a does not.
  if (symmetric && !b.is_const() && (a.is_const() || b < a)) return make_comparison(op, b, a);
  if (const auto order = order_of(a, b)) {
    switch (op) {
      case Op::kEq: return *order == 0 ? 1 : 0;
      case Op::kNe: return *order != 0 ? 1 : 0;
      case Op::kLt: return *order < 0 ? 1 : 0;
      default: return *order <= 0 ? 1 : 0;
    }
  }
  if (symmetric) {
    // 2*x == 2*y + 1 has no solution.
    const auto terms = terms_of(a - b);
    const auto constant = terms ? terms->find(Expr(1)) : Terms::const_iterator{};
    if (terms && constant != terms->end() && constant->second % std::max<std::int64_t>(content(*terms, 0, false), 1) != 0) {
      return op == Op::kNe ? 1 : 0;
    }
  }
  return Nodes::node(op, {a, b});
}

Expr as_boolean(const Expr& e) { return is_boolean(e) ? e : make_comparison(Op::kNe, e, Expr(0)); }

Expr make_not(const Expr& a) {
  const std::vector<Expr>& in = a.operands();
  switch (a.op()) {
    case Op::kConst: return 1 - *a.value();
    case Op::kNot: return in[0];
    case Op::kEq: return Nodes::node(Op::kNe, in);
    case Op::kNe: return Nodes::node(Op::kEq, in);
    case Op::kLt: return make_comparison(Op::kLe, in[1], in[0]);
    case Op::kLe: return make_comparison(Op::kLt, in[1], in[0]);
    default: return Nodes::node(Op::kNot, {a});
  }
}

Expr make_logic(Op op, const std::vector<Expr>& operands) {
  const std::int64_t neutral = op == Op::kAnd ? 1 : 0;
  std::set<Expr> flat;
  for (const Expr& operand : operands) {
    const Expr flag = as_boolean(operand);
    if (flag.op() == op) {
      flat.insert(flag.operands().begin(), flag.operands().end());
    } else if (flag.value() != neutral) {
      flat.insert(flag);
    }
  }
  for (const Expr& flag : flat) {
    if (flag.is_const() || flat.count(make_not(flag)) != 0) return 1 - neutral;
  }
  if (flat.empty()) return neutral;
  return flat.size() == 1 ? *flat.begin() : Nodes::node(op, {flat.begin(), flat.end()});
}

Expr make_where(const Expr& condition, const Expr& yes, const Expr& no) {
  Expr flag = as_boolean(condition);
  if (flag.is_const()) return flag.value() == 0 ? no : yes;
  if (yes == no) return yes;
  if (yes.value() == 1 && no.value() == 0) return flag;
  if (yes.value() == 0 && no.value() == 1) return make_not(flag);
  return Nodes::node(Op::kWhere, {flag, yes, no});
}

bool count_fits(Op op, std::size_t count) {
  switch (op) {
    case Op::kConst:
    case Op::kSymbol: return false;
    case Op::kUnknown: return count == 0;
    case Op::kNot: return count == 1;
    case Op::kWhere: return count == 3;
    case Op::kMin:
    case Op::kMax: return count >= 1;
    case Op::kAdd:
    case Op::kMul:
    case Op::kAnd:
    case Op::kOr: return true;
    default: return count == 2;
  }
}

}  // namespace

Expr Expr::make(Op op, std::vector<Expr> operands) {
  if (!count_fits(op, operands.size())) {
    throw Exception({Errc::kInvalidArgument, fmt::format("{} operands do not fit operation {}", operands.size(), static_cast<int>(op)),
                     "sym::Expr::make", ""});
  }
  const bool zero = op == Op::kMul && std::any_of(operands.begin(), operands.end(), [](const Expr& e) { return e.value() == 0; });
  if (zero) return 0;
  if (std::any_of(operands.begin(), operands.end(), [](const Expr& e) { return e.op() == Op::kUnknown; })) return unknown();
  switch (op) {
    case Op::kAdd: return make_add(operands);
    case Op::kMul: return make_mul(operands);
    case Op::kFloorDiv: return make_floor_div(operands[0], operands[1]);
    case Op::kCeilDiv: return negate(make_floor_div(negate(operands[0]), operands[1]));
    case Op::kMod: return make_mod(operands[0], operands[1]);
    case Op::kPow: return make_pow(operands[0], operands[1]);
    case Op::kMin:
    case Op::kMax: return make_min_max(op, operands);
    case Op::kAnd:
    case Op::kOr: return make_logic(op, operands);
    case Op::kNot: return make_not(as_boolean(operands[0]));
    case Op::kWhere: return make_where(operands[0], operands[1], operands[2]);
    case Op::kConst:
    case Op::kSymbol:
    case Op::kUnknown: return unknown();
    default: return make_comparison(op, operands[0], operands[1]);
  }
}

}  // namespace airloom::sym
