// Reads sympy's Python syntax. Torch's size arithmetic passes through fractions and floats ("TruncToInt(1.5*ToFloat(s0))"), so a parsed
// value is an exact fraction plus what torch's rounding may have done to it; it must end as an integer.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "symbolic/expr.h"
#include "symbolic/nodes.h"
#include "symbolic/polynomial.h"

namespace airloom::sym {
namespace {

__extension__ using Wide = __int128;

constexpr std::size_t kMaxText = 1 << 18;
constexpr int kMaxNesting = 200;            // parentheses
constexpr std::uint32_t kMaxDepth = 500;    // levels of the result, as later walks recurse
constexpr std::uint64_t kMaxSize = 50'000;  // nodes of the result
constexpr std::int64_t kMaxShift = 62;

// What the float computation behind an exact fraction may have become.
enum class Rounding : std::uint8_t {
  kExact,
  kNearest,  // rounded once: right wherever the exact value is representable, thus on the right side of every integer
  kUp,       // at integers perhaps an ulp above
  kDown,     // at integers perhaps an ulp below
};

struct Value {
  Expr num;
  Expr den = 1;
  Rounding rounding = Rounding::kExact;
  bool literal = false;  // a float literal: its product with an integer is rounded like the literal itself

  Value(Expr numerator = 0) : num(std::move(numerator)) {}  // NOLINT(google-explicit-constructor): integers are values
  Value(Expr numerator, Expr denominator, Rounding how) : num(std::move(numerator)), den(std::move(denominator)), rounding(how) {}
  [[nodiscard]] bool exact() const { return rounding == Rounding::kExact; }
  [[nodiscard]] bool integer() const { return exact() && den.value() == 1; }
};

bool power_of_two(std::int64_t v) { return v > 0 && (v & (v - 1)) == 0; }

// Num and den without their common content and monomial; den positive when constant.
void reduce(Value& v) {
  const auto num = terms_of(v.num);
  const auto den = terms_of(v.den);
  if (!num || !den || v.den.value() == 0 || v.num.op() == Op::kUnknown || v.den.op() == Op::kUnknown) return;
  if (const auto quotient = v.den.value() == 1 ? std::nullopt : divide_exactly(*num, *den)) {
    v.num = from_terms(*quotient);
    v.den = 1;
    return;
  }
  const std::int64_t g = content(*den, content(*num, 0, true), true);
  if (g > 1) {
    Terms a;
    Terms b;
    for (const auto& [key, coefficient] : *num) add_term(a, key, coefficient / g);
    for (const auto& [key, coefficient] : *den) add_term(b, key, coefficient / g);
    v.num = from_terms(a);
    v.den = from_terms(b);
  }
  if (const auto d = v.den.value(); d && *d < 0 && *d != INT64_MIN) {
    v.num = v.num * Expr(-1);
    v.den = -*d;
  }
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

class Parser {
 public:
  Parser(std::string_view text, const std::map<std::string, Range>& symbols) : text_(text), symbols_(symbols) {}

  Result<Expr> run() {
    if (text_.size() > kMaxText)
      return fail(Errc::kParse, fmt::format("an expression of {} characters, at most {} are read", text_.size(), kMaxText));
    const Value value = disjunction();
    const Expr result = integer(value, 0);
    skip_space();
    if (!error_ && at_ != text_.size()) syntax(fmt::format("unexpected '{}'", text_[at_]));
    if (error_) return tl::unexpected<Error>(*error_);
    return result;
  }

 private:
  // The first error wins; moving to the end makes every loop stop.
  Value error(Errc code, std::string message, std::size_t at, std::string hint = "") {
    if (!error_) {
      constexpr std::size_t kShown = 120;
      const std::string shown = text_.size() > kShown ? std::string(text_.substr(0, kShown)) + "..." : std::string(text_);
      error_ = Error{code, std::move(message), fmt::format("\"{}\" column {}", shown, at + 1), std::move(hint)};
    }
    at_ = text_.size();
    return {};
  }
  Value syntax(std::string message) { return error(Errc::kParse, std::move(message), at_); }
  Value unsupported(std::string message, std::size_t at) {
    return error(Errc::kUnsupported, std::move(message), at, "compute this size with integers: //, %, *, min, max");
  }

  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  bool accept(std::string_view token) {
    skip_space();
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }
  bool accept_word(std::string_view word) {
    skip_space();
    const std::size_t end = at_ + word.size();
    if (text_.substr(at_, word.size()) != word) return false;
    if (end < text_.size() && (is_letter(text_[end]) || is_digit(text_[end]))) return false;
    at_ = end;
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token))
      syntax(at_ < text_.size() ? fmt::format("expected '{}', not '{}'", token, text_[at_]) : fmt::format("expected '{}'", token));
  }

