// The whole way from a program message to files: read, convert, passes, plan, write, check, commit.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "airloom/error.h"
#include "convert/convert.h"
#include "ir/graph.h"
#include "program/program.h"
#include "weights/plan.h"

namespace airloom::driver {

/// Called on the caller's thread with the stage's name and how much of it is done; total 0: unknown. "write" counts bytes. It may throw:
/// nothing of the export stays then.
using Progress = std::function<void(std::string_view stage, std::int64_t done, std::int64_t total)>;

/// Why an export failed. Code kUnsupported with rows: operators without a converter, all of them.
struct Failure : Error {
  Failure(Error error, std::vector<convert::UnsupportedOp> rows = {})  // NOLINT(google-explicit-constructor): every Error is a failure
      : Error(std::move(error)), unsupported(std::move(rows)) {}
  std::vector<convert::UnsupportedOp> unsupported;
};

struct BuildOptions {
  bool record_module_stack = false;          // attribute "nn_module_stack" on the nodes that come from an FX node
  std::vector<std::string> disabled_passes;  // names in passes::pipeline()
};

/// A verified graph and what the files beside it need to know.
struct Built {
  ir::Module module;
  std::vector<program::Group> groups;
  std::int64_t rank = 0, world_size = 1;
  std::vector<std::string> warnings;
  std::vector<std::pair<std::string, double>> timings;  // stage, seconds
};

/// read, convert, passes. `memory` has one entry for each row of the message's weights; the module borrows it.
tl::expected<Built, Failure> build(std::string_view message, const std::vector<program::WeightMemory>& memory, const BuildOptions& options,
                                   const Progress& progress = {});

/// The operators of the program that cannot be converted; empty when all can.
Result<std::vector<convert::UnsupportedOp>> unsupported(std::string_view message, const std::vector<program::WeightMemory>& memory);

struct ExportOptions : BuildOptions {
  std::string directory;     // of the weight files; "" is the current one. Folders are not made
  std::string air_path;      // required
  std::string pbtxt_path;    // "": none is written
  std::string recorded_dir;  // prefix of the recorded weight paths
  weights::External external = weights::External::kAuto;
  std::optional<std::int64_t> inline_limit;  // bytes; default weights::kInlineLimit
  std::optional<std::string> json_dir;       // where the two deployment files go if the graph has collectives
  std::string json_name;                     // export name in them
};

struct ExportReport {
  std::string air, pbtxt;                 // as given
  std::vector<std::string> weight_files;  // in node order
  std::vector<std::string> json_files;
  std::int64_t nodes = 0;                         // of all graphs
  std::map<std::string, std::int64_t> op_counts;  // by operator type
  std::vector<std::pair<std::string, double>> timings;
  std::int64_t weight_bytes = 0;  // of all constants, inside and outside of the .air
  std::vector<std::string> warnings;
};

/// Writes all files or none. Before they get their names, the .air is read back, validated and compared with the graph; a difference is
/// kInvalidGraph. Weight files of an earlier export that this one does not use stay.
tl::expected<ExportReport, Failure> export_program(std::string_view message, const std::vector<program::WeightMemory>& memory,
                                                   const ExportOptions& options, const Progress& progress = {});

}  // namespace airloom::driver
