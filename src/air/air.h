// The .air file: ge.proto.ModelDef on disk.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "airloom/error.h"
#include "ir/graph.h"

namespace airloom::air {

/// Called with bytes written so far and in all. Not called concurrently.
using Progress = std::function<void(std::int64_t done, std::int64_t total)>;

/// Receives consecutive pieces of the file; returns an error to stop.
using Sink = std::function<Status(const void* data, std::size_t size)>;

/// Size in bytes that write() will produce.
Result<std::int64_t> byte_size(const ir::Module& module);

/// Streams the ModelDef in GE's canonical form. Constant bytes go from the tensors' memory to the sink without a copy of the
/// whole. Deterministic. Fails with kTooLarge beyond 2^31-1 bytes, before the first byte is written.
Status write(const ir::Module& module, const Sink& sink);

/// One file written under a temporary name in the target's folder, fsynced; commit() renames it. Without commit the destructor removes it.
class AtomicFile {
 public:
  static Result<AtomicFile> create(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();
  Status write(const void* data, std::size_t size);
  Status flush();   // write out and fsync: after this only the rename is left
  Status commit();  // flush if needed, then rename over `path`
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  AtomicFile() = default;
  int fd_ = -1;
  bool flushed_ = false;
  std::string path_, temporary_;
  std::vector<char> buffer_;
};

/// dynamo.pbtxt: one node block per node; weights are not dumped.
Status write_pbtxt(const ir::Module& module, const Sink& sink);

/// One rule of the checklist or of a prototype that a file breaks.
struct Violation {
  std::string rule;  // stable id, e.g. "input-index-permutation", "unknown-op-type", "const-byte-size"
  std::string node;  // empty for the whole file
  std::string message;
};

/// Reads a file through a mapping: tensor bytes stay in the mapping (Tensor::owner keeps it; any alignment), nothing large is copied.
/// Malformed input of any kind gives kParse with the protobuf path; FileConstant and Const `location` attributes are kept as attributes
/// (a Const with `location` has no `value` then; write() makes its empty one again). A layout airloom has no Format for is Format::kOther
/// with its text in the descriptor attribute "layout".
///
/// What a loader would take differently, or the reader had to repair, goes to `notes` as violations:
///   lossy: duplicate-node-name, duplicate-graph-name, unknown-input-source, bad-index, missing-input-desc, const-byte-size,
///     unsupported-attr, unknown-dtype; without `notes` these are an error (kInvalidGraph, or kUnsupported for unsupported-attr and
///     unknown-dtype);
///   repaired or ignored: list-val-type, empty-attr, unknown-layout, name-map-size, missing-name, data-desc, input-desc-mismatch,
///     attr-groups, graph-attr, bad-shape.
Result<ir::Module> read(const std::string& path, std::vector<Violation>* notes = nullptr);
Result<ir::Module> read_bytes(const void* data, std::size_t size, std::shared_ptr<const void> owner,
                              std::vector<Violation>* notes = nullptr);

/// Lets go of the memory of a part of a mapping that read() made; it is read from the file again when it is touched. For tensors of 1 MiB
/// and more: their elements are never copied by read().
void release(std::span<const std::byte> mapped);

/// What validate() and validate_file() look at: the ids that Violation::rule holds, by theme. Stable between versions.
struct Rule {
  std::string_view id;
  std::string_view text;
};
std::span<const Rule> rules();

struct ValidateOptions {
  std::string directory;    // folder of the .air: `location` is relative to it
  std::string working_dir;  // where FileConstant.file_path is resolved from (ATC's cwd); when a file is not there, `directory`'s parent,
                            // then `directory`, are tried
};
/// Every violation of rules(), which hold the operator prototypes too, in node order.
std::vector<Violation> validate(const ir::Module& module, const ValidateOptions& options);
/// Reads and validates; what the reader had to drop or repair (duplicate names, val_type 0 lists, unknown layouts) is reported too.
Result<std::vector<Violation>> validate_file(const std::string& path, const std::string& working_dir = ".");

/// The JSON of `airloom inspect --json`.
std::string inspect_json(const ir::Module& module);
/// A table for people: inputs, outputs, op counts, weights.
std::string inspect_text(const ir::Module& module);

}  // namespace airloom::air