  // Results go through here, so that a short text cannot grow without bound.
  Expr bounded(Expr e) {
    if (Nodes::depth(e) <= kMaxDepth && Nodes::size(e) <= kMaxSize) return e;
    return error(Errc::kParse, "the expression is nested too deeply or grows too large", at_).num;
  }
  Expr make(Op op, std::vector<Expr> operands) { return bounded(Expr::make(op, std::move(operands))); }

  Expr integer(const Value& v, std::size_t at) {
    if (v.integer() || error_) return v.num;
    return unsupported("not an integer: a fraction or float is never rounded to one", at).num;
  }
  Expr boolean(const Value& v, std::size_t at) {
    Expr e = integer(v, at);
    if (error_ || is_boolean(e) || e.op() == Op::kUnknown) return e;
    return unsupported("a condition is expected here, not a number (bitwise operators on integers are not supported)", at).num;
  }

  Value disjunction() {
    std::size_t start = at_;
    Value left = conjunction();
    while (accept_word("or")) left = logic(Op::kOr, left, start, &Parser::conjunction);
    return left;
  }
  Value conjunction() {
    const std::size_t start = at_;
    Value left = negation();
    while (accept_word("and")) left = logic(Op::kAnd, left, start, &Parser::negation);
    return left;
  }
  Value logic(Op op, const Value& left, std::size_t start, Value (Parser::*next)()) {
    const std::size_t at = at_;
    const Value right = (this->*next)();
    return make(op, {boolean(left, start), boolean(right, at)});
  }
  Value negation() {
    if (!accept_word("not")) return comparison();
    const std::size_t at = at_;
    if (++nesting_ > kMaxNesting) return syntax("nested too deeply");
    const Value operand = negation();
    --nesting_;
    return make(Op::kNot, {boolean(operand, at)});
  }

  std::optional<Op> comparison_sign() {
    static constexpr std::array<std::pair<std::string_view, Op>, 6> kSigns = {
        {{"==", Op::kEq}, {"!=", Op::kNe}, {"<=", Op::kLe}, {">=", Op::kGe}, {"<", Op::kLt}, {">", Op::kGt}}};
    for (const auto& [sign, op] : kSigns) {
      if (sign.size() == 1 && at_ + 1 < text_.size() && text_[at_] == text_[at_ + 1]) continue;  // a shift
      if (accept(sign)) return op;
    }
    return std::nullopt;
  }
  Value comparison() {
    Value left = bitwise_or();
    Value result = left;
    for (bool chained = false;; chained = true) {
      skip_space();
      const std::size_t at = at_;
      const auto op = comparison_sign();
      if (!op) return result;
      const Value right = bitwise_or();
      const Expr holds = compare(*op, left, right, at);
      result = chained ? make(Op::kAnd, {result.num, holds}) : holds;
      left = right;
    }
  }
  Expr compare(Op op, const Value& a, const Value& b, std::size_t at) {
    const auto positive = [](const Value& v) { return v.den.value() && *v.den.value() > 0; };
    if (a.exact() && b.exact() && positive(a) && positive(b)) return make(op, {bounded(a.num * b.den), bounded(b.num * a.den)});
    return unsupported("a comparison of rounded floats", at).num;
  }

  Value bitwise_or() {
    const std::size_t start = at_;
    Value left = bitwise_and();
    while (accept("|")) left = logic(Op::kOr, left, start, &Parser::bitwise_and);
    return left;
  }
  Value bitwise_and() {
    const std::size_t start = at_;
    Value left = sum();
    while (accept("&")) left = logic(Op::kAnd, left, start, &Parser::sum);
    return left;
  }

