// Errors of the C++ core: a code that programs test, and text that tells people where and what to do.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace airloom {

enum class Errc : std::uint8_t {
  kInvalidArgument,  // the caller's argument is wrong
  kParse,            // malformed program message, text form or protobuf
  kUnsupported,      // legal input that airloom does not handle (yet)
  kInvalidGraph,     // a graph that breaks an IR or GE rule
  kIo,               // the file system refused: message holds the errno text
  kTooLarge,         // a format limit (2^31-1 bytes of a protobuf file)
  kNotFound,         // a file or a name that does not exist
  kRuntime,          // execution failed
};

/// The stable spelling used in messages and by the Python exception mapping ("invalid_argument", ...).
std::string_view to_string(Errc code);

struct Error {
  Errc code = Errc::kInvalidArgument;
  std::string message;  // what is wrong, one sentence
  std::string where;    // node, path or JSON pointer; empty when there is none
  std::string hint;     // what to do; may be empty

  /// "where: message (hint)" without the empty parts.
  [[nodiscard]] std::string text() const;
};

/// Rooms that face files return Result; exceptions stay inside convert/ and runtime/.
template <class T>
using Result = tl::expected<T, Error>;
using Status = tl::expected<void, Error>;

inline tl::unexpected<Error> fail(Errc code, std::string message, std::string where = {}, std::string hint = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(where), std::move(hint)});
}

/// Carries an Error through code that is allowed to throw.
class Exception : public std::exception {
 public:
  explicit Exception(Error error) : error_(std::move(error)), text_(error_.text()) {}
  [[nodiscard]] const Error& error() const noexcept { return error_; }
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
  Error error_;
  std::string text_;
};

}  // namespace airloom
