// Runs a .air file on the CPU: load once, call many times. Needs OpenVINO's runtime libraries, nothing of Python or PyTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "airloom/dtype.h"
#include "airloom/error.h"

namespace airloom::ir {
struct Module;
}

namespace airloom::runtime {

/// Arithmetic of float16 and bfloat16 graphs. float64, complex and integers are computed exactly in either mode.
enum class Precision : std::uint8_t {
  kExact,  // widened to float32; values are rounded to the file's type at graph outputs and where they pass through the exact evaluator
  kFile,   // the plugin may compute in the file's half type where the processor has it
};

/// This process's place among the ranks that run one model together; used by graphs with collectives only.
struct World {
  int rank = 0;
  int size = 0;  // 0: not one of several ranks; then a graph with collectives does not load
  /// Where the ranks meet; not needed by groups of one. Either a folder that all of them see, on one machine, with nothing of an
  /// unfinished run in it, or (when store is empty) host and port of a server that rank 0 runs while ranks meet. Its messages are
  /// neither signed nor encrypted, nor is what the ranks send each other later: for networks that are trusted.
  std::string store;
  double timeout_seconds = 60;  // how long to wait for another rank, when meeting and in each collective
  /// World ranks by group name, in group order; goes before the comm_group lists of model_relation_config.json in the .air's folder.
  /// Other groups are the world.
  std::map<std::string, std::vector<std::int64_t>> groups;
  std::string job = {};     // this run's name in a store that other runs may use at the same time
  std::string master = {};  // address of rank 0's machine; the ranks listen on the interface that reaches it
  int port = 0;
};

/// Where this process was placed by its launcher.
/// Rank and size, the first pair that is set: AIRLOOM_RANK and AIRLOOM_WORLD_SIZE; RANK and WORLD_SIZE (torchrun), when MASTER_ADDR is
/// set; OMPI_COMM_WORLD_RANK and _SIZE (Open MPI); PMI_RANK and PMI_SIZE (MPICH). None: size 0.
/// Meeting place, the first of: the folder AIRLOOM_STORE; MASTER_ADDR and MASTER_PORT (the port after it under torchrun, whose agent
/// listens on it); the folder PMIX_SERVER_TMPDIR and the job PMIX_NAMESPACE of an Open MPI run on one machine. None: only graphs
/// without collectives load. Errors: kInvalidArgument.
Result<World> world_from_environment();

struct Options {
  Precision precision = Precision::kExact;
  int threads = 0;                // 0: as many as the machine has
  std::string working_dir = ".";  // FileConstant.file_path is relative to it; the .air's parent folder and folder are tried after it
  std::string directory;          // folder of the .air for from_module(): `location` is relative to it
  bool profile = false;           // collect times by node
  bool direct = true;             // small float32 parts as plain loops on the calling thread instead of in the plugin
  bool reference = false;         // every operator in the exact evaluator: slow, for comparison
  World world;                    // other ranks; a session that talks to some makes the process ignore SIGPIPE (unless it has a handler)
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
  /// With collectives it returns when all ranks of this rank's groups have come.
  /// Errors: kIo/kNotFound (the file or a weight file), kParse, kUnsupported, kInvalidGraph, kInvalidArgument (the world),
  /// kRuntime (a rank does not come).
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
  /// How many separately compiled parts run in the plugin and how many as plain loops, the nodes of both, and how many nodes run in the
  /// exact evaluator. With dynamic shapes it depends on the last call which parts are small.
  struct Layout {
    int plugin_parts = 0;
    int direct_parts = 0;
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
