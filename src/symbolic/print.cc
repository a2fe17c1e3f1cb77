#include "symbolic/expr.h"
#include "symbolic/nodes.h"

namespace airloom::sym {
namespace {

// How tightly the printed form binds, as in Python.
enum Level { kComparison, kSum, kProduct, kPower, kAtom };

Level level(const Expr& e) {
  switch (e.op()) {
    case Op::kConst: return *e.value() < 0 ? kProduct : kAtom;
    case Op::kAdd: return kSum;
    case Op::kMul: return kProduct;
    case Op::kPow: return kPower;
    case Op::kLt:
    case Op::kLe:
    case Op::kGt:
    case Op::kGe: return kComparison;
    default: return kAtom;
  }
}

void print(const Expr& e, std::string& out);

void print_at(const Expr& e, Level least, std::string& out) {
  const bool parentheses = level(e) < least;
  if (parentheses) out += '(';
  print(e, out);
  if (parentheses) out += ')';
}

void call(const char* name, const std::vector<Expr>& operands, std::string& out) {
  out += name;
  out += '(';
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (i != 0) out += ", ";
    print(operands[i], out);
  }
  out += ')';
}

void infix(const Expr& e, const char* sign, Level least, std::string& out) {
  print_at(e.operands()[0], least, out);
  out += sign;
  print_at(e.operands()[1], least, out);
}

// A product whose coefficient is given apart, so that a sum can print " - 2*x".
void print_product(const Expr& e, std::int64_t coefficient, std::string& out) {
  const std::vector<Expr>& in = e.operands();
  std::size_t next = 0;
  if (in[0].is_const()) {
    next = 1;
    // A bare sign would bind to the sum and be distributed over it when read back.
    if (coefficient == -1 && !Nodes::is_raw(e) && in[1].op() != Op::kAdd) {
      out += '-';
    } else if (coefficient != 1 || Nodes::is_raw(e)) {
      out += std::to_string(coefficient) + "*";
    }
  }
  for (std::size_t i = next; i < in.size(); ++i) {
    if (i != next) out += '*';
    // Only the first operand may carry a bare sign.
    print_at(in[i], i == 0 ? kProduct : kPower, out);
  }
}

void print_sum(const std::vector<Expr>& terms, std::string& out) {
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const Expr& term = terms[i];
    const bool product = term.op() == Op::kMul && !Nodes::is_raw(term);
    const std::int64_t lead = product ? term.operands()[0].value().value_or(0) : term.value().value_or(0);
    if (i != 0 && lead < 0 && lead != INT64_MIN) {
      out += " - ";
      if (product) {
        print_product(term, -lead, out);
      } else {
        out += std::to_string(-lead);
      }
    } else {
      if (i != 0) out += " + ";
      print_at(term, kProduct, out);
    }
  }
}

void print(const Expr& e, std::string& out) {
  const std::vector<Expr>& in = e.operands();
  switch (e.op()) {
    case Op::kConst: out += std::to_string(*e.value()); break;
    case Op::kSymbol: out += e.name(); break;
    case Op::kUnknown: out += '?'; break;
    case Op::kAdd: print_sum(in, out); break;
    case Op::kMul: print_product(e, in[0].value().value_or(1), out); break;
    case Op::kFloorDiv:
      out += '(';
      infix(e, "//", kPower, out);
      out += ')';
      break;
    case Op::kPow: infix(e, "**", kAtom, out); break;
    case Op::kLt: infix(e, " < ", kSum, out); break;
    case Op::kLe: infix(e, " <= ", kSum, out); break;
    case Op::kGt: infix(e, " > ", kSum, out); break;
    case Op::kGe: infix(e, " >= ", kSum, out); break;
    case Op::kCeilDiv: call("CeilDiv", in, out); break;
    case Op::kMod: call("Mod", in, out); break;
    case Op::kMin: call("Min", in, out); break;
    case Op::kMax: call("Max", in, out); break;
    case Op::kEq: call("Eq", in, out); break;
    case Op::kNe: call("Ne", in, out); break;
    case Op::kAnd: call("And", in, out); break;
    case Op::kOr: call("Or", in, out); break;
    case Op::kNot: call("Not", in, out); break;
    case Op::kWhere: call("Where", in, out); break;
  }
}

}  // namespace

std::string Expr::str() const {
  std::string out;
  print(*this, out);
  return out;
}

}  // namespace airloom::sym
