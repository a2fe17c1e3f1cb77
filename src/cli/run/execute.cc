// What `airloom run` does.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "airloom/runtime.h"
#include "cli/cli.h"
#include "cli/run/arguments.h"
#include "cli/run/ranks.h"
#include "runtime/npz.h"
#include "runtime/tensor.h"

namespace airloom::cli {

namespace {

using runtime::Port;
using runtime::Session;
using runtime::TensorBuf;
using runtime::TensorView;

TensorBuf buf_of(const runtime::Tensor& tensor) {
  return {tensor.dtype, tensor.shape, std::const_pointer_cast<void>(tensor.owner), static_cast<std::size_t>(tensor.nbytes())};
}

/// Normal floats; small non-negative integers, so that they are valid positions for most tables.
TensorBuf random_input(const Port& port, std::int64_t dim, std::mt19937& engine) {
  std::vector<std::int64_t> shape = port.shape;
  for (std::int64_t& d : shape) d = d < 0 ? dim : d;
  std::vector<double> numbers(static_cast<std::size_t>(runtime::count(shape)));
  for (double& number : numbers) {
    const double u = static_cast<double>(engine()) / 4294967296.0;
    const double v = static_cast<double>(engine()) / 4294967296.0;
    number = ir::is_floating(port.dtype) || ir::is_complex(port.dtype) ? std::sqrt(-2 * std::log(1 - u)) * std::cos(6.283185307179586 * v)
                                                                       : std::floor(2 * u);
  }
  return buf_of(runtime::make(port.dtype, shape, numbers));
}

/// Values of all inputs, by name from the archive; a bfloat16 input takes a float32 array.
Result<std::vector<TensorBuf>> gather_inputs(const std::vector<Port>& ports, const RunArguments& args) {
  std::map<std::string, TensorBuf> given;
  if (!args.inputs.empty()) {
    auto arrays = runtime::read_npz(args.inputs);
    if (!arrays) return tl::unexpected(arrays.error());
    for (auto& [name, buf] : *arrays) given.emplace(name, std::move(buf));
  }
  std::mt19937 engine(args.seed);
  std::vector<TensorBuf> out;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const Port& port = ports[i];
    auto it = given.find(port.name);
    if (it == given.end()) it = given.find(fmt::format("arr_{}", i));  // numpy.savez without names
    if (it != given.end()) {
      TensorBuf buf = it->second;
      if (port.dtype == ir::DType::kBFloat16 && buf.dtype == ir::DType::kFloat) {
        runtime::Tensor wide;
        wide.dtype = buf.dtype;
        wide.shape = buf.shape;
        wide.data = static_cast<const std::byte*>(buf.data.get());
        buf = buf_of(runtime::cast(wide, ir::DType::kBFloat16));
      }
      out.push_back(std::move(buf));
      given.erase(it);
    } else if (args.random) {
      if (port.unknown_rank)
        return fail(Errc::kInvalidArgument, "an input of unknown rank cannot be made up", port.name, "give it with --inputs");
      out.push_back(random_input(port, args.dim, engine));
    } else {
      return fail(Errc::kInvalidArgument, "no value for this input", port.name, "give it with --inputs, or use --random");
    }
  }
  if (!given.empty()) {
    std::vector<std::string> names;
    names.reserve(given.size());
    for (const auto& [name, buf] : given) names.push_back(name);
    return fail(Errc::kInvalidArgument, fmt::format("the graph has no input {}", fmt::join(names, ", ")), args.inputs);
  }
  return out;
}

void print_profile(const std::vector<runtime::NodeTime>& times, int calls) {
  std::map<std::string, std::pair<double, int>> by_type;
  std::vector<runtime::NodeTime> nodes = times;
  double total = 0;
  for (const runtime::NodeTime& node : nodes) {
    by_type[node.type].first += node.microseconds;
    by_type[node.type].second += 1;
    total += node.microseconds;
  }
  std::vector<std::pair<std::string, std::pair<double, int>>> types(by_type.begin(), by_type.end());
  std::stable_sort(types.begin(), types.end(), [](const auto& a, const auto& b) { return a.second.first > b.second.first; });
  fmt::print("{:<32} {:>6} {:>12} {:>7}\n", "type", "nodes", "us per call", "share");
  for (const auto& [type, sum] : types)
    fmt::print("{:<32} {:>6} {:>12.1f} {:>6.1f}%\n", type, sum.second, sum.first / calls, total > 0 ? 100 * sum.first / total : 0.0);
  std::stable_sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) { return a.microseconds > b.microseconds; });
  fmt::print("\n{:<48} {:<24} {:>12}\n", "node", "type", "us per call");
  for (std::size_t i = 0; i < std::min<std::size_t>(nodes.size(), 30); ++i)
    fmt::print("{:<48} {:<24} {:>12.1f}\n", nodes[i].name, nodes[i].type, nodes[i].microseconds / calls);
}

