// dynamo.pbtxt: a node list in text form for people, TensorBoard-like tools and Netron.
#include <map>

#include <fmt/format.h>
#include <google/protobuf/text_format.h>

#include "air/air.h"
#include "air/encode.h"

namespace airloom::air {

namespace {

/// A string literal of the text format, without the quotes around it.
std::string escape(std::string_view text, char quote) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\\' || c == quote) {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7F) {
      out += fmt::format("\\{:03o}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

Result<std::string> text_of(const google::protobuf::Message& message, const std::string& where) {
  std::string text;
  if (!google::protobuf::TextFormat::PrintToString(message, &text))
    return fail(Errc::kInvalidGraph, "protobuf cannot print a value", where);
  return text;
}

Status append_attr(std::string& out, std::string_view key, const google::protobuf::Message& value, const std::string& node) {
  const auto text = text_of(value, node);
  if (!text) return tl::unexpected(text.error());
  out += fmt::format("    attr {{\n        key: \"{}\"\n        value {{\n            s: '{}'\n        }}\n    }}\n", escape(key, '"'),
                     escape(*text, '\''));
  return {};
}

Status append_node(std::string& out, const ir::Graph& graph, ir::NodeId id, std::int64_t position) {
  detail::pb::OpDef op;
  if (auto ok = detail::encode_node(graph, id, position, detail::Style::kText, op, nullptr); !ok) return ok;
  out += fmt::format("node {{\n    name: \"{}\"\n    op: \"{}\"\n", escape(op.name(), '"'), escape(op.type(), '"'));
  const bool is_input = ir::is_input_type(op.type());
  constexpr std::string_view kControl = ":-1";
  for (std::string_view input : op.input()) {
    if (is_input && input.empty()) continue;  // a graph input has nothing before it
    const bool control = input.size() > kControl.size() && input.substr(input.size() - kControl.size()) == kControl;
    if (control) input.remove_suffix(kControl.size());
    out += fmt::format("    input: \"{}{}\"\n", control ? "^" : "", escape(input, '"'));
  }
  std::map<std::string_view, const detail::pb::AttrDef*> attrs;
  for (const auto& [key, value] : op.attr()) attrs[key] = &value;
  for (const auto& [key, value] : attrs) {
    if (auto ok = append_attr(out, key, *value, op.name()); !ok) return ok;
  }
  for (const auto& desc : op.input_desc()) {
    if (auto ok = append_attr(out, "[i]" + desc.name(), desc, op.name()); !ok) return ok;
  }
  for (const auto& desc : op.output_desc()) {
    if (auto ok = append_attr(out, "[o]" + desc.name(), desc, op.name()); !ok) return ok;
  }
  out += "}\n";
  return {};
}

}  // namespace

Status write_pbtxt(const ir::Module& module, const Sink& sink) {
  std::string text;
  for (const ir::Graph& graph : module.graphs) {
    const auto order = graph.topological();
    if (!order) return fail(Errc::kInvalidGraph, "the graph has a cycle", graph.name);
    std::int64_t position = 0;
    for (ir::NodeId id : *order) {
      text.clear();
      if (auto ok = append_node(text, graph, id, position++); !ok) return ok;
      if (auto ok = sink(text.data(), text.size()); !ok) return ok;
    }
  }
  return {};
}

}  // namespace airloom::air
