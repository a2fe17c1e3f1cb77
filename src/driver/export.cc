#include "driver/export.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>

#include "air/air.h"
#include "convert/registry.h"
#include "distributed/relation_config.h"
#include "driver/transaction.h"
#include "passes/pass.h"

namespace airloom::driver {

namespace {

constexpr std::int64_t kProgressStep = std::int64_t{16} << 20;  // bytes between two calls
constexpr std::size_t kListedViolations = 20;
constexpr std::string_view kDefect = "this is a defect of airloom: please report it with the model";

using Timings = std::vector<std::pair<std::string, double>>;

/// Names a stage to the listener when it starts and records its time when it ends.
class Stage {
 public:
  Stage(std::string name, Timings& timings, const Progress& progress) : name_(std::move(name)), timings_(timings) {
    if (progress) progress(name_, 0, 0);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start_;
    timings_.emplace_back(std::move(name_), seconds.count());
  }

 private:
  std::string name_;
  Timings& timings_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Runs rooms that may throw.
template <class F>
auto guarded(F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const Exception& error) {
    return tl::unexpected(error.error());
  } catch (const std::logic_error& error) {
    return fail(Errc::kInvalidGraph, error.what(), "", std::string(kDefect));
  }
}

tl::unexpected<Failure> failure(Error error) { return tl::unexpected<Failure>(Failure(std::move(error))); }

template <class F>
void each_node(const ir::Module& module, F&& f) {
  for (const ir::Graph& graph : module.graphs) {
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      if (!graph.node(id).erased) f(graph.node(id));
    }
  }
}

/// The attributes GE writes on a model that nothing has been compiled for.
void set_model_attrs(ir::Module& module) {
  for (const char* name : {"memory_size", "p2p_memory_size", "stream_num", "event_num", "label_num", "weight_size"})
    module.attrs.insert_or_assign(name, std::int64_t{0});
  module.attrs.insert_or_assign("target_type", std::string("MINI"));
}

void record_module_stacks(ir::Module& module) {
  for (ir::Graph& graph : module.graphs) {
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      ir::Node& node = graph.node(id);
      // A constant may serve nodes of many modules.
      if (node.erased || ir::is_const_type(node.type) || !node.origin || node.origin->module_stack.empty()) continue;
      node.attrs.insert_or_assign("nn_module_stack", node.origin->module_stack);
    }
  }
}

std::string joined(const std::string& directory, const std::string& name) { return (std::filesystem::path(directory) / name).string(); }

/// Writes into files and tells the listener how far it is.
class Output {
 public:
  Output(std::int64_t total, const Progress& progress) : total_(total), progress_(progress) {}

  Status write(air::AtomicFile& file, const void* data, std::size_t size) {
    if (auto ok = file.write(data, size); !ok) return ok;
    done_ += static_cast<std::int64_t>(size);
    if (progress_ && done_ - told_ >= kProgressStep) {
      told_ = done_;
      progress_("write", done_, total_);
    }
    return {};
  }
  Status write(air::AtomicFile& file, const ir::Tensor& tensor) {
    Status status;
    const std::int64_t before = done_;
    const bool complete = tensor.stream([&](std::span<const std::byte> piece) {
      status = write(file, piece.data(), piece.size());
      return status.has_value();
    });
    if (!status) return status;
    if (!complete || done_ - before != tensor.nbytes())
      return fail(Errc::kInvalidGraph, fmt::format("the elements of \"{}\" are not there", tensor.weight), file.path(),
                  std::string(kDefect));
    return {};
  }

 private:
  std::int64_t total_;
  const Progress& progress_;
  std::int64_t done_ = 0, told_ = 0;
};

Status write_text(Transaction& files, const std::string& path, std::string_view text) {
  const auto file = files.add(path);
  if (!file) return tl::unexpected(file.error());
  return (*file)->write(text.data(), text.size());
}