  Value sum() {
    const std::size_t start = at_;
    std::vector<Value> terms{product()};
    while (true) {
      if (accept("+")) {
        terms.push_back(product());
      } else if (accept("-")) {
        terms.push_back(multiply(Value(-1), product(), start));
      } else {
        break;
      }
    }
    if (terms.size() == 1) return terms[0];
    return add(terms, start);
  }
  Value add(const std::vector<Value>& terms, std::size_t at) {
    if (std::all_of(terms.begin(), terms.end(), [](const Value& v) { return v.integer(); })) {
      std::vector<Expr> operands;
      operands.reserve(terms.size());
      for (const Value& term : terms) operands.push_back(term.num);
      return make(Op::kAdd, std::move(operands));  // at once, so that the text of an unfolded sum is read back as it was
    }
    Value total(0);
    for (const Value& term : terms) {
      if (!term.exact() && !total.exact()) return unsupported("a sum of rounded floats", at);
      // Beside a rounded value only what a float holds exactly keeps it on the right side of the integers.
      const bool rounded = !term.exact() || !total.exact();
      const Value& other = term.exact() ? term : total;
      if (rounded && !(other.den.value() && power_of_two(*other.den.value()))) return unsupported("a sum of rounded floats", at);
      const Rounding rounding = term.exact() ? total.rounding : term.rounding;
      total = Value(bounded(bounded(total.num * term.den) + bounded(term.num * total.den)), bounded(total.den * term.den), rounding);
      reduce(total);
    }
    return total;
  }

  Value product() {
    const std::size_t start = at_;
    std::vector<Value> factors{unary()};
    const auto left = [&] {
      Value value = multiply_all(factors, start);
      factors.clear();
      return value;
    };
    while (!error_) {
      skip_space();
      const std::size_t at = at_;
      if (accept("//")) {
        Value a = left();
        factors.push_back(floor(divide(a, unary(), at), at));
      } else if (accept("/")) {
        Value a = left();
        factors.push_back(divide(a, unary(), at));
      } else if (accept("%")) {
        const Expr a = integer(left(), start);
        factors.emplace_back(make(Op::kMod, {a, integer(unary(), at)}));
      } else if (text_.substr(at_, 2) != "**" && accept("*")) {
        factors.push_back(unary());
      } else {
        break;
      }
    }
    return multiply_all(factors, start);
  }
  Value multiply_all(const std::vector<Value>& factors, std::size_t at) {
    if (factors.empty()) return {};
    if (factors.size() == 1) return factors[0];
    if (std::all_of(factors.begin(), factors.end(), [](const Value& v) { return v.integer(); })) {
      std::vector<Expr> operands;
      operands.reserve(factors.size());
      for (const Value& factor : factors) operands.push_back(factor.num);
      return make(Op::kMul, std::move(operands));
    }
    Value total = factors[0];
    for (std::size_t i = 1; i < factors.size(); ++i) total = multiply(total, factors[i], at);
    return total;
  }
  Value multiply(const Value& a, const Value& b, std::size_t at) {
    Value out(bounded(a.num * b.num), bounded(a.den * b.den), Rounding::kExact);
    if (!a.exact() || !b.exact()) {
      const Value& rounded = a.exact() ? b : a;
      const Value& other = a.exact() ? a : b;
      const auto scale = other.num.value();
      const bool shifts =
          scale && *scale != INT64_MIN && power_of_two(std::abs(*scale)) && other.den.value() && power_of_two(*other.den.value());
      if (!other.exact() || !(shifts || (rounded.literal && other.integer()))) return unsupported("a product of rounded floats", at);
      out.rounding = rounded.rounding;
      out.literal = shifts && rounded.literal;
      const bool directed = rounded.rounding == Rounding::kUp || rounded.rounding == Rounding::kDown;
      if (directed && lowest(other.num) < 0) {
        if (!shifts) return unsupported("a float multiple of a size that may be negative", at);
        out.rounding = rounded.rounding == Rounding::kUp ? Rounding::kDown : Rounding::kUp;
      }
    }
    reduce(out);
    return out;
  }
  // Exact; a float division is rounded by the caller.
  Value divide(const Value& a, const Value& b, std::size_t at) {
    if (!a.exact() || !b.exact()) return unsupported("a quotient of rounded floats", at);
    Value out(bounded(a.num * b.den), bounded(a.den * b.num), Rounding::kExact);
    if (!a.integer() || !b.integer()) reduce(out);  // of integers FloorDiv and the like do their own
    return out;
  }

