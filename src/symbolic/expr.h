// Integer expressions over symbolic dimensions, as torch.export prints them ("2*s0 + 1", "Max(1, u0)", "(s1//4)").
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "airloom/error.h"

namespace airloom::sym {

enum class Op : std::uint8_t {
  kConst,     // an int64
  kSymbol,    // a name: s0, s72, u1
  kUnknown,   // a dimension about which nothing is known (-1 of a file); equal to nothing, not even itself
  kAdd,       // n-ary, operands in canonical order, at most one constant, last
  kMul,       // n-ary, at most one constant, first
  kFloorDiv,  // floor division, Python's sign rule
  kCeilDiv,   // -((-a) // b)
  kMod,       // Python's sign rule (result has the divisor's sign)
  kPow,       // non-negative integer exponent
  kMin,
  kMax,
  // Comparisons and logic: 0 or 1.
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kAnd,
  kOr,
  kNot,
  kWhere,  // Where(cond, a, b), also Piecewise of two arms
};

/// An immutable, canonicalised expression; cheap to copy. Every constructor simplifies, so equal expressions
/// that differ by ordering, folding or distribution of constants compare equal.
class Expr {
 public:
  Expr() : Expr(std::int64_t{0}) {}
  Expr(std::int64_t value);                                    // NOLINT(google-explicit-constructor): ints are expressions
  Expr(int value) : Expr(static_cast<std::int64_t>(value)) {}  // NOLINT(google-explicit-constructor)
  static Expr symbol(std::string_view name);
  static Expr unknown();
  /// Builds and simplifies; throws Exception(kInvalidArgument) when the operand count does not fit the op. An unknown operand makes the
  /// result unknown, except in a product with the constant 0. Operands of And, Or, Not and the condition of Where count as != 0.
  /// kCeilDiv, kGt and kGe are rewritten to kFloorDiv, kLt and kLe, so they do not occur in results.
  static Expr make(Op op, std::vector<Expr> operands);

  [[nodiscard]] Op op() const;
  [[nodiscard]] bool is_const() const { return op() == Op::kConst; }
  [[nodiscard]] std::optional<std::int64_t> value() const;  // set when constant
  [[nodiscard]] const std::string& name() const;            // of a symbol
  [[nodiscard]] const std::vector<Expr>& operands() const;

  /// Symbols in it, sorted.
  [[nodiscard]] std::set<std::string> symbols() const;
  /// Value under a binding; nullopt when a symbol is unbound, or on division by zero or int64 overflow.
  [[nodiscard]] std::optional<std::int64_t> eval(const std::map<std::string, std::int64_t>& binding) const;
  [[nodiscard]] Expr substitute(const std::map<std::string, Expr>& binding) const;

  /// Python syntax that parse() reads back to an equal expression; "?" for unknown.
  [[nodiscard]] std::string str() const;

  friend bool operator==(const Expr& a, const Expr& b);
  friend bool operator<(const Expr& a, const Expr& b);  // canonical total order, for deterministic containers
  friend Expr operator+(const Expr& a, const Expr& b);
  friend Expr operator-(const Expr& a, const Expr& b);
  friend Expr operator*(const Expr& a, const Expr& b);

 private:
  friend struct Nodes;  // the room's own access to nodes (nodes.h)
  struct Node;
  std::int64_t value_ = 0;  // used when node_ is null: constants need no allocation
  std::shared_ptr<const Node> node_;
};

Expr floor_div(const Expr& a, const Expr& b);
Expr ceil_div(const Expr& a, const Expr& b);
Expr mod(const Expr& a, const Expr& b);
Expr min(const Expr& a, const Expr& b);
Expr max(const Expr& a, const Expr& b);

struct Range {
  std::int64_t lower = INT64_MIN;  // INT64_MIN / INT64_MAX stand for minus / plus infinity
  std::int64_t upper = INT64_MAX;
};
/// Parses what sympy/torch print for SymInt and SymBool expressions: + - * / // % **, comparisons, & | ~, and, or, not, and the calls
/// FloorDiv, CleanDiv, CeilDiv, IntTrueDiv, FloatTrueDiv, ToFloat, TruncToInt, FloorToInt, CeilToInt, RoundToInt, floor, ceiling, Mod,
/// PythonMod, ModularIndexing, LShift, RShift, Min, Max, Pow, PowByNatural, Where, Piecewise, Eq, Ne, Lt, Le, Gt, Ge, And, Or, Not, Abs,
/// Identity; "?" is unknown.
/// Fractions and floats may occur inside as long as the whole is an integer and torch's rounding cannot change it (values below 2^40).
/// TruncToInt is a floor where its operand cannot be negative: symbols have the given ranges; one without a range is non-negative when
/// its name starts with 's' (torch's sizes) and unbounded otherwise.
/// Errors, both with the column: Errc::kParse for bad syntax, Errc::kUnsupported for what is no exact integer expression.
Result<Expr> parse(std::string_view text);
Result<Expr> parse(std::string_view text, const std::map<std::string, Range>& symbols);

/// Interval bounds of an expression from those of its symbols (a symbol without a range is unbounded).
Range range(const Expr& expr, const std::map<std::string, Range>& symbols);

}  // namespace airloom::sym
