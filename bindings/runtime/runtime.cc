// The extension module airloom._runtime: loads .air files and runs them, without the GIL and without copies of tensors.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "../text.h"
#include "air/air.h"
#include "airloom/runtime.h"
#include "exchange.h"
#include "ir/graph.h"

namespace nb = nanobind;

namespace {

using airloom::Errc;
using airloom::Error;
using airloom::Result;
using airloom::bindings::array_of;
using airloom::bindings::Borrowed;
using airloom::bindings::text_of;
using airloom::runtime::Options;
using airloom::runtime::Port;
using airloom::runtime::TensorBuf;
using airloom::runtime::TensorView;

/// Address, torch's name of the element type, shape, bytes.
using Given = std::tuple<std::uintptr_t, std::string, std::vector<std::int64_t>, std::uint64_t>;

/// Raises the exception class of airloom._core, so that callers catch one class.
[[noreturn]] void raise(const Error& error) {
  const nb::object type = nb::module_::import_("airloom._core").attr("CoreError");
  const nb::object instance = type(text_of(error.message));
  instance.attr("code") = std::string(airloom::to_string(error.code));
  instance.attr("where") = text_of(error.where);
  instance.attr("hint") = text_of(error.hint);
  PyErr_SetObject(type.ptr(), instance.ptr());
  throw nb::python_error();
}

template <class T>
T value(Result<T> result) {
  if (!result) raise(result.error());
  return std::move(*result);
}

/// Lets every output of the named nodes leave the graph too, as "<node>:<output>"; names that the graph lacks are passed over.
void watch(airloom::ir::Graph& graph, const std::vector<std::string>& names) {
  const airloom::ir::NodeId sink = graph.net_output();
  if (sink == airloom::ir::kNoNode) return;  // the session says so
  for (const std::string& name : names) {
    const airloom::ir::NodeId id = graph.find(name);
    if (id == airloom::ir::kNoNode || id == sink) continue;
    for (std::uint32_t i = 0; i < graph.node(id).outputs.size(); ++i) {
      airloom::ir::Node& net = graph.node(sink);
      airloom::ir::Input input;
      input.name = fmt::format("input{}", net.inputs.size());
      input.value = {id, i};
      input.attrs["_origin_output_tensor_name"] = fmt::format("{}:{}", name, i);
      net.inputs.push_back(std::move(input));
    }
  }
}

Result<airloom::runtime::Session> open(const std::string& path, Options options, const std::vector<std::string>& watched) {
  auto world = airloom::runtime::world_from_environment();
  if (!world) return tl::unexpected(world.error());
  options.world = std::move(*world);
  if (watched.empty()) return airloom::runtime::Session::load(path, options);
  auto module = airloom::air::read(path);
  if (!module) return tl::unexpected(module.error());
  if (!module->graphs.empty()) watch(module->root(), watched);
  options.directory = std::filesystem::path(path).parent_path().string();
  return airloom::runtime::Session::from_module(std::move(*module), options);
}

nb::list ports_of(const std::vector<Port>& ports) {
  nb::list out;
  for (const Port& port : ports) {
    const std::string_view torch = airloom::ir::info(port.dtype).torch;
    const std::string_view dtype = torch.empty() ? airloom::ir::info(port.dtype).text : torch;
    const nb::object shape = port.unknown_rank ? nb::none() : nb::cast(port.shape);
    out.append(nb::make_tuple(port.name, nb::str(dtype.data(), dtype.size()), shape, port.state));
  }
  return out;
}

/// A session that Python threads may share: calls wait for each other.
class Session {
 public:
  Session(const std::string& path, const std::string& precision, int threads, const std::string& working_dir, bool profile, bool reference,
          const std::vector<std::string>& watched)
      : session_(value([&]() -> Result<airloom::runtime::Session> {
          Options options;
          if (precision != "exact" && precision != "file") {
            return airloom::fail(Errc::kInvalidArgument, fmt::format("\"{}\" is not a precision", precision), "precision",
                                 "one of exact, file");
          }
          if (threads < 0)
            return airloom::fail(Errc::kInvalidArgument, fmt::format("{} threads", threads), "threads", "0 for as many as the machine has");
          options.precision = precision == "exact" ? airloom::runtime::Precision::kExact : airloom::runtime::Precision::kFile;
          options.threads = threads;
          options.working_dir = working_dir;
          options.profile = profile;
          options.reference = reference;
          const nb::gil_scoped_release free;
          return open(path, std::move(options), watched);
        }())),
        plain_outputs_(std::all_of(session_.outputs().begin(), session_.outputs().end(),
                                   [](const Port& port) { return airloom::bindings::has_tensor_form(port.dtype); })) {}

  [[nodiscard]] nb::list inputs() const { return ports_of(session_.inputs()); }
  [[nodiscard]] nb::list outputs() const { return ports_of(session_.outputs()); }

  nb::list run(const std::vector<std::optional<Given>>& given) {
    std::vector<TensorView> views;
    for (std::size_t i = 0; i < given.size(); ++i) views.push_back(view_of(i, given[i]));
    nb::list out;
    for (const TensorBuf& result : computed(views)) out.append(array_of(result));
    return out;
  }

