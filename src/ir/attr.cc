#include "ir/attr.h"

#include <bit>
#include <cmath>

namespace airloom::ir {

namespace {

/// As files hold them: float32 with one NaN.
bool equal_floats(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return std::bit_cast<std::uint32_t>(static_cast<float>(a)) == std::bit_cast<std::uint32_t>(static_cast<float>(b));
}

}  // namespace

bool equal(const Attr& a, const Attr& b) {
  if (a.index() != b.index()) return false;
  if (const auto* x = std::get_if<double>(&a)) return equal_floats(*x, std::get<double>(b));
  if (const auto* x = std::get_if<Floats>(&a)) {
    const auto& y = std::get<Floats>(b);
    if (x->size() != y.size()) return false;
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (!equal_floats((*x)[i], y[i])) return false;
    }
    return true;
  }
  if (const auto* x = std::get_if<TensorRef>(&a)) {
    const auto& y = std::get<TensorRef>(b);
    if (*x == y) return true;
    return *x && y && same_bytes(**x, *y);
  }
  return a == b;
}

}  // namespace airloom::ir