  Value unary() {
    skip_space();
    const std::size_t at = at_;
    if (accept("-")) {
      skip_space();
      constexpr std::string_view kLeastMagnitude = "9223372036854775808";
      const std::size_t end = at_ + kLeastMagnitude.size();
      if (text_.substr(at_, kLeastMagnitude.size()) == kLeastMagnitude &&
          (end >= text_.size() || (!is_digit(text_[end]) && text_[end] != '.'))) {
        at_ = end;
        if (accept("**")) return syntax("a number that does not fit 64 bits");
        return Expr(INT64_MIN);
      }
      if (++nesting_ > kMaxNesting) return syntax("nested too deeply");
      const Value operand = unary();
      --nesting_;
      return multiply(Value(-1), operand, at);
    }
    if (accept("+") || accept("~")) {
      const bool invert = text_[at_ - 1] == '~';
      if (++nesting_ > kMaxNesting) return syntax("nested too deeply");
      const Value operand = unary();
      --nesting_;
      return invert ? Value(make(Op::kNot, {boolean(operand, at)})) : operand;
    }
    return power();
  }
  Value power() {
    const std::size_t at = at_;
    Value base = atom();
    if (!accept("**")) return base;
    if (++nesting_ > kMaxNesting) return syntax("nested too deeply");
    const Value exponent = unary();
    --nesting_;
    return raise(base, integer(exponent, at), at);
  }
  Value raise(const Value& base, const Expr& exponent, std::size_t at) {
    const auto n = exponent.value();
    if (n && *n < 0 && *n != INT64_MIN && base.integer()) return divide(Value(1), Value(make(Op::kPow, {base.num, Expr(-*n)})), at);
    return make(Op::kPow, {integer(base, at), exponent});
  }

  Value atom() {
    skip_space();
    if (at_ >= text_.size()) return syntax("an operand is missing");
    const char c = text_[at_];
    if (is_digit(c) || c == '.') return number();
    if (is_letter(c)) return word();
    if (accept("?")) return Expr::unknown();
    if (accept("(")) {
      if (++nesting_ > kMaxNesting) return syntax("nested too deeply");
      Value value = disjunction();
      --nesting_;
      expect(")");
      value.literal = false;
      return value;
    }
    return syntax(fmt::format("unexpected '{}'", c));
  }

  Value number() {
    const std::size_t start = at_;
    const auto digits = [&] {
      while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    };
    digits();
    if (at_ >= text_.size() || (text_[at_] != '.' && text_[at_] != 'e' && text_[at_] != 'E')) {
      std::int64_t value = 0;
      const auto [end, ec] = std::from_chars(text_.data() + start, text_.data() + at_, value);
      if (ec != std::errc() || end != text_.data() + at_) {
        at_ = start;
        return syntax("a number that does not fit 64 bits");
      }
      return Expr(value);
    }
    if (text_[at_] == '.') ++at_;
    digits();
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      digits();
    }
    return float_literal(text_.substr(start, at_ - start), start);
  }

  // A decimal as the fraction p/q it spells. The double nearest to it need not be p/q; how it lies to p/q decides what its multiples round
  // to.
  Value float_literal(std::string_view spelled, std::size_t start) {
    double nearest = 0;
    const auto [end, ec] = std::from_chars(spelled.data(), spelled.data() + spelled.size(), nearest);
    if (ec != std::errc() || end != spelled.data() + spelled.size()) {
      at_ = start;
      return syntax("malformed number");
    }
    constexpr double kLargest = 1LL << 50;
    constexpr std::int64_t kMaxDenominator = 1LL << 20;
    std::int64_t p = 0;
    std::int64_t q = 1;
    if (std::floor(nearest * kMaxDenominator) == nearest * kMaxDenominator &&
        nearest < kLargest / kMaxDenominator) {  // few binary places: exact
      p = static_cast<std::int64_t>(nearest * kMaxDenominator);
      q = kMaxDenominator;
      const std::int64_t g = std::gcd(p, q);
      return Value(p / g, q / g, Rounding::kExact);
    }
    if (nearest < kLargest && std::floor(nearest) == nearest) return Expr(static_cast<std::int64_t>(nearest));
    bool fraction = false;
    for (const char c : spelled) {
      if (c == '.') fraction = true;
      if (!is_digit(c)) continue;
      if (p > (1LL << 40) || q > 1'000'000) q = 0;  // more places than sympy prints faithfully
      if (q == 0) break;
      p = p * 10 + (c - '0');
      if (fraction) q *= 10;
    }
    if (q == 0 || q > 1'000'000 || nearest < 1e-3 || spelled.find_first_of("eE") != std::string_view::npos) {
      return unsupported(fmt::format("the factor {} is no short decimal fraction", spelled), start);
    }
    const std::int64_t g = std::gcd(p, q);
    p /= g;
    q /= g;
    int exponent = 0;
    const auto mantissa =
        static_cast<std::int64_t>(std::ldexp(std::frexp(nearest, &exponent), 53));  // nearest == mantissa * 2^(exponent - 53)
    const int shift = 53 - exponent;
    const Wide wanted = static_cast<Wide>(p) << shift;
    const Wide held = static_cast<Wide>(mantissa) * q;
    const Wide distance = held > wanted ? held - wanted : wanted - held;
    // Within 2^-54 relatively, a product that should be an integer is rounded to it.
    const bool near = (distance << 54) <= wanted;
    Value out(p, q, near ? Rounding::kNearest : (held > wanted ? Rounding::kUp : Rounding::kDown));
    out.literal = true;
    return out;
  }

