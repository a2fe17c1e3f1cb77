// Inside src/air: IR to protobuf messages without weight bytes, shared by the binary writer, the text writer and the reader.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ge_ir.pb.h>

#include "airloom/error.h"
#include "ir/graph.h"

namespace airloom::air::detail {

namespace pb = ::ge::proto;

/// Pseudo attribute of a descriptor with Format::kOther: the layout's text.
inline constexpr std::string_view kLayoutKey = "layout";

enum class DescKind {
  kKnown,     // shape and origin shape
  kNoOrigin,  // the loader takes the shape from elsewhere (FileConstant)
  kUnfed,     // an unconnected optional input
};

/// The descriptor attributes that follow from the descriptor itself.
ir::Attrs derived_attrs(DescKind kind, const ir::Ints& dims, ir::Format format);

enum class Style {
  kFile,  // GE's canonical form
  kText,  // for people: derived attributes left out, previews of constants
};

/// A tensor attribute whose bytes are left out of the message.
struct TensorAttr {
  std::string key;
  ir::TensorRef tensor;
  ir::Format format;
};

/// Fills `op`. In Style::kFile tensor attributes go to `tensors` instead; in kText they are in `op` without data.
/// kInvalidGraph: an input that does not exist, text that is not UTF-8, a tensor without memory.
Status encode_node(const ir::Graph& graph, ir::NodeId id, std::int64_t position, Style style, pb::OpDef& op,
                   std::vector<TensorAttr>* tensors);

/// The descriptor of a constant's `value`.
void encode_tensor_desc(const ir::Tensor& tensor, ir::Format format, Style style, pb::TensorDescriptor& desc);

bool is_utf8(std::string_view text);

}  // namespace airloom::air::detail
