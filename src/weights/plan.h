// Decides where each constant's bytes live: inside the .air (Const) or in a file beside it (FileConstant).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "airloom/error.h"
#include "ir/graph.h"

namespace airloom::weights {

enum class External : std::uint8_t { kAuto, kAlways, kNever };

/// TorchAir's threshold: above 2048-200 MiB in all (weights + graph), weights go outside.
inline constexpr std::int64_t kInlineLimit = std::int64_t{2048 - 200} * 1024 * 1024;
/// protobuf's hard limit of a file.
inline constexpr std::int64_t kFileLimit = INT32_MAX;

struct Options {
  External external = External::kAuto;
  std::string recorded_dir;                  // prefix of FileConstant.file_path, e.g. "export_file" or "mp/rank_0" or absolute
  std::int64_t inline_limit = kInlineLimit;  // smaller in tests
  std::int64_t file_limit = kFileLimit;
};

struct File {
  std::string name;  // in the weights directory, at most 255 bytes, path-safe, unique (also case-insensitively)
  ir::TensorRef tensor;
};

struct Plan {
  std::vector<File> files;        // in node order
  std::int64_t inline_bytes = 0;  // constants that stay in the .air
  std::int64_t external_bytes = 0;
};

/// Deduplicates equal weights (same memory; small ones by content), then turns weights (tensors with a `weight` name; large other constants
/// too if the file would pass file_limit) into FileConstant nodes as Options and the size rule say.
/// Errors: kTooLarge when even that does not fit.
Result<Plan> apply(ir::Module& module, const Options& options);

/// A parameter name as a file name: '.' becomes '_', unsafe bytes become '_', long names are cut; a deterministic
/// "_<8 hex digits of FNV-1a of the full name>" suffix is added when the name was cut, changed by more than dots, or `taken` has it
/// already.
std::string file_name(std::string_view weight, const std::function<bool(std::string_view)>& taken);

}  // namespace airloom::weights
