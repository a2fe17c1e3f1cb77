// What a file asks of the runtime and what the runtime computes, compared before anything runs.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "opdb/opdb.h"
#include "runtime/op.h"

namespace airloom::runtime {

/// A node while its operator's limits are compared with it; what is refused here, host and plugin functions need not expect.
/// Absent attributes have the prototype's default.
class CheckCtx : public NodeView {
 public:
  CheckCtx(const ir::Graph& graph, const ir::Node& node, const opdb::OpInfo* info, std::vector<bool> read)
      : NodeView(node), graph_(&graph), info_(info), read_(std::move(read)) {}
  [[nodiscard]] bool fed(std::size_t slot) const { return slot < node().inputs.size() && node().inputs[slot].value; }
  [[nodiscard]] bool fed(std::string_view name, std::size_t position) const { return fed(slot(name, position)); }
  /// Whether anybody reads output `index`.
  [[nodiscard]] bool read(std::size_t index) const { return index < read_.size() && read_[index]; }
  /// Declared element type of an input, undefined when it is not fed.
  [[nodiscard]] DType dtype(std::size_t slot) const {
    return fed(slot) ? graph_->type(node().inputs[slot].value).dtype : DType::kUndefined;
  }

  /// `what` goes on after the operator's type: "with ...".
  void refuse(std::string what) { problems_.push_back(std::move(what)); }
  /// The string attribute has to be one of `values`.
  void only(std::string_view attr, std::initializer_list<std::string_view> values);
  /// The integer attribute has to be in [low, high].
  void only(std::string_view attr, std::int64_t low, std::int64_t high);
  /// The boolean attribute must not be set.
  void never(std::string_view attr);
  /// The mapping does not read this optional input.
  void unread(std::string_view input, std::size_t position);
  /// Beside the required inputs the mapping reads these alone.
  void reads_only(std::initializer_list<std::string_view> inputs);
  [[nodiscard]] std::vector<std::string>& problems() { return problems_; }

 private:
  [[nodiscard]] const opdb::AttrInfo* attr_info(std::string_view attr) const;

  const ir::Graph* graph_;
  const opdb::OpInfo* info_;
  std::vector<bool> read_;
  std::vector<std::string> problems_;
};

/// Checks all graphs of the module; every operator, attribute, input, output and element type that cannot run is in the one error.
Status check_supported(const ir::Module& module);

}  // namespace airloom::runtime
