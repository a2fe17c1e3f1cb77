// One graph made ready to run: which nodes run in the plugin, which in the exact evaluator, in which order.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "airloom/runtime.h"
#include "ir/graph.h"
#include "runtime/direct.h"
#include "runtime/ov.h"

namespace airloom::runtime {

class RankGroup;  // runtime/ranks.h

/// Session services for nodes that run graphs of the module or talk to other ranks.
struct Scope {
  virtual ~Scope() = default;
  /// Runs subgraph `slot` of `node`. Its Data nodes take parent input `_parent_node_index`, else their index + `offset`;
  /// results come by the parent output they are marked for.
  virtual std::vector<Tensor> call(const ir::Node& node, std::size_t slot, const std::vector<Tensor>& parent_inputs,
                                   std::int64_t offset) = 0;
  virtual RankGroup& group(const std::string& name) = 0;
};

/// What all graphs of a session share.
struct Env {
  Options options;
  const ir::Module* module = nullptr;
  std::unique_ptr<ov::Core> core;
  std::map<std::string, double> host_times;  // microseconds by node, when profiling
};

/// Elements of a Const or FileConstant, mapped from disk where they are stored; throws Exception.
Tensor load_constant(const ir::Graph& graph, ir::NodeId id, const Options& options);

class Executable {
 public:
  Executable(const ir::Graph& graph, Env& env, Scope& scope);
  /// Values of the Data nodes in `graph.inputs()` order in, NetOutput's inputs out. `refs` (by input position) are the new contents of
  /// inputs that in-place operators wrote.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs, std::map<std::size_t, Tensor>* refs);
  [[nodiscard]] const std::vector<ir::NodeId>& inputs() const { return inputs_; }
  [[nodiscard]] Session::Layout layout() const;
  void collect_times(std::map<std::string, double>& out) const;
  /// Compiles the parts whose input ranks are known without running anything.
  void compile_early();

 private:
  enum class Place : std::uint8_t { kInput, kConst, kHost, kPlugin, kNone };
  struct Segment {
    std::vector<std::size_t> inputs;  // value slots
    std::vector<std::size_t> outputs;
    std::vector<std::size_t> computed;                        // outputs that the model computes; the others are inputs passed on
    std::vector<std::pair<std::size_t, std::size_t>> passed;  // output slot, input slot
    std::vector<ov::PartialShape> shapes;                     // of the inputs, as compiled
    std::vector<std::size_t> check32;                         // positions in inputs whose int64 values must fit 32 bits
    ov::CompiledModel compiled;
    ov::InferRequest request;
    std::vector<bool> fixed;  // computed outputs with a static shape
    std::map<std::string, double> times;
    bool ready = false;
    bool host_capable = true;
    bool direct_capable = false;  // all float32, all operators with a direct form; whether it is small depends on the shapes
    std::unique_ptr<Direct> direct;
    std::vector<Dims> not_direct;  // input shapes that were too much for it, last seen
  };
  struct Step {
    bool host = true;
    std::vector<ir::NodeId> nodes;
    std::size_t segment = 0;
  };

  [[nodiscard]] std::size_t slot(ir::Value value) const { return base_[value.node] + value.index; }
  void plan();
  [[nodiscard]] bool plugin_fits(const ir::Node& node, const Op& op) const;
  void fold_constants();
  void run_host(const ir::Node& node, std::vector<Tensor>& values);
  void run_segment(const Step& step, Segment& segment, std::vector<Tensor>& values);
  void compile(const Step& step, Segment& segment, const std::vector<Tensor>* values);
  /// Makes `segment.direct` for these input shapes if they leave little work; false when it has to be the plugin.
  bool make_direct(const Step& step, Segment& segment, const std::vector<Dims>& shapes);
  void run_direct(Segment& segment, std::vector<Tensor>& values) const;
  [[nodiscard]] ir::Value read_as(ir::Value value, ir::NodeId reader) const;

  const ir::Graph& graph_;
  Env& env_;
  Scope& scope_;
  std::vector<ir::NodeId> order_;
  std::vector<ir::NodeId> inputs_;
  ir::NodeId net_output_ = ir::kNoNode;
  std::vector<std::size_t> base_;
  std::size_t slots_ = 0;
  std::vector<const Op*> ops_;     // by node
  std::vector<Place> place_;       // by node
  std::vector<Tensor> constants_;  // by slot
  std::set<ir::NodeId> forced_host_;
  std::set<std::size_t> loose_;  // slots whose shape changes from call to call
  std::vector<Step> steps_;
  std::vector<std::size_t> last_use_;  // by slot: step after which nobody reads it
  std::vector<std::unique_ptr<Segment>> segments_;
  bool dynamic_ = false;
  // In-place operators: readers that come after a writer of their input's memory read the writer's output.
  std::map<std::pair<ir::NodeId, std::uint32_t>, ir::Value> redirect_;  // (reader, input slot) -> value
  std::map<std::size_t, ir::Value> final_refs_;                         // input position -> last written value
};

}  // namespace airloom::runtime