  Value word() {
    const std::size_t start = at_;
    while (at_ < text_.size() &&
           (is_letter(text_[at_]) || is_digit(text_[at_]) || (text_[at_] == '.' && at_ + 1 < text_.size() && is_letter(text_[at_ + 1]))))
      ++at_;
    const std::string_view name = text_.substr(start, at_ - start);
    if (!accept("(")) {
      if (name == "True" || name == "true") return Expr(1);
      if (name == "False" || name == "false") return Expr(0);
      const bool reserved = name == "and" || name == "or" || name == "not" || name.find('.') != std::string_view::npos;
      if (reserved || name == "oo" || name == "int_oo" || name == "nan" || name == "zoo") {
        at_ = start;
        return syntax(fmt::format("'{}' is no size", name));
      }
      return Expr::symbol(name);
    }
    if (++nesting_ > kMaxNesting) return syntax("nested too deeply");
    Value result = name == "Piecewise" ? piecewise(start) : call(name, start);
    --nesting_;
    return result;
  }

  std::vector<Value> arguments() {
    std::vector<Value> values;
    if (accept(")")) return values;
    do {
      values.push_back(disjunction());
    } while (!error_ && accept(","));
    expect(")");
    return values;
  }

  Value piecewise(std::size_t start) {
    std::vector<std::pair<Expr, Expr>> arms;  // value, condition
    do {
      expect("(");
      const std::size_t at = at_;
      const Expr value = integer(disjunction(), at);
      expect(",");
      const Expr condition = boolean(disjunction(), at_);
      expect(")");
      arms.emplace_back(value, condition);
    } while (!error_ && accept(","));
    expect(")");
    if (error_) return {};
    if (arms.back().second.value() != 1) return unsupported("a Piecewise whose last arm is conditional", start);
    Expr result = arms.back().first;
    for (std::size_t i = arms.size() - 1; i-- > 0;) result = make(Op::kWhere, {arms[i].second, arms[i].first, result});
    return result;
  }

  std::int64_t lowest(const Expr& e) {
    std::map<std::string, Range> known;
    for (const std::string& name : e.symbols()) {
      const auto given = symbols_.find(name);
      if (given != symbols_.end()) {
        known.emplace(name, given->second);
      } else if (name[0] == 's') {
        known.emplace(name, Range{0, INT64_MAX});
      }
    }
    return range(e, known).lower;
  }

