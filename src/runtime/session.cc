#include "airloom/runtime.h"

#include <algorithm>
#include <filesystem>

#include "air/air.h"
#include "air/encode.h"
#include "runtime/check.h"
#include "runtime/exec.h"
#include "runtime/ranks.h"

namespace airloom::runtime {
namespace {

Tensor copy_in(const TensorView& view) {
  Tensor out = allocate(view.dtype, view.shape);
  if (out.nbytes() != 0) std::memcpy(writable(out), view.data, static_cast<std::size_t>(out.nbytes()));
  return out;
}

TensorBuf to_buf(const Tensor& tensor) {
  return {tensor.dtype, tensor.shape, std::const_pointer_cast<void>(tensor.owner), static_cast<std::size_t>(tensor.nbytes())};
}

/// Owned memory of its own: nothing the session or the caller still holds.
Tensor own_copy(const Tensor& tensor) {
  Tensor out = allocate(tensor.dtype, tensor.shape);
  std::memcpy(writable(out), tensor.data, static_cast<std::size_t>(tensor.nbytes()));
  return out;
}

Port port_of(std::string name, const ir::TensorType& type) {
  Port port;
  port.name = std::move(name);
  port.dtype = type.dtype;
  port.unknown_rank = type.unknown_rank;
  if (!type.unknown_rank) port.shape = type.dims();
  return port;
}

/// count(), whose error names the input.
std::int64_t elements(const Dims& shape, const Port& port, Errc code) {
  try {
    return count(shape);
  } catch (const Exception& error) {
    bad(code, error.error().message, port.name);
  }
}

}  // namespace

struct Session::Impl final : Scope {
  ir::Module module;
  Env env;
  std::map<std::string, std::unique_ptr<Executable>> subgraphs;
  std::unique_ptr<Executable> root;
  std::vector<Port> inputs, outputs;
  std::map<std::size_t, Tensor> states;  // by input position
  int depth = 0;
  std::unique_ptr<Ranks> ranks;  // null without collectives

  void prepare() {
    env.module = &module;
    const ir::Graph& graph = module.root();
    for (const ir::NodeId id : graph.inputs()) {
      const ir::Node& node = graph.node(id);
      if (node.outputs.empty()) bad(Errc::kInvalidGraph, "an input node has no output", node.name);
      inputs.push_back(port_of(node.name, node.outputs[0].type));
      if (node.outputs[0].type.is_static()) elements(inputs.back().shape, inputs.back(), Errc::kInvalidGraph);
      inputs.back().state = node.type == "RefData";
    }
    if (graph.net_output() == ir::kNoNode) bad(Errc::kInvalidGraph, "the graph has no NetOutput", graph.name);
    const ir::Node& sink = graph.node(graph.net_output());
    for (std::size_t i = 0; i < sink.inputs.size(); ++i) {
      const ir::Input& input = sink.inputs[i];
      if (!input.value) bad(Errc::kInvalidGraph, fmt::format("output {} is not connected", i), sink.name);
      std::string name = fmt::format("output{}", i);
      const auto given = input.attrs.find("_origin_output_tensor_name");
      if (given != input.attrs.end()) {
        if (const auto* text = std::get_if<std::string>(&given->second); text != nullptr && air::detail::is_utf8(*text)) name = *text;
      }
      outputs.push_back(port_of(std::move(name), graph.type(input.value)));
    }
    root = std::make_unique<Executable>(graph, env, *this);
    root->compile_early();
    // Last: from here on the ranks wait for each other.
    ranks = Ranks::meet(module, env.options.world, env.options.directory);
  }

  RankGroup& group(const std::string& name) override {
    if (!ranks) bad(Errc::kRuntime, "no rank is connected");
    return ranks->group(name);
  }

  const ir::Graph& graph_named(const std::string& name, const std::string& where) const {
    for (const ir::Graph& graph : module.graphs) {
      if (graph.name == name) return graph;
    }
    bad(Errc::kInvalidGraph, fmt::format("the file has no graph '{}'", name), where);
  }

