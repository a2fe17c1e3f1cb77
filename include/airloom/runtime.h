// Runs a .air file on the CPU: load once, call many times. Needs OpenVINO's runtime libraries, nothing of Python or PyTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "airloom/error.h"
#include "ir/dtype.h"

namespace airloom::ir {
struct Module;
}

namespace airloom::runtime {

/// Arithmetic of float16 and bfloat16 graphs. float64, complex and integers are computed exactly in either mode.
enum class Precision : std::uint8_t {
  kExact,  // widened to float32; values are rounded to the file's type at graph outputs and where they pass through the exact evaluator
  kFile,   // the plugin may compute in the file's half type where the processor has it
};

struct Options {
  Precision precision = Precision::kExact;
  int threads = 0;                 // 0: as many as the machine has
  std::string working_dir = ".";   // FileConstant.file_path is relative to it; the .air's parent folder and folder are tried after it
  std::string directory;           // folder of the .air for from_module(): `location` is relative to it
  bool profile = false;            // collect times by node
  bool reference = false;          // every operator in the exact evaluator: slow, for comparison
};

/// One graph input or output. A dimension of -1 is dynamic; shape is empty for unknown rank too, then `unknown_rank` is set.
struct Port {
  std::string name;
  ir::DType dtype = ir::DType::kFloat;
  std::vector<std::int64_t> shape;
  bool unknown_rank = false;
  bool state = false;  // RefData: keeps its value between calls, may be left out of a call once it has one
};

/// Dense row-major elements that stay the caller's during run(). `data` null asks for a state's kept value.
struct TensorView {
  ir::DType dtype = ir::DType::kFloat;
  std::vector<std::int64_t> shape;
  const void* data = nullptr;
};

/// Dense row-major elements, owned.
struct TensorBuf {
  ir::DType dtype = ir::DType::kFloat;
  std::vector<std::int64_t> shape;
  std::shared_ptr<void> data;
  std::size_t nbytes = 0;
};

struct NodeTime {
  std::string name;
  std::string type;
  double microseconds = 0;  // summed over the calls since load
};

/// A loaded graph. Calls of one session must not overlap.
class Session {
 public:
  /// Reads and checks the file; every unsupported operator, attribute and element type is listed in one error.
  /// Errors: kIo/kNotFound (the file or a weight file), kParse, kUnsupported, kInvalidGraph.
  static Result<Session> load(const std::string& path, const Options& options = {});
  static Result<Session> from_module(ir::Module module, const Options& options = {});

  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  [[nodiscard]] const std::vector<Port>& inputs() const;
  [[nodiscard]] const std::vector<Port>& outputs() const;

  /// Inputs in the order of inputs(). On error the states keep the values they had before the call.
  /// Errors: kInvalidArgument (count, dtype, shape), kRuntime (an operator cannot compute these values).
  Result<std::vector<TensorBuf>> run(std::span<const TensorView> inputs);
  /// Current values of the RefData inputs that have one, by input name.
  [[nodiscard]] std::map<std::string, TensorBuf> states() const;
  /// Forgets all states.
  void reset();
  /// Times by node, in graph order; empty unless Options::profile.
  [[nodiscard]] std::vector<NodeTime> profile() const;
  /// How many separately compiled parts run in the plugin, and how many nodes run in the exact evaluator.
  struct Layout {
    int plugin_parts = 0;
    int plugin_nodes = 0;
    int host_nodes = 0;
  };
  [[nodiscard]] Layout layout() const;

 private:
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace airloom::runtime