/// "{}" stands for the rank.
std::string for_rank(std::string text, int rank) {
  for (std::size_t at = text.find("{}"); at != std::string::npos; at = text.find("{}", at)) text.replace(at, 2, std::to_string(rank));
  return text;
}

Result<int> execute(const RunArguments& given) {
  end_with_starter();
  RunArguments args = given;
  auto world = runtime::world_from_environment();
  if (!world) return tl::unexpected(world.error());
  if (world->size <= 1 && args.ranks > 1) {
    if (!args.outputs.empty() && args.outputs.find("{}") == std::string::npos) {
      return fail(Errc::kInvalidArgument, "all ranks would write this file", args.outputs, "write {} where the rank's number goes");
    }
    return run_ranks(args.ranks);
  }
  runtime::Options options;
  options.world = *world;
  options.world.timeout_seconds = args.timeout;
  if (world->size > 0) {
    args.air = for_rank(args.air, world->rank);
    args.inputs = for_rank(args.inputs, world->rank);
    args.outputs = for_rank(args.outputs, world->rank);
    args.seed += static_cast<unsigned>(world->rank);
    // The ranks share the machine.
    if (args.threads == 0) args.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / world->size);
  }
  options.precision = args.precision == "file" ? runtime::Precision::kFile : runtime::Precision::kExact;
  options.threads = args.threads;
  options.working_dir = args.working_dir;
  options.profile = args.profile;
  options.reference = args.reference;
  Result<Session> session = Session::load(args.air, options);
  if (!session) return tl::unexpected(session.error());
  const auto inputs = gather_inputs(session->inputs(), args);
  if (!inputs) return tl::unexpected(inputs.error());
  std::vector<TensorView> views;
  for (const TensorBuf& buf : *inputs) views.push_back({buf.dtype, buf.shape, buf.data.get()});
  std::vector<double> times;
  std::vector<TensorBuf> outputs;
  for (int i = 0; i < args.repeat; ++i) {
    const auto start = std::chrono::steady_clock::now();
    auto result = session->run(views);
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    if (!result) return tl::unexpected(result.error());
    outputs = std::move(*result);
  }
  std::vector<std::pair<std::string, TensorBuf>> named;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    fmt::print("{}: {} [{}]\n", session->outputs()[i].name, ir::info(outputs[i].dtype).torch, fmt::join(outputs[i].shape, ", "));
    named.emplace_back(session->outputs()[i].name, outputs[i]);
  }
  if (!args.outputs.empty()) {
    if (const Status status = runtime::write_npz(args.outputs, named); !status) return tl::unexpected(status.error());
  }
  if (args.repeat > 1) {
    const double first = times.front();
    times.erase(times.begin());  // the first call also prepares memory
    std::sort(times.begin(), times.end());
    double sum = 0;
    for (const double t : times) sum += t;
    const auto at = [&](double q) { return times[static_cast<std::size_t>(q * static_cast<double>(times.size() - 1))]; };
    fmt::print("first call {:.3f} ms; then {} calls: min {:.3f}, median {:.3f}, mean {:.3f}, p90 {:.3f}, max {:.3f} ms\n", first,
               times.size(), times.front(), at(0.5), sum / static_cast<double>(times.size()), at(0.9), times.back());
  }
  if (args.profile) print_profile(session->profile(), args.repeat);
  return static_cast<int>(kOk);
}

}  // namespace

}  // namespace airloom::cli

extern "C" [[gnu::visibility("default")]] void airloom_run(const airloom::cli::RunArguments& arguments, airloom::Result<int>& code) {
  code = airloom::cli::execute(arguments);
}
