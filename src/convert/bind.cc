#include "convert/bind.h"

#include <fmt/format.h>

namespace airloom::convert {

void wrong_argument(std::string_view expected) { throw Unsupported(fmt::format("an argument is not {}", expected)); }

namespace {

bool is_none(const program::Arg& arg) { return std::holds_alternative<program::None>(arg.value); }

template <class T>
std::optional<T> optional(Build& b, const program::Arg& arg) {
  if (is_none(arg)) return std::nullopt;
  return Reader<T>::read(b, arg);
}

const program::ArgList& list(const program::Arg& arg, std::string_view expected) {
  const auto* items = std::get_if<program::ArgList>(&arg.value);
  if (items == nullptr) wrong_argument(expected);
  return *items;
}

}  // namespace

Value Reader<Value>::read(Build& b, const program::Arg& arg) {
  const auto* ref = std::get_if<program::Ref>(&arg.value);
  if (ref == nullptr) wrong_argument("a tensor");
  const Value value = b.context().lookup(*ref);
  if (!value) throw Unsupported(fmt::format("the value {}:{} has no converted producer", ref->name, ref->index));
  return value;
}

Term Reader<Term>::read(Build& b, const program::Arg& arg) {
  if (std::holds_alternative<program::Ref>(arg.value)) return {Reader<Value>::read(b, arg)};
  return {Reader<Scalar>::read(b, arg)};
}

std::vector<Value> Reader<std::vector<Value>>::read(Build& b, const program::Arg& arg) {
  std::vector<Value> out;
  for (const program::Arg& item : list(arg, "a list of tensors")) out.push_back(Reader<Value>::read(b, item));
  return out;
}

std::vector<std::optional<Value>> Reader<std::vector<std::optional<Value>>>::read(Build& b, const program::Arg& arg) {
  std::vector<std::optional<Value>> out;
  for (const program::Arg& item : list(arg, "a list of optional tensors")) out.push_back(optional<Value>(b, item));
  return out;
}

Scalar Reader<Scalar>::read(Build&, const program::Arg& arg) {
  if (const auto* e = std::get_if<Expr>(&arg.value)) return e->value() ? Scalar(*e->value()) : Scalar(*e);
  if (const auto* d = std::get_if<double>(&arg.value)) return {*d};
  if (const auto* f = std::get_if<bool>(&arg.value)) return {*f};
  wrong_argument("a number");
}

Expr Reader<Expr>::read(Build&, const program::Arg& arg) {
  if (const auto* e = std::get_if<Expr>(&arg.value)) return *e;
  if (const auto* f = std::get_if<bool>(&arg.value)) return {*f ? 1 : 0};
  wrong_argument("an integer");
}

Shape Reader<Shape>::read(Build& b, const program::Arg& arg) {
  if (std::holds_alternative<Expr>(arg.value)) return {Reader<Expr>::read(b, arg)};  // int[1] takes a bare int
  Shape out;
  for (const program::Arg& item : list(arg, "a list of integers")) out.push_back(Reader<Expr>::read(b, item));
  return out;
}

std::int64_t Reader<std::int64_t>::read(Build& b, const program::Arg& arg) {
  const Expr e = Reader<Expr>::read(b, arg);
  if (!e.value()) throw Unsupported(fmt::format("the integer {} depends on a symbolic dimension", e.str()));
  return *e.value();
}

Ints Reader<Ints>::read(Build& b, const program::Arg& arg) {
  if (std::holds_alternative<Expr>(arg.value)) return {Reader<std::int64_t>::read(b, arg)};
  Ints out;
  for (const program::Arg& item : list(arg, "a list of integers")) out.push_back(Reader<std::int64_t>::read(b, item));
  return out;
}

bool Reader<bool>::read(Build&, const program::Arg& arg) {
  if (const auto* f = std::get_if<bool>(&arg.value)) return *f;
  if (const auto* e = std::get_if<Expr>(&arg.value); e != nullptr && e->value()) return *e->value() != 0;
  wrong_argument("a bool");
}

ir::Bools Reader<ir::Bools>::read(Build& b, const program::Arg& arg) {
  ir::Bools out;
  for (const program::Arg& item : list(arg, "a list of bools")) out.push_back(Reader<bool>::read(b, item));
  return out;
}

double Reader<double>::read(Build& b, const program::Arg& arg) { return Reader<Scalar>::read(b, arg).to_double(); }

ir::Floats Reader<ir::Floats>::read(Build& b, const program::Arg& arg) {
  ir::Floats out;
  for (const program::Arg& item : list(arg, "a list of numbers")) out.push_back(Reader<double>::read(b, item));
  return out;
}

DType Reader<DType>::read(Build&, const program::Arg& arg) {
  if (const auto* dtype = std::get_if<DType>(&arg.value)) return *dtype;
  wrong_argument("a dtype");
}

std::string Reader<std::string>::read(Build&, const program::Arg& arg) {
  if (const auto* text = std::get_if<std::string>(&arg.value)) return *text;
  wrong_argument("a string");
}

Ignored Reader<Ignored>::read(Build&, const program::Arg&) { return {}; }

// NOLINTBEGIN(bugprone-macro-parentheses): T is a type
#define AIRLOOM_OPTIONAL(T) \
  std::optional<T> Reader<std::optional<T>>::read(Build& b, const program::Arg& arg) { return optional<T>(b, arg); }
// NOLINTEND(bugprone-macro-parentheses)
AIRLOOM_OPTIONAL(Value)
AIRLOOM_OPTIONAL(Scalar)
AIRLOOM_OPTIONAL(Expr)
AIRLOOM_OPTIONAL(Shape)
AIRLOOM_OPTIONAL(std::int64_t)
AIRLOOM_OPTIONAL(Ints)
AIRLOOM_OPTIONAL(bool)
AIRLOOM_OPTIONAL(double)
AIRLOOM_OPTIONAL(DType)
AIRLOOM_OPTIONAL(std::string)
#undef AIRLOOM_OPTIONAL

}  // namespace airloom::convert
