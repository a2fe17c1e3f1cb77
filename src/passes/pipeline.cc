// The order of the passes, and the runner.
#include <algorithm>
#include <array>
#include <chrono>
#include <set>

#include <fmt/format.h>

#include "passes/pass.h"
#include "passes/passes.h"

namespace airloom::passes {

namespace {

constexpr std::array kPipeline = {
    Pass{"dead-code", dead_code},
    Pass{"constant-dedup", constant_dedup},
    Pass{"common-subexpressions", common_subexpressions},
    Pass{"cast-of-cast", cast_of_cast},
    Pass{"identity", identity},
    Pass{"transpose-into-matmul", transpose_into_matmul},
    Pass{"reshape-of-reshape", reshape_of_reshape},
    Pass{"dead-code", dead_code},
};

Status check_names(const std::set<std::string_view>& disabled) {
  std::vector<std::string_view> known;
  for (const Pass& pass : kPipeline) {
    if (std::find(known.begin(), known.end(), pass.name) == known.end()) known.push_back(pass.name);
  }
  std::vector<std::string> unknown;
  for (const std::string_view name : disabled) {
    if (std::find(known.begin(), known.end(), name) == known.end()) unknown.push_back(fmt::format("'{}'", name));
  }
  if (unknown.empty()) return {};
  return fail(Errc::kInvalidArgument, fmt::format("no such pass: {}", fmt::join(unknown, ", ")), "disabled passes",
              fmt::format("known passes: {}", fmt::join(known, ", ")));
}

}  // namespace

std::span<const Pass> pipeline() { return kPipeline; }

Result<std::vector<Timing>> run(ir::Module& module, const std::vector<std::string>& disabled) {
  const std::set<std::string_view> off(disabled.begin(), disabled.end());
  if (auto status = check_names(off); !status) return tl::unexpected<Error>(status.error());
  // The passes rely on a valid graph.
  if (auto status = ir::verify(module); !status) return tl::unexpected<Error>(status.error());
  std::vector<Timing> timings;
  for (const Pass& pass : pipeline()) {
    if (off.contains(pass.name)) continue;
    const auto start = std::chrono::steady_clock::now();
    const bool changed = pass.run(module);
    if (changed) {
      if (auto status = ir::verify(module); !status) {
        Error error = status.error();
        error.message = fmt::format("after the pass '{}': {}", pass.name, error.message);
        error.hint = fmt::format("this is a fault of airloom; disable the pass '{}' and report it", pass.name);
        return tl::unexpected<Error>(std::move(error));
      }
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    timings.push_back({std::string(pass.name), seconds.count(), changed});
  }
  return timings;
}

}  // namespace airloom::passes
