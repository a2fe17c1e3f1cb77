// bind<f>: reads an FX node's arguments by the types of a C++ converter's parameters.
#pragma once

#include <array>
#include <tuple>

#include "convert/build.h"

namespace airloom::convert {

/// What a parameter accepts, for the unit test that compares converters with ATen schemas.
enum class ArgKind : std::uint8_t {
  kTensor,
  kOptionalTensor,
  kTensorList,
  kOptionalTensorList,
  kScalar,
  kOptionalScalar,
  kSymInt,
  kOptionalSymInt,
  kSymInts,
  kOptionalSymInts,
  kInt,
  kOptionalInt,
  kInts,
  kOptionalInts,
  kBool,
  kOptionalBool,
  kBools,
  kFloat,
  kOptionalFloat,
  kFloats,
  kDType,
  kOptionalDType,
  kString,
  kOptionalString,
  kIgnored
};

/// An argument without meaning in an offline graph: layout, device, pin_memory, memory_format, generator.
struct Ignored {};

template <class T>
struct Reader;  // static constexpr ArgKind kind; static T read(Build&, const program::Arg&)

/// Throws Unsupported naming the position when an argument is not of the expected kind.
[[noreturn]] void wrong_argument(std::string_view expected);

#define AIRLOOM_READER(T, Kind)                       \
  template <>                                         \
  struct Reader<T> {                                  \
    static constexpr ArgKind kind = ArgKind::Kind;    \
    static T read(Build& b, const program::Arg& arg); \
  }
AIRLOOM_READER(Value, kTensor);
AIRLOOM_READER(Term, kTensor);
AIRLOOM_READER(std::optional<Value>, kOptionalTensor);
AIRLOOM_READER(std::vector<Value>, kTensorList);
AIRLOOM_READER(std::vector<std::optional<Value>>, kOptionalTensorList);
AIRLOOM_READER(Scalar, kScalar);
AIRLOOM_READER(std::optional<Scalar>, kOptionalScalar);
AIRLOOM_READER(Expr, kSymInt);
AIRLOOM_READER(std::optional<Expr>, kOptionalSymInt);
AIRLOOM_READER(Shape, kSymInts);
AIRLOOM_READER(std::optional<Shape>, kOptionalSymInts);
AIRLOOM_READER(std::int64_t, kInt);
AIRLOOM_READER(std::optional<std::int64_t>, kOptionalInt);
AIRLOOM_READER(Ints, kInts);
AIRLOOM_READER(std::optional<Ints>, kOptionalInts);
AIRLOOM_READER(bool, kBool);
AIRLOOM_READER(std::optional<bool>, kOptionalBool);
AIRLOOM_READER(ir::Bools, kBools);
AIRLOOM_READER(double, kFloat);
AIRLOOM_READER(std::optional<double>, kOptionalFloat);
AIRLOOM_READER(ir::Floats, kFloats);
AIRLOOM_READER(DType, kDType);
AIRLOOM_READER(std::optional<DType>, kOptionalDType);
AIRLOOM_READER(std::string, kString);
AIRLOOM_READER(std::optional<std::string>, kOptionalString);
AIRLOOM_READER(Ignored, kIgnored);
#undef AIRLOOM_READER

using ConvertFn = std::vector<Value> (*)(Build&, std::span<const program::Arg>);

struct Bound {
  ConvertFn convert = nullptr;
  std::span<const ArgKind> signature;
};

namespace detail {

template <class R, class... Args, std::size_t... I>
std::vector<Value> call(R (*f)(Build&, Args...), Build& b, std::span<const program::Arg> args, std::index_sequence<I...>) {
  if (args.size() != sizeof...(Args)) wrong_argument("another number of arguments");
  std::tuple<std::decay_t<Args>...> read{Reader<std::decay_t<Args>>::read(b, args[I])...};
  if constexpr (std::is_same_v<R, Value>) {
    return {f(b, std::move(std::get<I>(read))...)};
  } else if constexpr (std::is_void_v<R>) {
    f(b, std::move(std::get<I>(read))...);
    return {};
  } else {
    return f(b, std::move(std::get<I>(read))...);
  }
}

template <class R, class... Args>
std::vector<Value> unpack(R (*f)(Build&, Args...), Build& b, std::span<const program::Arg> args) {
  return call(f, b, args, std::index_sequence_for<Args...>{});
}

template <auto F>
std::vector<Value> convert(Build& b, std::span<const program::Arg> args) {
  return unpack(F, b, args);
}

template <class F>
struct Signature;
template <class R, class... Args>
struct Signature<R (*)(Build&, Args...)> {
  static constexpr std::array<ArgKind, sizeof...(Args)> kinds{Reader<std::decay_t<Args>>::kind...};
};

}  // namespace detail

/// The table entry of a converter `R f(Build&, Args...)`, R one of Value, std::vector<Value>, void.
template <auto F>
inline constexpr Bound bind{&detail::convert<F>, detail::Signature<decltype(F)>::kinds};

/// A row of a family's table.
struct Converter {
  std::string_view target;  // "aten.add.Tensor"
  Bound bound;
};

}  // namespace airloom::convert
