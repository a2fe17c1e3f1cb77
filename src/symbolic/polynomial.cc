#include "symbolic/polynomial.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "symbolic/nodes.h"

namespace airloom::sym {
namespace {

__extension__ using Wide = __int128;

// Bounds the work on hostile input; real shapes have a handful of terms.
constexpr std::size_t kMaxDivisionTerms = 64;

const Expr& one() {
  static const Expr kOne(1);
  return kOne;
}

Expr term(const Expr& key, std::int64_t coefficient) {
  if (coefficient == 1) return key;
  if (key.is_const()) return coefficient;
  if (key.op() != Op::kMul) return Nodes::node(Op::kMul, {Expr(coefficient), key});
  std::vector<Expr> operands{Expr(coefficient)};
  operands.insert(operands.end(), key.operands().begin(), key.operands().end());
  return Nodes::node(Op::kMul, std::move(operands));
}

// The term division starts from: highest degree, then largest key. Any choice is sound, as only a remainder of zero counts.
const std::pair<const Expr, std::int64_t>* leading(const Terms& terms) {
  const std::pair<const Expr, std::int64_t>* best = nullptr;
  std::int64_t best_degree = -1;
  for (const auto& entry : terms) {
    std::int64_t degree = 0;
    if (const auto factors = factors_of(entry.first)) {
      for (const auto& [base, exponent] : *factors) degree += std::min<std::int64_t>(exponent, 1 << 20);
    }
    if (degree >= best_degree) {
      best = &entry;
      best_degree = degree;
    }
  }
  return best;
}

}  // namespace

bool add_term(Terms& terms, const Expr& key, std::int64_t coefficient) {
  if (coefficient == 0) return true;
  const auto [at, inserted] = terms.emplace(key, coefficient);
  if (inserted) return true;
  const auto sum = checked_add(at->second, coefficient);
  if (!sum) return false;
  if (*sum == 0) {
    terms.erase(at);
  } else {
    at->second = *sum;
  }
  return true;
}

bool accumulate(Terms& terms, const Expr& e, std::int64_t scale) {
  if (e.is_const()) {
    const auto constant = checked_mul(*e.value(), scale);
    return constant && add_term(terms, one(), *constant);
  }
  const std::vector<Expr>& in = e.operands();
  if (e.op() == Op::kAdd) {
    return std::all_of(in.begin(), in.end(), [&](const Expr& operand) { return accumulate(terms, operand, scale); });
  }
  if (Nodes::is_raw(e)) return false;  // a product or power whose constant does not fit
  if (e.op() == Op::kMul && in[0].is_const()) {
    const auto coefficient = checked_mul(*in[0].value(), scale);
    if (!coefficient) return false;
    return add_term(terms, in.size() == 2 ? in[1] : Nodes::node(Op::kMul, {in.begin() + 1, in.end()}), *coefficient);
  }
  return add_term(terms, e, scale);
}

std::optional<Terms> terms_of(const Expr& e) {
  Terms terms;
  if (!accumulate(terms, e)) return std::nullopt;
  return terms;
}

std::optional<Terms> sum_of(const std::vector<Expr>& operands) {
  std::map<Expr, Wide> totals;
  for (const Expr& operand : operands) {
    const bool is_sum = operand.op() == Op::kAdd;
    const std::vector<Expr> single = is_sum ? std::vector<Expr>{} : std::vector<Expr>{operand};
    for (const Expr& part : is_sum ? operand.operands() : single) {
      const auto terms = terms_of(part);
      if (!terms) return std::nullopt;
      for (const auto& [key, coefficient] : *terms) totals[key] += coefficient;
    }
  }
  Terms out;
  for (const auto& [key, total] : totals) {
    if (total > INT64_MAX || total < INT64_MIN) return std::nullopt;
    add_term(out, key, static_cast<std::int64_t>(total));
  }
  return out;
}

std::optional<Terms> scaled(const Terms& terms, std::int64_t scale) {
  Terms out;
  for (const auto& [key, coefficient] : terms) {
    const auto value = checked_mul(coefficient, scale);
    if (!value) return std::nullopt;
    add_term(out, key, *value);
  }
  return out;
}

std::optional<Terms> product(const Terms& a, const Terms& b) {
  Terms out;
  for (const auto& [key_a, coefficient_a] : a) {
    for (const auto& [key_b, coefficient_b] : b) {
      const auto coefficient = checked_mul(coefficient_a, coefficient_b);
      auto factors = factors_of(key_a);
      const auto more = factors_of(key_b);
      if (!coefficient || !factors || !more) return std::nullopt;
      for (const auto& [base, exponent] : *more) {
        std::int64_t& total = (*factors)[base];
        if (__builtin_add_overflow(total, exponent, &total)) return std::nullopt;
      }
      if (!add_term(out, from_factors(*factors), *coefficient)) return std::nullopt;
    }
  }
  return out;
}

Expr from_terms(const Terms& terms) {
  std::vector<Expr> operands;
  for (const auto& [key, coefficient] : terms) {
    if (!key.is_const()) operands.push_back(term(key, coefficient));
  }
  if (const auto constant = terms.find(one()); constant != terms.end()) operands.emplace_back(constant->second);
  if (operands.empty()) return 0;
  return operands.size() == 1 ? operands[0] : Nodes::node(Op::kAdd, std::move(operands));
}

std::optional<Factors> factors_of(const Expr& e) {
  Factors factors;
  const auto add = [&](const Expr& factor) {
    const bool power = factor.op() == Op::kPow && factor.operands()[1].is_const() && *factor.operands()[1].value() > 0;
    std::int64_t& total = factors[power ? factor.operands()[0] : factor];
    return !__builtin_add_overflow(total, power ? *factor.operands()[1].value() : 1, &total);
  };
  if (e.is_const()) return factors;
  if (Nodes::is_raw(e)) return std::nullopt;
  if (e.op() != Op::kMul) {
    add(e);
    return factors;
  }
  for (const Expr& factor : e.operands()) {
    if (!add(factor)) return std::nullopt;
  }
  return factors;
}

Expr from_factors(const Factors& factors) {
  std::vector<Expr> operands;
  for (const auto& [base, exponent] : factors) {
    operands.push_back(exponent == 1 ? base : Nodes::node(Op::kPow, {base, Expr(exponent)}));
  }
  if (operands.empty()) return 1;
  return operands.size() == 1 ? operands[0] : Nodes::node(Op::kMul, std::move(operands));
}

std::optional<Expr> divide_monomial(const Expr& a, const Expr& b) {
  auto factors = factors_of(a);
  const auto divisor = factors_of(b);
  if (!factors || !divisor) return std::nullopt;
  for (const auto& [base, exponent] : *divisor) {
    const auto at = factors->find(base);
    if (at == factors->end() || at->second < exponent) return std::nullopt;
    at->second -= exponent;
    if (at->second == 0) factors->erase(at);
  }
  return from_factors(*factors);
}

std::optional<Terms> divide_exactly(const Terms& a, const Terms& b) {
  if (a.size() > kMaxDivisionTerms || b.size() > kMaxDivisionTerms || b.empty()) return std::nullopt;
  const auto* divisor = leading(b);
  Terms rest = a;
  Terms quotient;
  for (std::size_t step = 0; step < kMaxDivisionTerms && !rest.empty(); ++step) {
    const auto* top = leading(rest);
    const auto key = divide_monomial(top->first, divisor->first);
    const auto exact = checked_mod(top->second, divisor->second);
    const auto coefficient = checked_floor_div(top->second, divisor->second);
    if (!key || !coefficient || exact != 0 || *coefficient == INT64_MIN) return std::nullopt;
    const auto taken = product(b, Terms{{*key, -*coefficient}});
    if (!taken || !add_term(quotient, *key, *coefficient)) return std::nullopt;
    for (const auto& [k, c] : *taken) {
      if (!add_term(rest, k, c)) return std::nullopt;
    }
    if (rest.size() > kMaxDivisionTerms) return std::nullopt;
  }
  if (!rest.empty()) return std::nullopt;
  return quotient;
}

Factors common_factors(const Terms& a, const Terms& b) {
  std::optional<Factors> common;
  for (const Terms* terms : {&a, &b}) {
    for (const auto& entry : *terms) {
      const auto factors = factors_of(entry.first);
      if (!factors) return {};
      if (!common) {
        common = factors;
        continue;
      }
      for (auto at = common->begin(); at != common->end();) {
        const auto found = factors->find(at->first);
        if (found == factors->end()) {
          at = common->erase(at);
        } else {
          at->second = std::min(at->second, found->second);
          ++at;
        }
      }
    }
  }
  return common.value_or(Factors{});
}

std::int64_t content(const Terms& a, std::int64_t start, bool with_constant) {
  for (const auto& [key, coefficient] : a) {
    if (key.is_const() && !with_constant) continue;
    if (coefficient == INT64_MIN) return 1;
    start = std::gcd(start, coefficient);
  }
  return start;
}

}  // namespace airloom::sym
