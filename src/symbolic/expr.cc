#include "symbolic/expr.h"

#include <algorithm>
#include <utility>

#include "symbolic/nodes.h"

namespace airloom::sym {
namespace {

constexpr std::uint64_t kHashSeed = 14695981039346656037ULL;
constexpr std::uint64_t kHashPrime = 1099511628211ULL;

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * kHashPrime;
  return hash ^ (hash >> 29);
}

int sign(std::int64_t a, std::int64_t b) { return a < b ? -1 : (a > b ? 1 : 0); }

}  // namespace

std::optional<std::int64_t> checked_add(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

std::optional<std::int64_t> checked_mul(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

std::optional<std::int64_t> checked_floor_div(std::int64_t a, std::int64_t b) {
  if (b == 0 || (a == INT64_MIN && b == -1)) return std::nullopt;
  const std::int64_t quotient = a / b;
  return a % b != 0 && ((a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

std::optional<std::int64_t> checked_mod(std::int64_t a, std::int64_t b) {
  if (b == 0) return std::nullopt;
  if (b == -1) return 0;
  const std::int64_t rest = a % b;
  return rest != 0 && ((rest < 0) != (b < 0)) ? rest + b : rest;
}

std::optional<std::int64_t> checked_pow(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) return std::nullopt;
  if (base == 0 || base == 1) return exponent == 0 ? 1 : base;
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  std::int64_t result = 1;
  for (std::int64_t i = 0; i < exponent; ++i) {  // |base| >= 2: ends after at most 63 rounds
    if (__builtin_mul_overflow(result, base, &result)) return std::nullopt;
  }
  return result;
}

Expr Nodes::node(Op op, std::vector<Expr> operands, bool raw) {
  auto node = std::make_shared<Expr::Node>();
  node->op = op;
  node->raw = raw;
  node->hash = mix(kHashSeed, static_cast<std::uint64_t>(op));
  for (const Expr& operand : operands) {
    const bool constant = operand.node_ == nullptr;
    node->depth = std::max(node->depth, depth(operand) + 1);
    if (__builtin_add_overflow(node->size, size(operand), &node->size)) node->size = UINT64_MAX;
    node->hash = mix(node->hash, constant ? static_cast<std::uint64_t>(operand.value_) : operand.node_->hash);
  }
  node->operands = std::move(operands);
  Expr result;
  result.node_ = std::move(node);
  return result;
}

Expr Nodes::raw_node(Op op, const std::vector<Expr>& operands) {
  std::vector<Expr> flat;
  for (const Expr& operand : operands) {
    if (operand.op() == op) {
      flat.insert(flat.end(), operand.operands().begin(), operand.operands().end());
    } else {
      flat.push_back(operand);
    }
  }
  const std::int64_t neutral = op == Op::kMul ? 1 : 0;
  flat.erase(std::remove_if(flat.begin(), flat.end(), [&](const Expr& e) { return e.value() == neutral; }), flat.end());
  if (flat.size() == 1) return flat[0];
  std::stable_sort(flat.begin(), flat.end());
  if (op == Op::kAdd) std::stable_partition(flat.begin(), flat.end(), [](const Expr& e) { return !e.is_const(); });
  return node(op, std::move(flat), true);
}

Expr Nodes::symbol(std::string_view name) {
  auto node = std::make_shared<Expr::Node>();
  node->op = Op::kSymbol;
  node->name = name;
  node->hash = mix(kHashSeed, static_cast<std::uint64_t>(Op::kSymbol));
  for (const char c : name) node->hash = mix(node->hash, static_cast<unsigned char>(c));
  Expr result;
  result.node_ = std::move(node);
  return result;
}

int Nodes::compare(const Expr& a, const Expr& b) {
  if (a.node_ == b.node_) return a.node_ == nullptr ? sign(a.value_, b.value_) : 0;
  if (a.op() != b.op()) return a.op() < b.op() ? -1 : 1;
  if (a.op() == Op::kSymbol) return a.node_->name.compare(b.node_->name);
  const std::vector<Expr>& x = a.node_->operands;
  const std::vector<Expr>& y = b.node_->operands;
  if (x.size() != y.size()) return x.size() < y.size() ? -1 : 1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (const int order = compare(x[i], y[i]); order != 0) return order;
  }
  return 0;
}

bool is_boolean(const Expr& e) {
  switch (e.op()) {
    case Op::kConst: return e.value() == 0 || e.value() == 1;
    case Op::kEq:
    case Op::kNe:
    case Op::kLt:
    case Op::kLe:
    case Op::kGt:
    case Op::kGe:
    case Op::kAnd:
    case Op::kOr:
    case Op::kNot: return true;
    case Op::kWhere: return is_boolean(e.operands()[1]) && is_boolean(e.operands()[2]);
    default: return false;
  }
}

Expr::Expr(std::int64_t value) : value_(value) {}
Expr Expr::symbol(std::string_view name) { return Nodes::symbol(name); }
Expr Expr::unknown() { return Nodes::node(Op::kUnknown, {}); }

Op Expr::op() const { return node_ == nullptr ? Op::kConst : node_->op; }

std::optional<std::int64_t> Expr::value() const {
  if (node_ != nullptr) return std::nullopt;
  return value_;
}

const std::string& Expr::name() const {
  static const std::string kNone;
  return node_ == nullptr ? kNone : node_->name;
}

const std::vector<Expr>& Expr::operands() const {
  static const std::vector<Expr> kNone;
  return node_ == nullptr ? kNone : node_->operands;
}

std::set<std::string> Expr::symbols() const {
  std::set<std::string> names;
  if (op() == Op::kSymbol) names.insert(name());
  for (const Expr& operand : operands()) names.merge(operand.symbols());
  return names;
}

std::optional<std::int64_t> Expr::eval(const std::map<std::string, std::int64_t>& binding) const {
  if (node_ == nullptr) return value_;
  const std::vector<Expr>& in = node_->operands;
  if (op() == Op::kSymbol) {
    const auto found = binding.find(node_->name);
    if (found == binding.end()) return std::nullopt;
    return found->second;
  }
  if (op() == Op::kUnknown) return std::nullopt;
  if (op() == Op::kWhere) {  // the arm not taken may divide by zero
    const auto condition = in[0].eval(binding);
    if (!condition) return std::nullopt;
    return in[*condition != 0 ? 1 : 2].eval(binding);
  }
  std::vector<std::int64_t> values;
  values.reserve(in.size());
  for (const Expr& operand : in) {
    const auto value = operand.eval(binding);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  const std::int64_t a = values[0];
  const std::int64_t b = values.back();
  const auto fold = [&](auto step) {
    std::optional<std::int64_t> result = a;
    for (std::size_t i = 1; i < values.size() && result; ++i) result = step(*result, values[i]);
    return result;
  };
  switch (op()) {
    case Op::kAdd: return fold(checked_add);
    case Op::kMul: return fold(checked_mul);
    case Op::kFloorDiv: return checked_floor_div(a, b);
    case Op::kMod: return checked_mod(a, b);
    case Op::kPow: return checked_pow(a, b);
    case Op::kMin: return *std::min_element(values.begin(), values.end());
    case Op::kMax: return *std::max_element(values.begin(), values.end());
    case Op::kEq: return a == b;
    case Op::kNe: return a != b;
    case Op::kLt: return a < b;
    case Op::kLe: return a <= b;
    case Op::kGt: return a > b;
    case Op::kGe: return a >= b;
    case Op::kAnd: return std::find(values.begin(), values.end(), 0) == values.end();
    case Op::kOr: return *std::max_element(values.begin(), values.end()) != 0;
    case Op::kNot: return a == 0;
    case Op::kCeilDiv: {
      const auto floor = checked_floor_div(a, b);
      return !floor ? std::nullopt : checked_add(*floor, a % b == 0 ? 0 : 1);
    }
    case Op::kConst:
    case Op::kSymbol:
    case Op::kUnknown:
    case Op::kWhere: break;
  }
  return std::nullopt;
}

Expr Expr::substitute(const std::map<std::string, Expr>& binding) const {
  if (op() == Op::kSymbol) {
    const auto found = binding.find(name());
    return found == binding.end() ? *this : found->second;
  }
  bool changed = false;
  std::vector<Expr> replaced;
  for (const Expr& operand : operands()) {
    replaced.push_back(operand.substitute(binding));
    changed = changed || replaced.back().node_ != operand.node_ || replaced.back().value_ != operand.value_;
  }
  return changed ? make(op(), std::move(replaced)) : *this;
}

bool operator==(const Expr& a, const Expr& b) {
  if (a.node_ == nullptr || b.node_ == nullptr) return a.node_ == b.node_ && a.value_ == b.value_;
  // An unknown operand makes everything above it unknown, so only the top needs the test.
  if (a.node_->op == Op::kUnknown || a.node_->hash != b.node_->hash) return false;
  return Nodes::compare(a, b) == 0;
}

bool operator<(const Expr& a, const Expr& b) { return Nodes::compare(a, b) < 0; }
Expr operator+(const Expr& a, const Expr& b) { return Expr::make(Op::kAdd, {a, b}); }
Expr operator-(const Expr& a, const Expr& b) { return Expr::make(Op::kAdd, {a, Expr::make(Op::kMul, {Expr(-1), b})}); }
Expr operator*(const Expr& a, const Expr& b) { return Expr::make(Op::kMul, {a, b}); }
Expr floor_div(const Expr& a, const Expr& b) { return Expr::make(Op::kFloorDiv, {a, b}); }
Expr ceil_div(const Expr& a, const Expr& b) { return Expr::make(Op::kCeilDiv, {a, b}); }
Expr mod(const Expr& a, const Expr& b) { return Expr::make(Op::kMod, {a, b}); }
Expr min(const Expr& a, const Expr& b) { return Expr::make(Op::kMin, {a, b}); }
Expr max(const Expr& a, const Expr& b) { return Expr::make(Op::kMax, {a, b}); }

}  // namespace airloom::sym
