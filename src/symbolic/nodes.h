// The representation behind Expr, shared by the files of this room only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "symbolic/expr.h"

namespace airloom::sym {

struct Expr::Node {
  Op op = Op::kUnknown;
  bool raw = false;         // folding it would overflow int64: operands stay as they are
  std::uint32_t depth = 1;  // levels below and including this one
  std::uint64_t size = 1;   // nodes as a tree, saturating
  std::uint64_t hash = 0;   // structural, the same in every run
  std::string name;         // of a symbol
  std::vector<Expr> operands;
};

struct Nodes {
  /// A node exactly as given: no simplification.
  static Expr node(Op op, std::vector<Expr> operands, bool raw = false);
  /// A sum or product left unfolded: flattened and sorted only.
  static Expr raw_node(Op op, const std::vector<Expr>& operands);
  static Expr symbol(std::string_view name);
  static bool is_raw(const Expr& e) { return e.node_ != nullptr && e.node_->raw; }
  static std::uint32_t depth(const Expr& e) { return e.node_ == nullptr ? 1 : e.node_->depth; }
  static std::uint64_t size(const Expr& e) { return e.node_ == nullptr ? 1 : e.node_->size; }
  /// Structural order, negative / zero / positive; two unknowns order as equal.
  static int compare(const Expr& a, const Expr& b);
};

/// Only 0 or 1 by construction.
bool is_boolean(const Expr& e);

// Python's rules; nullopt on division by zero, a negative exponent or int64 overflow.
std::optional<std::int64_t> checked_add(std::int64_t a, std::int64_t b);
std::optional<std::int64_t> checked_mul(std::int64_t a, std::int64_t b);
std::optional<std::int64_t> checked_floor_div(std::int64_t a, std::int64_t b);
std::optional<std::int64_t> checked_mod(std::int64_t a, std::int64_t b);
std::optional<std::int64_t> checked_pow(std::int64_t base, std::int64_t exponent);

}  // namespace airloom::sym