/// Compares the large constants of `again`, read from a file, with the graph's, piece by piece, so that the file never fills the memory.
/// Equal ones become the graph's own, which makes the comparison of the whole graph cheap. The first different one is named.
std::optional<std::string> compare_large(const ir::Module& module, ir::Module& again) {
  constexpr std::int64_t kLarge = std::int64_t{1} << 20;
  constexpr std::size_t kPiece = std::size_t{8} << 20;
  for (std::size_t g = 0; g < again.graphs.size() && g < module.graphs.size(); ++g) {
    ir::Graph& graph = again.graphs[g];
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      const ir::TensorRef found = ir::const_value(graph, id);
      if (!found || found->nbytes() < kLarge || found->data == nullptr || !found->dense()) continue;
      const ir::NodeId twin = module.graphs[g].find(graph.node(id).name);
      const ir::TensorRef expected = twin == ir::kNoNode ? nullptr : ir::const_value(module.graphs[g], twin);
      if (!expected || expected->nbytes() != found->nbytes() || expected->dtype != found->dtype || expected->shape != found->shape)
        continue;
      const std::byte* at = found->data;
      const bool same = expected->stream([&](std::span<const std::byte> bytes) {
        for (std::size_t from = 0; from < bytes.size(); from += kPiece) {
          const auto piece = bytes.subspan(from, std::min(kPiece, bytes.size() - from));
          if (std::memcmp(piece.data(), at, piece.size()) != 0) return false;
          air::release({at, piece.size()});
          at += piece.size();
        }
        return true;
      });
      if (!same) return graph.node(id).name;
      graph.node(id).attrs["value"] = expected;
    }
  }
  return std::nullopt;
}

/// Reads the finished file as a loader would, and compares, constants too: about 0.1 s for a GB that has just been written.
Status check_written(const std::string& written, const ir::Module& module) {
  const auto defect = [](const std::string& text, const std::string& where) {
    return fail(Errc::kInvalidGraph, text, where, std::string(kDefect));
  };
  std::vector<air::Violation> violations;
  auto again = air::read(written, &violations);
  if (!again) return defect("the written file cannot be read back: " + again.error().message, again.error().where);
  for (air::Violation& violation : air::validate(*again, {})) {
    // Weight files still have temporary names.
    if (violation.rule != "file-constant-path" && violation.rule != "file-constant-size") violations.push_back(std::move(violation));
  }
  if (!violations.empty()) {
    std::string text = fmt::format("the graph breaks {} rule{} of the format:", violations.size(), violations.size() == 1 ? "" : "s");
    for (std::size_t i = 0; i < violations.size() && i < kListedViolations; ++i)
      text += fmt::format("\n  {}: {} [{}]", violations[i].node, violations[i].message, violations[i].rule);
    if (violations.size() > kListedViolations) text += fmt::format("\n  ... and {} more", violations.size() - kListedViolations);
    return defect(text, violations.front().node);
  }
  if (const auto different = compare_large(module, *again))
    return defect("the written file holds other elements than the graph", *different);
  if (const auto same = ir::same(module, *again); !same)
    return defect("the written file differs from the graph: " + same.error().message, same.error().where);
  return {};
}

/// The writing half of an export.
class Writer {
 public:
  Writer(const Built& built, const weights::Plan& plan, const ExportOptions& options, const Progress& progress, ExportReport& report)
      : built_(built), plan_(plan), options_(options), progress_(progress), report_(report) {}

  Status run() {
    std::string written;
    {
      const Stage stage("write", report_.timings, progress_);
      if (auto ok = write_air_and_weights(); !ok) return ok;
      auto name = files_.finish(air_);
      if (!name) return tl::unexpected(name.error());
      written = std::move(*name);
      if (auto ok = write_deployment(); !ok) return ok;
    }
    if (!options_.pbtxt_path.empty()) {
      const Stage stage("pbtxt", report_.timings, progress_);
      if (auto ok = write_pbtxt(); !ok) return ok;
    }
    {
      const Stage stage("check", report_.timings, progress_);
      if (auto ok = check_written(written, built_.module); !ok) return ok;
    }
    const Stage stage("commit", report_.timings, progress_);
    return files_.commit();
  }

 private:
  Status write_air_and_weights() {
    const auto air = files_.add_readable(options_.air_path);
    if (!air) return tl::unexpected(air.error());
    air_ = *air;
    report_.air = options_.air_path;
    const auto size = air::byte_size(built_.module);
    if (!size) return tl::unexpected(size.error());
    Output output(*size + plan_.external_bytes, progress_);
    for (const weights::File& weight : plan_.files) {
      const auto file = files_.add(joined(options_.directory, weight.name));
      if (!file) return tl::unexpected(file.error());
      if (auto ok = output.write(**file, *weight.tensor); !ok) return ok;
      // Flushed one by one: only one file's buffer and descriptor at a time, however many weights there are.
      if (auto ok = (*file)->flush(); !ok) return ok;
      report_.weight_files.push_back((*file)->path());
    }
    return air::write(built_.module, [&](const void* data, std::size_t bytes) { return output.write(*air_, data, bytes); });
  }