  Value floor(const Value& v, std::size_t at) {
    if (v.rounding == Rounding::kDown) return misrounded(at);
    return make(Op::kFloorDiv, {v.num, v.den});
  }
  Value ceil(const Value& v, std::size_t at) {
    if (v.rounding == Rounding::kUp) return misrounded(at);
    return make(Op::kCeilDiv, {v.num, v.den});
  }
  Value misrounded(std::size_t at) {
    return error(Errc::kUnsupported, "a float factor whose multiples torch rounds to the wrong side of an integer", at,
                 "use a factor that is exact in binary (1.5, 0.25), or compute the size with integers");
  }
  Value truncate(const Value& v, std::size_t at) {
    if (lowest(v.num) >= 0 && lowest(v.den) >= 0) return floor(v, at);
    const Expr down = floor(v, at).num;
    const Expr up = ceil(v, at).num;
    return make(Op::kWhere, {make(Op::kGe, {bounded(v.num * v.den), Expr(0)}), down, up});
  }
  // Half to even, as Python does.
  Value round(const Value& v, std::size_t at) {
    if (v.rounding == Rounding::kUp || v.rounding == Rounding::kDown) return misrounded(at);
    const Expr twice = bounded(v.den * Expr(2));
    const Expr shifted = bounded(bounded(v.num * Expr(2)) + v.den);
    const Expr half_up = make(Op::kFloorDiv, {shifted, twice});
    const Expr tie = make(Op::kEq, {make(Op::kMod, {shifted, twice}), Expr(0)});
    return bounded(half_up - bounded(tie * make(Op::kMod, {half_up, Expr(2)})));
  }
  Value true_divide(const Value& a, const Value& b, std::size_t at) {
    Value out = divide(a, b, at);
    if (out.den.value() == 0) return unsupported("a division by zero", at);
    const bool held = out.den.value() && power_of_two(std::abs(std::max(*out.den.value(), -INT64_MAX)));
    if (!held) out.rounding = Rounding::kNearest;
    return out;
  }

