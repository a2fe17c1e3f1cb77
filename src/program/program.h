// The captured program: what the Python front hands over, typed. Format of the message: docs/program-message.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "airloom/error.h"
#include "ir/graph.h"
#include "symbolic/expr.h"

namespace airloom::program {

using ir::DType;
using sym::Expr;

struct TensorMeta {
  ir::TensorType type;
};

/// Names an SSA value of the program: node `name`, output `index`.
struct Ref {
  std::string name;
  std::uint32_t index = 0;
};

struct None {};
struct Arg;
using ArgList = std::vector<Arg>;
/// {"memory_format", "contiguous_format"}, {"device", "cpu"}, {"layout", "strided"}.
struct Word {
  std::string kind, text;
};
/// One argument: None, tensor, SymInt/int, float, bool, string, dtype, layout/device/memory_format (as Word), list.
struct Arg {
  std::variant<None, Ref, Expr, double, bool, std::string, DType, Word, ArgList> value;
};

struct Node {
  std::string name;
  std::string target;     // "aten.add.Tensor", "_c10d_functional.all_reduce.default"
  std::vector<Arg> args;  // in schema order, defaults filled in
  /// Outputs: tensors, or one Expr for an op that returns a SymInt (item, sym_size).
  struct Output {
    std::variant<None, ir::TensorType, Expr> type;
  };
  std::vector<Output> outputs;
  std::shared_ptr<const ir::Origin> origin;
};

enum class InputKind : std::uint8_t { kUser, kWeight, kSymInt };
struct Input {
  std::string name;  // SSA name
  InputKind kind = InputKind::kUser;
  std::string label;  // user input: the name in the file; weight: its fully qualified name
  ir::TensorType type;
  std::optional<Expr> symint;  // kSymInt: the symbol
  ir::TensorRef tensor;        // kWeight
};

struct Output {
  std::variant<None, Ref, Expr, double, bool> value;
  std::string label;
  ir::TensorType type;
  std::string mutates;  // not empty: the SSA name of the input (user or buffer) that this output is the new value of; not a user output
};

struct Group {
  std::string name;  // as in the collectives' group argument
  std::vector<std::int64_t> ranks;
};

struct Program {
  std::string name;
  std::vector<Input> inputs;
  std::vector<Node> nodes;
  std::vector<Output> outputs;
  std::map<std::string, sym::Range> symbols;
  std::vector<Group> groups;
  std::int64_t rank = 0, world_size = 1;
};

/// A weight's memory, in the order of the message's "weights" table.
struct WeightMemory {
  const std::byte* data = nullptr;  // of element 0 (storage offset applied)
  std::shared_ptr<const void> owner;
};

/// Reads the message. `memory` has one entry per row of its "weights" table; rows with inline "data" (hex) ignore theirs.
Result<Program> read(std::string_view json, const std::vector<WeightMemory>& memory);

}  // namespace airloom::program
