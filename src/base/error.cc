#include "airloom/error.h"

namespace airloom {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::kInvalidArgument: return "invalid_argument";
    case Errc::kParse: return "parse";
    case Errc::kUnsupported: return "unsupported";
    case Errc::kInvalidGraph: return "invalid_graph";
    case Errc::kIo: return "io";
    case Errc::kTooLarge: return "too_large";
    case Errc::kNotFound: return "not_found";
    case Errc::kRuntime: return "runtime";
  }
  return "unknown";
}

std::string Error::text() const {
  std::string out;
  if (!where.empty()) out += where + ": ";
  out += message;
  if (!hint.empty()) out += " (" + hint + ")";
  return out;
}

}  // namespace airloom