  Value call(std::string_view name, std::size_t start) {
    struct Function {
      std::string_view name;
      std::size_t least;
      std::size_t most;
      Value (*apply)(Parser& p, const std::vector<Value>& in, std::size_t at);
    };
    constexpr std::size_t kMany = SIZE_MAX;
    // An operation on integers, on conditions.
    static constexpr auto ints = [](Parser& p, const std::vector<Value>& in, std::size_t at) {
      std::vector<Expr> out;
      out.reserve(in.size());
      for (const Value& v : in) out.push_back(p.integer(v, at));
      return out;
    };
    static constexpr auto flags = [](Parser& p, const std::vector<Value>& in, std::size_t at) {
      std::vector<Expr> out;
      out.reserve(in.size());
      for (const Value& v : in) out.push_back(p.boolean(v, at));
      return out;
    };
    using In = const std::vector<Value>&;
    static constexpr auto floor_div = [](Parser& p, In in, std::size_t at) -> Value { return p.make(Op::kFloorDiv, ints(p, in, at)); };
    static constexpr auto modulo = [](Parser& p, In in, std::size_t at) -> Value { return p.make(Op::kMod, ints(p, in, at)); };
    static constexpr auto true_div = [](Parser& p, In in, std::size_t at) -> Value { return p.true_divide(in[0], in[1], at); };
    static constexpr auto down = [](Parser& p, In in, std::size_t at) -> Value { return p.floor(in[0], at); };
    static constexpr auto up = [](Parser& p, In in, std::size_t at) -> Value { return p.ceil(in[0], at); };
    static constexpr auto same = [](Parser& /*p*/, In in, std::size_t /*at*/) -> Value { return in[0]; };
    static constexpr auto power = [](Parser& p, In in, std::size_t at) -> Value { return p.raise(in[0], p.integer(in[1], at), at); };
    static constexpr auto absolute = [](Parser& p, In in, std::size_t at) -> Value {
      const Expr e = p.integer(in[0], at);
      return p.lowest(e) >= 0 ? e : p.make(Op::kMax, {e, p.bounded(e * Expr(-1))});
    };
    static constexpr auto shift = [](Parser& p, In in, std::size_t at, Op op) -> Value {
      const auto by = p.integer(in[1], at).value();
      if (!by || *by < 0 || *by > kMaxShift) return p.unsupported("a shift by other than a constant from 0 to 62", at);
      return p.make(op, {p.integer(in[0], at), Expr(std::int64_t{1} << *by)});
    };
    static constexpr Function kFunctions[] = {
        {"FloorDiv", 2, 2, floor_div},
        {"CleanDiv", 2, 2, floor_div},
        {"CeilDiv", 2, 2, [](Parser& p, In in, std::size_t at) -> Value { return p.make(Op::kCeilDiv, ints(p, in, at)); }},
        {"IntTrueDiv", 2, 2, true_div},
        {"FloatTrueDiv", 2, 2, true_div},
        {"ToFloat", 1, 1, same},
        {"Identity", 1, 1, same},
        {"TruncToInt", 1, 1, [](Parser& p, In in, std::size_t at) -> Value { return p.truncate(in[0], at); }},
        {"RoundToInt", 1, 1, [](Parser& p, In in, std::size_t at) -> Value { return p.round(in[0], at); }},
        {"FloorToInt", 1, 1, down},
        {"floor", 1, 1, down},
        {"CeilToInt", 1, 1, up},
        {"ceiling", 1, 1, up},
        {"Mod", 2, 2, modulo},
        {"PythonMod", 2, 2, modulo},
        {"ModularIndexing", 3, 3,
         [](Parser& p, In in, std::size_t at) -> Value {
           const Expr quotient = p.make(Op::kFloorDiv, {p.integer(in[0], at), p.integer(in[1], at)});
           return p.make(Op::kMod, {quotient, p.integer(in[2], at)});
         }},
        {"LShift", 2, 2, [](Parser& p, In in, std::size_t at) -> Value { return shift(p, in, at, Op::kMul); }},
        {"RShift", 2, 2, [](Parser& p, In in, std::size_t at) -> Value { return shift(p, in, at, Op::kFloorDiv); }},
        {"Min", 1, kMany, [](Parser& p, In in, std::size_t at) -> Value { return p.make(Op::kMin, ints(p, in, at)); }},
        {"Max", 1, kMany, [](Parser& p, In in, std::size_t at) -> Value { return p.make(Op::kMax, ints(p, in, at)); }},
        {"Pow", 2, 2, power},
        {"PowByNatural", 2, 2, power},
        {"Abs", 1, 1, absolute},
        {"Where", 3, 3,
         [](Parser& p, In in, std::size_t at) -> Value {
           return p.make(Op::kWhere, {p.boolean(in[0], at), p.integer(in[1], at), p.integer(in[2], at)});
         }},
        {"Eq", 2, 2, [](Parser& p, In in, std::size_t at) -> Value { return p.compare(Op::kEq, in[0], in[1], at); }},
        {"Ne", 2, 2, [](Parser& p, In in, std::size_t at) -> Value { return p.compare(Op::kNe, in[0], in[1], at); }},
        {"Lt", 2, 2, [](Parser& p, In in, std::size_t at) -> Value { return p.compare(Op::kLt, in[0], in[1], at); }},
        {"Le", 2, 2, [](Parser& p, In in, std::size_t at) -> Value { return p.compare(Op::kLe, in[0], in[1], at); }},
        {"Gt", 2, 2, [](Parser& p, In in, std::size_t at) -> Value { return p.compare(Op::kGt, in[0], in[1], at); }},
        {"Ge", 2, 2, [](Parser& p, In in, std::size_t at) -> Value { return p.compare(Op::kGe, in[0], in[1], at); }},
        {"And", 0, kMany, [](Parser& p, In in, std::size_t at) -> Value { return p.make(Op::kAnd, flags(p, in, at)); }},
        {"Or", 0, kMany, [](Parser& p, In in, std::size_t at) -> Value { return p.make(Op::kOr, flags(p, in, at)); }},
        {"Not", 1, 1, [](Parser& p, In in, std::size_t at) -> Value { return p.make(Op::kNot, flags(p, in, at)); }},
    };
    const auto* found = std::find_if(std::begin(kFunctions), std::end(kFunctions), [&](const Function& f) { return f.name == name; });
    if (found == std::end(kFunctions)) return unsupported(fmt::format("the function {} in a size", name), start);
    const std::vector<Value> in = arguments();
    if (error_) return {};
    if (in.size() < found->least || in.size() > found->most)
      return error(Errc::kParse, fmt::format("{} arguments do not fit {}", in.size(), name), start);
    Value out = found->apply(*this, in, start);
    if (name != "ToFloat" && name != "Identity") out.literal = false;
    return out;
  }

  std::string_view text_;
  const std::map<std::string, Range>& symbols_;
  std::size_t at_ = 0;
  int nesting_ = 0;
  std::optional<Error> error_;
};

}  // namespace

Result<Expr> parse(std::string_view text) { return parse(text, {}); }
Result<Expr> parse(std::string_view text, const std::map<std::string, Range>& symbols) { return Parser(text, symbols).run(); }

}  // namespace airloom::sym
