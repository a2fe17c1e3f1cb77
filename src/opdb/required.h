// A field that a designated initialiser must not leave out.
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace airloom::ge {

namespace required_detail {

template <class T>
inline constexpr bool kIsVector = false;
template <class E>
inline constexpr bool kIsVector<std::vector<E>> = true;

template <class T>
struct Element {
  using Type = T;
};
template <class E>
struct Element<std::vector<E>> {
  using Type = E;
};

// Numbers are kept apart by family, so that a float or a bool does not slide into an integer attribute, nor a pointer into a bool.
template <class U, class T>
concept Fits = (std::same_as<T, bool> && std::same_as<U, bool>) ||
               (std::integral<T> && !std::same_as<T, bool> && std::integral<U> && !std::same_as<U, bool>) ||
               (std::floating_point<T> && std::is_arithmetic_v<U> && !std::same_as<U, bool>) ||
               (std::same_as<T, std::string> && std::convertible_to<U, std::string_view>) ||
               (!std::is_arithmetic_v<T> && std::convertible_to<U, T>);

}  // namespace required_detail

/// Holds a T that has to be given: `{.axes = {0, 1}}` compiles, `{}` does not.
/// Lists take a braced list; write `ir::Ints{}` for an empty one.
template <class T>
struct Required {
  T value;

  // Deleted rather than absent: `{}` would otherwise choose the braced-list constructor.
  Required() = delete;
  // NOLINTBEGIN(bugprone-forwarding-reference-overload): the constraint keeps copies and moves out.
  template <class U>
  requires(!std::same_as<std::remove_cvref_t<U>, Required> && required_detail::Fits<std::remove_cvref_t<U>, T>) Required(U&& given)
      : value(static_cast<T>(std::forward<U>(given))) {}
  // NOLINTEND(bugprone-forwarding-reference-overload)
  Required(std::initializer_list<typename required_detail::Element<T>::Type> given) requires required_detail::kIsVector<T> : value(given) {}
};

}  // namespace airloom::ge