  nb::object call(const nb::tuple& given) {
    const std::vector<Port>& ports = session_.inputs();
    if (given.size() != ports.size() || ports.empty() || !plain_outputs_) return nb::none();
    std::vector<Borrowed> inputs;
    std::vector<TensorView> views;
    inputs.reserve(ports.size());
    views.reserve(ports.size());
    const airloom::bindings::TorchApi* torch = nullptr;
    for (std::size_t i = 0; i < ports.size(); ++i) {
      std::optional<Borrowed> input = airloom::bindings::borrow(given[i], ports[i].dtype);
      if (!input) return nb::none();
      views.push_back(input->view);
      if (input->torch != nullptr) torch = input->torch;
      inputs.push_back(std::move(*input));
    }
    nb::list out;
    for (const TensorBuf& result : computed(views)) out.append(torch != nullptr ? tensor_of(result, *torch) : array_of(result));
    return nb::tuple(out);
  }

  nb::dict states() {
    const std::map<std::string, TensorBuf> values = [&] {
      const nb::gil_scoped_release free;
      const std::lock_guard lock(mutex_);
      return session_.states();
    }();
    nb::dict out;
    for (const auto& [name, buf] : values) out[name.c_str()] = array_of(buf);
    return out;
  }

  void reset() {
    const nb::gil_scoped_release free;
    const std::lock_guard lock(mutex_);
    session_.reset();
  }

  nb::list profile() {
    const auto times = [&] {
      const nb::gil_scoped_release free;
      const std::lock_guard lock(mutex_);
      return session_.profile();
    }();
    nb::list out;
    for (const auto& row : times) out.append(nb::make_tuple(row.name, row.type, row.microseconds));
    return out;
  }

  [[nodiscard]] nb::tuple layout() const {
    const auto layout = session_.layout();
    return nb::make_tuple(layout.plugin_parts, layout.direct_parts, layout.plugin_nodes, layout.host_nodes);
  }

 private:
  std::vector<TensorBuf> computed(const std::vector<TensorView>& views) {
    return value([&] {
      const nb::gil_scoped_release free;
      const std::lock_guard lock(mutex_);
      return session_.run(views);
    }());
  }

  TensorView view_of(std::size_t i, const std::optional<Given>& given) const {
    TensorView out;
    if (i < session_.inputs().size()) out.dtype = session_.inputs()[i].dtype;
    if (!given) return out;
    const auto& [address, name, shape, nbytes] = *given;
    const std::string where = i < session_.inputs().size() ? session_.inputs()[i].name : fmt::format("input {}", i);
    const auto dtype = airloom::ir::dtype_from_torch(name);
    if (!dtype) raise(Error{Errc::kInvalidArgument, fmt::format("\"{}\" is not an element type", name), where, ""});
    // The session reads as many elements as the shape says: they must be there.
    unsigned __int128 want = static_cast<unsigned __int128>(airloom::ir::item_size(*dtype));
    for (const std::int64_t dim : shape) {
      if (dim < 0) raise(Error{Errc::kInvalidArgument, "a dimension is negative", where, ""});
      want *= static_cast<unsigned __int128>(dim);
      if (want > std::numeric_limits<std::int64_t>::max()) raise(Error{Errc::kInvalidArgument, "the shape is too large", where, ""});
    }
    if (want != nbytes) {
      raise(Error{Errc::kInvalidArgument, fmt::format("{} bytes given, the shape asks for {}", nbytes, static_cast<std::uint64_t>(want)),
                  where, ""});
    }
    out.dtype = *dtype;
    out.shape = shape;
    out.data = reinterpret_cast<const void*>(address);
    return out;
  }

  airloom::runtime::Session session_;
  bool plain_outputs_;  // all of types that both torch and the short way know
  std::mutex mutex_;
};

}  // namespace

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): the module definition inside the macro
NB_MODULE(_runtime, m) {
  m.doc() = "The CPU runtime of airloom. Use airloom.load().";
  nb::class_<Session>(m, "Session")
      .def(nb::init<const std::string&, const std::string&, int, const std::string&, bool, bool, const std::vector<std::string>&>(),
           nb::arg("path"), nb::arg("precision"), nb::arg("threads"), nb::arg("working_dir"), nb::arg("profile"), nb::arg("reference"),
           nb::arg("watch"))
      .def_prop_ro("inputs", &Session::inputs, "(name, dtype, shape or None, state) of each input.")
      .def_prop_ro("outputs", &Session::outputs, "(name, dtype, shape or None, state) of each output.")
      .def("run", &Session::run, nb::arg("inputs"),
           "(address, dtype, shape, bytes) of each input, or None for a state's kept value; arrays out.")
      .def("call", &Session::call, nb::arg("inputs"),
           "Outputs for dense CPU tensors or arrays of exactly the graph's types, read in place; None for anything else.")
      .def("states", &Session::states, "Kept values by input name.")
      .def("reset", &Session::reset, "Forget the kept values.")
      .def("profile", &Session::profile, "(node, type, microseconds) in graph order.")
      .def("layout", &Session::layout, "Plugin parts, direct parts, nodes of both, host nodes.");
}
