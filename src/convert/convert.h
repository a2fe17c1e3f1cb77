// Program -> graph of GE operators.
#pragma once

#include <string>
#include <vector>

#include "convert/registry.h"
#include "ir/graph.h"
#include "program/program.h"

namespace airloom::convert {

/// An operator that could not be converted; equal target and reason are merged.
struct UnsupportedOp {
  std::string target;
  std::int64_t count = 0;
  std::string module, source;  // of the first occurrence
  std::string reason;
};

struct Converted {
  ir::Module module;
  std::vector<UnsupportedOp> unsupported;  // not empty: the module must not be used
  std::vector<std::string> warnings;
};

/// Converts every node, going on after failures so that all are listed. Errors: kInvalidArgument for a program that is not well formed.
Result<Converted> convert(const program::Program& program, const Registry& registry);

}  // namespace airloom::convert
