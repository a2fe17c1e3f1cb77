// Integer polynomials over expressions: the view under which sums, products and quotients are simplified.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "symbolic/expr.h"

namespace airloom::sym {

/// Coefficient per monomial; the constant term has the key 1. No coefficient is 0.
using Terms = std::map<Expr, std::int64_t>;
/// Exponent (> 0) per factor of a monomial.
using Factors = std::map<Expr, std::int64_t>;

// Everything below answers nullopt or false on int64 overflow, also where an operand had overflowed before and was left unfolded.
bool add_term(Terms& terms, const Expr& key, std::int64_t coefficient);
/// terms += scale * e
bool accumulate(Terms& terms, const Expr& e, std::int64_t scale = 1);
std::optional<Terms> terms_of(const Expr& e);
/// The sum of all; whether it overflows does not depend on their order.
std::optional<Terms> sum_of(const std::vector<Expr>& operands);
std::optional<Terms> scaled(const Terms& terms, std::int64_t scale);
std::optional<Terms> product(const Terms& a, const Terms& b);
Expr from_terms(const Terms& terms);

/// e (a monomial without coefficient) as factors; empty for 1.
std::optional<Factors> factors_of(const Expr& e);
Expr from_factors(const Factors& factors);
/// The monomial a / b when b divides it.
std::optional<Expr> divide_monomial(const Expr& a, const Expr& b);
/// The polynomial q with a == q * b.
std::optional<Terms> divide_exactly(const Terms& a, const Terms& b);
/// The largest monomial dividing every monomial of both.
Factors common_factors(const Terms& a, const Terms& b);
/// Greatest common divisor of all coefficients (of a's without its constant when asked so) and start; INT64_MIN counts as coprime.
std::int64_t content(const Terms& a, std::int64_t start, bool with_constant);

}  // namespace airloom::sym