  Status write_deployment() {
    if (!options_.json_dir || !distributed::has_collectives(built_.module)) return {};
    auto groups = distributed::used_groups(built_.module, built_.groups);
    if (!groups) return tl::unexpected(groups.error());
    const distributed::Deployment deployment{options_.json_name, built_.world_size, std::move(*groups)};
    report_.json_files = {joined(*options_.json_dir, "model_relation_config.json"), joined(*options_.json_dir, "numa_config.json")};
    if (auto ok = write_text(files_, report_.json_files[0], distributed::model_relation_config(deployment)); !ok) return ok;
    return write_text(files_, report_.json_files[1], distributed::numa_config(deployment));
  }

  Status write_pbtxt() {
    const auto file = files_.add(options_.pbtxt_path);
    if (!file) return tl::unexpected(file.error());
    report_.pbtxt = options_.pbtxt_path;
    return air::write_pbtxt(built_.module, [&](const void* data, std::size_t bytes) { return (*file)->write(data, bytes); });
  }

  const Built& built_;
  const weights::Plan& plan_;
  const ExportOptions& options_;
  const Progress& progress_;
  ExportReport& report_;
  Transaction files_;
  air::AtomicFile* air_ = nullptr;
};

}  // namespace

tl::expected<Built, Failure> build(std::string_view message, const std::vector<program::WeightMemory>& memory, const BuildOptions& options,
                                   const Progress& progress) {
  Built built;
  Result<program::Program> program;
  {
    const Stage stage("read", built.timings, progress);
    program = guarded([&] { return program::read(message, memory); });
  }
  if (!program) return failure(program.error());
  Result<convert::Converted> converted;
  {
    const Stage stage("convert", built.timings, progress);
    converted = guarded([&] { return convert::convert(*program, convert::Registry::builtin()); });
  }
  if (!converted) return failure(converted.error());
  if (!converted->unsupported.empty()) {
    const std::size_t kinds = converted->unsupported.size();
    Error error{Errc::kUnsupported, fmt::format("{} operator{} cannot be converted", kinds, kinds == 1 ? "" : "s"), "", ""};
    for (const convert::UnsupportedOp& row : converted->unsupported)
      error.message += fmt::format("\n  {} (x{}) {}: {}", row.target, row.count, row.source, row.reason);
    return tl::unexpected<Failure>(Failure(std::move(error), std::move(converted->unsupported)));
  }
  built.module = std::move(converted->module);
  built.warnings = std::move(converted->warnings);
  built.groups = std::move(program->groups);
  built.rank = program->rank;
  built.world_size = program->world_size;
  {
    const Stage stage("passes", built.timings, progress);
    if (const auto ok = guarded([&] { return passes::run(built.module, options.disabled_passes); }); !ok) return failure(ok.error());
    if (const auto ok = ir::verify(built.module); !ok) return failure(ok.error());
  }
  set_model_attrs(built.module);
  if (options.record_module_stack) record_module_stacks(built.module);
  return built;
}

Result<std::vector<convert::UnsupportedOp>> unsupported(std::string_view message, const std::vector<program::WeightMemory>& memory) {
  return guarded([&]() -> Result<std::vector<convert::UnsupportedOp>> {
    const auto program = program::read(message, memory);
    if (!program) return tl::unexpected(program.error());
    auto converted = convert::convert(*program, convert::Registry::builtin());
    if (!converted) return tl::unexpected(converted.error());
    return std::move(converted->unsupported);
  });
}

tl::expected<ExportReport, Failure> export_program(std::string_view message, const std::vector<program::WeightMemory>& memory,
                                                   const ExportOptions& options, const Progress& progress) {
  if (options.air_path.empty()) return failure({Errc::kInvalidArgument, "air_path is empty", "", "name the file to write"});
  auto built = build(message, memory, options, progress);
  if (!built) return tl::unexpected<Failure>(std::move(built.error()));
  ExportReport report;
  report.timings = std::move(built->timings);
  report.warnings = std::move(built->warnings);

  weights::Options planning;
  planning.external = options.external;
  planning.recorded_dir = options.recorded_dir;
  if (options.inline_limit) planning.inline_limit = *options.inline_limit;
  Result<weights::Plan> plan;
  {
    const Stage stage("plan", report.timings, progress);
    plan = guarded([&] { return weights::apply(built->module, planning); });
  }
  if (!plan) return failure(plan.error());
  report.weight_bytes = plan->inline_bytes + plan->external_bytes;
  each_node(built->module, [&report](const ir::Node& node) {
    ++report.nodes;
    ++report.op_counts[node.type];
  });
  if (auto ok = Writer(*built, *plan, options, progress, report).run(); !ok) return failure(ok.error());
  return report;
}

}  // namespace airloom::driver
