// What the command hands to the library that runs files.
#pragma once

#include <cstdint>
#include <string>

#include "airloom/error.h"

namespace airloom::cli {

struct RunArguments {
  std::string air, inputs, outputs, working_dir = ".", precision = "exact";
  int repeat = 1, threads = 0;
  int ranks = 1;
  unsigned seed = 0;
  double timeout = 60;
  std::int64_t dim = 1;
  bool random = false, profile = false, reference = false;
};

/// The library's one function, `airloom_run`. `code` becomes the exit code or what went wrong.
using RunFunction = void(const RunArguments& arguments, Result<int>& code);

}  // namespace airloom::cli