  std::vector<Tensor> call(const ir::Node& node, std::size_t slot, const std::vector<Tensor>& parent, std::int64_t offset) override {
    if (slot >= node.subgraphs.size()) bad(Errc::kInvalidGraph, fmt::format("{} has no subgraph {}", node.type, slot), node.name);
    if (depth > 64) bad(Errc::kInvalidGraph, "subgraphs call each other without end", node.name);
    const ir::Graph& graph = graph_named(node.subgraphs[slot], node.name);
    std::unique_ptr<Executable>& executable = subgraphs[graph.name];
    if (!executable) executable = std::make_unique<Executable>(graph, env, *this);
    std::vector<Tensor> in;
    for (const ir::NodeId id : executable->inputs()) {
      const NodeView data(graph.node(id));
      const std::int64_t from = data.attr_int("_parent_node_index", data.attr_int("index", 0) + offset);
      if (from < 0 || from >= static_cast<std::int64_t>(parent.size()))
        bad(Errc::kInvalidGraph, fmt::format("there is no parent input {}", from), graph.node(id).name);
      const Tensor& value = parent[static_cast<std::size_t>(from)];
      const DType declared = data.out_dtype(0);
      if (declared != DType::kUndefined && value.dtype != declared) {
        bad(Errc::kInvalidGraph,
            fmt::format("the input is declared {}, the caller gives {}", ir::info(declared).torch, ir::info(value.dtype).torch),
            graph.node(id).name);
      }
      in.push_back(value);
    }
    ++depth;
    struct Leave {
      int& depth;
      ~Leave() { --depth; }
    } leave{depth};
    std::vector<Tensor> results = executable->run(in, nullptr);
    const ir::Node& sink = graph.node(graph.net_output());
    std::vector<Tensor> out(results.size());
    for (std::size_t i = 0; i < results.size(); ++i) {
      const auto mark = sink.inputs[i].attrs.find("_parent_node_index");
      const auto* marked = mark == sink.inputs[i].attrs.end() ? nullptr : std::get_if<std::int64_t>(&mark->second);
      const std::int64_t to = marked != nullptr ? *marked : static_cast<std::int64_t>(i);
      if (to < 0 || to >= static_cast<std::int64_t>(out.size()))
        bad(Errc::kInvalidGraph, fmt::format("there is no parent output {}", to), sink.name);
      out[static_cast<std::size_t>(to)] = results[i];
    }
    return out;
  }
};

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Result<Session> Session::load(const std::string& path, const Options& options) {
  Result<ir::Module> module = air::read(path);
  if (!module) return tl::unexpected(module.error());
  Options own = options;
  if (own.directory.empty()) own.directory = std::filesystem::path(path).parent_path().string();
  return from_module(std::move(*module), own);
}

Result<Session> Session::from_module(ir::Module module, const Options& options) {
  if (module.graphs.empty()) return fail(Errc::kInvalidGraph, "the file holds no graph");
  if (const Status status = ir::verify(module); !status) return tl::unexpected(status.error());
  if (const Status status = check_supported(module); !status) return tl::unexpected(status.error());
  auto impl = std::make_unique<Impl>();
  impl->module = std::move(module);
  impl->env.options = options;
  try {
    impl->prepare();
  } catch (const Exception& error) {
    return tl::unexpected(error.error());
  } catch (const std::bad_alloc&) {
    return fail(Errc::kRuntime, "out of memory");
  } catch (const std::exception& error) {
    return fail(Errc::kRuntime, error.what());
  }
  return Session(std::move(impl));
}

const std::vector<Port>& Session::inputs() const { return impl_->inputs; }
const std::vector<Port>& Session::outputs() const { return impl_->outputs; }

Result<std::vector<TensorBuf>> Session::run(std::span<const TensorView> given) {
  Impl& impl = *impl_;
  if (given.size() != impl.inputs.size()) {
    std::vector<std::string> names;
    for (const Port& port : impl.inputs) names.push_back(port.name);
    return fail(Errc::kInvalidArgument,
                fmt::format("{} inputs given, the graph takes {}: {}", given.size(), names.size(), fmt::join(names, ", ")));
  }
  try {
    std::vector<Tensor> in;
    for (std::size_t i = 0; i < given.size(); ++i) {
      const Port& port = impl.inputs[i];
      const TensorView& view = given[i];
      if (view.data == nullptr && port.state && impl.states.count(i) != 0) {
        in.push_back(impl.states.at(i));
        continue;
      }
      if (view.data == nullptr && port.state && view.shape.empty()) {
        return fail(Errc::kInvalidArgument, "this state has no value yet", port.name, "give one in the first call");
      }
      if (view.dtype != port.dtype) {
        return fail(Errc::kInvalidArgument,
                    fmt::format("element type is {}, the graph takes {}", ir::info(view.dtype).torch, ir::info(port.dtype).torch),
                    port.name);
      }
      bool fits = port.unknown_rank || view.shape.size() == port.shape.size();
      for (std::size_t d = 0; fits && !port.unknown_rank && d < view.shape.size(); ++d)
        fits = port.shape[d] < 0 ? view.shape[d] >= 0 : view.shape[d] == port.shape[d];
      if (!fits)
        return fail(Errc::kInvalidArgument, fmt::format("shape is {}, the graph takes {}", dims_text(view.shape), dims_text(port.shape)),
                    port.name);
      const std::int64_t n = elements(view.shape, port, Errc::kInvalidArgument);
      if (view.data == nullptr && n != 0) return fail(Errc::kInvalidArgument, "no data", port.name);
      if (port.state) {
        in.push_back(copy_in(view));
        continue;
      }
      Tensor tensor;
      tensor.dtype = view.dtype;
      tensor.shape = view.shape;
      tensor.data = static_cast<const std::byte*>(view.data);
      if (tensor.numel() == 0) tensor = zeros(view.dtype, view.shape);
      in.push_back(std::move(tensor));
    }
    std::map<std::size_t, Tensor> written;
    const std::vector<Tensor> results = impl.root->run(in, &written);
    std::vector<TensorBuf> out;
    for (const Tensor& result : results) {
      // A result may be a caller's input, a constant, a state, a view of another result: only memory of its own is handed out.
      const bool own = result.owner && result.owner.get() == result.data && result.owner.use_count() <= 1;
      out.push_back(to_buf(own ? result : own_copy(result)));
    }
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (impl.inputs[i].state) impl.states[i] = written.count(i) != 0 ? own_copy(written[i]) : in[i];
    }
    return out;
  } catch (const Exception& error) {
    return tl::unexpected(error.error());
  } catch (const std::bad_alloc&) {
    return fail(Errc::kRuntime, "out of memory");
  } catch (const std::exception& error) {
    return fail(Errc::kRuntime, error.what());
  }
}

std::map<std::string, TensorBuf> Session::states() const {
  std::map<std::string, TensorBuf> out;
  for (const auto& [position, value] : impl_->states) out[impl_->inputs[position].name] = to_buf(own_copy(value));
  return out;
}

void Session::reset() { impl_->states.clear(); }

std::vector<NodeTime> Session::profile() const {
  std::vector<NodeTime> out;
  if (!impl_->env.options.profile) return out;
  std::map<std::string, double> times = impl_->env.host_times;
  impl_->root->collect_times(times);
  for (const auto& [name, executable] : impl_->subgraphs) executable->collect_times(times);
  for (const ir::Graph& graph : impl_->module.graphs) {
    const auto order = graph.topological();
    if (!order) continue;
    for (const ir::NodeId id : *order) {
      const auto it = times.find(graph.node(id).name);
      if (it != times.end()) out.push_back({it->first, graph.node(id).type, it->second});
    }
  }
  return out;
}

Session::Layout Session::layout() const { return impl_->root->layout(); }

}  // namespace airloom::runtime
