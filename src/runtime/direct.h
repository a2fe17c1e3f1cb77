// Small float32 parts as plain loops on the calling thread: where handing work to the plugin costs more than the work.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "runtime/tensor.h"

namespace airloom::runtime {

/// A node whose values are numbered: `in` by input slot (SIZE_MAX when unfed), outputs from `out` on.
struct DirectNode {
  const ir::Node* node = nullptr;
  std::vector<std::size_t> in;
  std::size_t out = 0;
};

class Direct {
 public:
  /// Whether the operator has a direct form at all.
  static bool knows(const ir::Node& node);
  /// Null when a node has no direct form with these attributes and shapes, or the work is not small.
  /// `nodes` in execution order; `constants` by value number (others not present); `inputs` and `outputs` are value numbers.
  static std::unique_ptr<Direct> build(std::span<const DirectNode> nodes, const std::vector<Tensor>& constants,
                                       std::span<const std::size_t> inputs, std::span<const Dims> input_shapes,
                                       std::span<const std::size_t> outputs);
  [[nodiscard]] const std::vector<Dims>& input_shapes() const { return input_shapes_; }
  [[nodiscard]] const std::vector<Dims>& output_shapes() const { return output_shapes_; }
  /// Elements of the inputs and outputs, in the order given to build(). `times` (microseconds by node) only when profiling.
  using Times = std::function<void(const std::string& node, double microseconds)>;
  void run(std::span<const float* const> inputs, std::span<float* const> outputs, const Times* times = nullptr);

 private:
  friend class DirectBuild;
  using Loop = std::function<void(float* const* at)>;
  struct Step {
    Loop loop;
    const ir::Node* node;
  };
  std::vector<Dims> input_shapes_;
  std::vector<Dims> output_shapes_;
  std::vector<std::size_t> input_at_;   // places in at_
  std::vector<std::size_t> output_at_;  // places in at_
  std::vector<Step> steps_;
  std::vector<float*> at_;  // address of every value: constants and scratch are fixed, inputs and outputs change with each call
  std::vector<std::unique_ptr<float[]>> memory_;
  std::vector<Tensor> kept_;  // constants that at_ points to
};

}  // namespace airloom::runtime
