// The command `airloom`: verbs, each in a file of its own.
#pragma once

#include <functional>
#include <string_view>

#include <CLI/CLI.hpp>

#include "airloom/error.h"

namespace airloom::cli {

inline constexpr std::string_view kVersion = "0.1.0";

enum ExitCode : int {
  kOk = 0,
  kNegative = 1,  // the verb ran, and its answer is no: violations, differences
  kFailed = 2,    // wrong usage, input that cannot be read, output that cannot be written
};

/// Runs a verb whose arguments have been parsed; returns the exit code.
using Action = std::function<int()>;

struct Verb {
  const char* name;
  const char* summary;
  /// Declares arguments on the verb's parser and returns what to do with them.
  Action (*declare)(CLI::App& parser);
};

/// Prints "airloom: <text>" on stderr and returns kFailed.
int report(const Error& error);

// One line here and one in main.cc's table make a verb.
Action convert_verb(CLI::App& parser);
Action inspect_verb(CLI::App& parser);
Action validate_verb(CLI::App& parser);
#ifdef AIRLOOM_RUN_LIBRARY
Action run_verb(CLI::App& parser);
#endif

}  // namespace airloom::cli
