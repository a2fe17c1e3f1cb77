// Graph rewrites between conversion and writing: a fixed list of named passes, timed, verified, and each can be switched off.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "airloom/error.h"
#include "ir/graph.h"

namespace airloom::passes {

/// A rewrite of all graphs of a valid module (ir::verify). Values that stay keep their types; results are deterministic.
struct Pass {
  std::string_view name;
  bool (*run)(ir::Module& module);  // whether it changed anything
};

/// All passes in the order in which they run. A name may occur more than once.
std::span<const Pass> pipeline();

struct Timing {
  std::string name;
  double seconds = 0;  // of the pass and the verification of its result
  bool changed = false;
};

/// Runs the pipeline without the passes named in `disabled`; one row for each pass that ran.
/// Errors: kInvalidArgument when `disabled` has unknown names; kInvalidGraph when the module is invalid, or (a fault of airloom) after the
/// pass that the message names.
Result<std::vector<Timing>> run(ir::Module& module, const std::vector<std::string>& disabled);

}  // namespace airloom::passes
