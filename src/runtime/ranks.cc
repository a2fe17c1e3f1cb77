#include "runtime/ranks.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>
#include <utility>

#include <gloo/allgather.h>
#include <gloo/allreduce.h>
#include <gloo/alltoallv.h>
#include <gloo/barrier.h>
#include <gloo/broadcast.h>
#include <gloo/rendezvous/context.h>
#include <gloo/transport/tcp/device.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "ir/graph.h"
#include "runtime/op.h"
#include "runtime/rendezvous.h"

namespace airloom::runtime {
namespace {

using Millis = std::chrono::milliseconds;

template <class S, Reduction R>
void combine(void* out, const void* a, const void* b, std::size_t n) {
  auto* to = static_cast<S*>(out);
  const auto* x = static_cast<const S*>(a);
  const auto* y = static_cast<const S*>(b);
  for (std::size_t i = 0; i < n; ++i) {
    if constexpr (R == Reduction::kSum) {
      if constexpr (std::is_integral_v<S>) {
        to[i] = static_cast<S>(static_cast<std::uint64_t>(x[i]) + static_cast<std::uint64_t>(y[i]));
      } else {
        to[i] = x[i] + y[i];
      }
    } else if constexpr (R == Reduction::kProd) {
      if constexpr (std::is_integral_v<S>) {
        to[i] = static_cast<S>(static_cast<std::uint64_t>(x[i]) * static_cast<std::uint64_t>(y[i]));
      } else {
        to[i] = x[i] * y[i];
      }
    } else if constexpr (R == Reduction::kMax) {
      to[i] = x[i] != x[i] || x[i] > y[i] ? x[i] : y[i];  // a NaN of either side stays
    } else {
      to[i] = x[i] != x[i] || x[i] < y[i] ? x[i] : y[i];
    }
  }
}
template <class S>
Combine combine_as(Reduction reduction) {
  switch (reduction) {
    case Reduction::kSum: return combine<S, Reduction::kSum>;
    case Reduction::kProd: return combine<S, Reduction::kProd>;
    default: break;
  }
  if constexpr (std::is_arithmetic_v<S>) {
    return reduction == Reduction::kMax ? combine<S, Reduction::kMax> : combine<S, Reduction::kMin>;
  } else {
    return nullptr;  // complex numbers have no order
  }
}

/// Gloo starts its messages with its own source position.
std::string plain(const std::string& text) {
  if (text.empty() || text.front() != '[') return text;
  const std::size_t end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

constexpr std::array<std::string_view, 5> kTypes = {"HcomAllReduce", "HcomAllGather", "HcomReduceScatter", "HcomAllToAll", "HcomAllToAllV"};
std::int64_t number_of(std::string_view type) { return std::find(kTypes.begin(), kTypes.end(), type) - kTypes.begin(); }
std::string_view type_of(std::int64_t number) {
  return number >= 0 && number < static_cast<std::int64_t>(kTypes.size()) ? kTypes[static_cast<std::size_t>(number)] : "HcomBroadcast";
}

std::int64_t parse_rank(const nlohmann::json& item, const std::string& where) {
  if (!item.is_number_integer() || item.get<std::int64_t>() < 0) bad(Errc::kParse, "a rank of a comm_group is no number from 0 on", where);
  return item.get<std::int64_t>();
}

bool is_world_name(const std::string& name) { return name.empty() || name == "hccl_world_group"; }

std::string environment_text(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}
std::optional<int> environment_int(const char* name) {
  const std::string text = environment_text(name);
  if (text.empty()) return std::nullopt;
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (*end != '\0' || value < 0 || value > INT_MAX) bad(Errc::kInvalidArgument, fmt::format("'{}' is no number from 0 on", text), name);
  return static_cast<int>(value);
}

/// Names of the variables that hold a process's place.
enum class LauncherKind : std::uint8_t { kOwn, kTorch, kOpenMpi, kHydra };
struct Launcher {
  LauncherKind kind;
  const char* rank;
  const char* size;
};
constexpr Launcher kLaunchers[] = {{LauncherKind::kOwn, "AIRLOOM_RANK", "AIRLOOM_WORLD_SIZE"},
                                   {LauncherKind::kTorch, "RANK", "WORLD_SIZE"},
                                   {LauncherKind::kOpenMpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                   {LauncherKind::kHydra, "PMI_RANK", "PMI_SIZE"}};

}  // namespace

Combine combine_of(DType dtype, Reduction reduction) {
  switch (dtype) {
    case DType::kFloat: return combine_as<float>(reduction);
    case DType::kDouble: return combine_as<double>(reduction);
    case DType::kInt8: return combine_as<std::int8_t>(reduction);
    case DType::kInt16: return combine_as<std::int16_t>(reduction);
    case DType::kInt32: return combine_as<std::int32_t>(reduction);
    case DType::kInt64: return combine_as<std::int64_t>(reduction);
    case DType::kUInt8: return combine_as<std::uint8_t>(reduction);
    case DType::kUInt16: return combine_as<std::uint16_t>(reduction);
    case DType::kUInt32: return combine_as<std::uint32_t>(reduction);
    case DType::kUInt64: return combine_as<std::uint64_t>(reduction);
    case DType::kComplex64: return combine_as<std::complex<float>>(reduction);
    case DType::kComplex128: return combine_as<std::complex<double>>(reduction);
    case DType::kBool:
      return combine_as<std::uint8_t>(reduction == Reduction::kSum || reduction == Reduction::kMax ? Reduction::kMax : Reduction::kMin);
    default: return nullptr;
  }
}

Result<World> world_from_environment() {
  World world;
  const std::string store = environment_text("AIRLOOM_STORE");
  const std::string master = environment_text("MASTER_ADDR");
  try {
    for (const Launcher& launcher : kLaunchers) {
      if (launcher.kind == LauncherKind::kTorch && master.empty()) continue;
      const auto rank = environment_int(launcher.rank);
      const auto size = environment_int(launcher.size);
      if (!rank && !size) continue;
      if (!rank || !size)
        return fail(Errc::kInvalidArgument, "one is set without the other", fmt::format("{}, {}", launcher.rank, launcher.size));
      if (*rank >= *size) return fail(Errc::kInvalidArgument, fmt::format("rank {} of {}", *rank, *size), launcher.rank);
      world.rank = *rank;
      world.size = *size;
      if (!store.empty()) {
        world.store = store;
      } else if (!master.empty()) {
        const auto port = environment_int("MASTER_PORT");
        if (!port) return fail(Errc::kInvalidArgument, "is set without MASTER_PORT", "MASTER_ADDR");
        if (*port < 1 || *port > 65535) return fail(Errc::kInvalidArgument, fmt::format("{} is no port", *port), "MASTER_PORT");
        world.master = master;
        world.port = *port;
        // torchrun's agent listens on the port itself.
        if (environment_text("TORCHELASTIC_USE_AGENT_STORE") == "True") world.port += *port < 65535 ? 1 : -1;
      } else if (launcher.kind == LauncherKind::kOpenMpi && environment_int("OMPI_COMM_WORLD_LOCAL_SIZE") == *size) {
        world.store = environment_text("PMIX_SERVER_TMPDIR");
        world.job = environment_text("PMIX_NAMESPACE");
        if (world.job.empty()) world.store.clear();  // other jobs may have the same folder
      }
      return world;
    }
  } catch (const Exception& error) {
    return tl::unexpected(error.error());
  }
  if (store.empty()) return world;
  return fail(Errc::kInvalidArgument, "is set, but no launcher's rank is", "AIRLOOM_STORE",
              "start under mpirun, or set AIRLOOM_RANK and AIRLOOM_WORLD_SIZE");
}

std::map<std::string, std::vector<std::int64_t>> read_groups(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad()) bad(Errc::kIo, "cannot be read", path);
  const nlohmann::json config = nlohmann::json::parse(text, nullptr, false);
  if (!config.is_object()) bad(Errc::kParse, "is not JSON, or no object", path);
  std::map<std::string, std::vector<std::int64_t>> out;
  const auto list = config.find("comm_group");
  if (list == config.end()) return out;
  if (!list->is_array()) bad(Errc::kParse, "comm_group is no list", path);
  for (const nlohmann::json& entry : *list) {
    const auto name = entry.is_object() ? entry.find("group_name") : entry.end();
    if (!entry.is_object() || name == entry.end() || !name->is_string()) bad(Errc::kParse, "a comm_group has no group_name", path);
    const auto given = entry.find("group_rank_list");
    nlohmann::json ranks = given == entry.end() ? nlohmann::json() : *given;
    if (ranks.is_string()) ranks = nlohmann::json::parse(ranks.get<std::string>(), nullptr, false);  // usually a list written as text
    if (!ranks.is_array() || ranks.empty())
      bad(Errc::kParse, fmt::format("group_rank_list of '{}' is no list of ranks", name->get<std::string>()), path);
    std::vector<std::int64_t> members;
    for (const nlohmann::json& item : ranks) members.push_back(parse_rank(item, path));
    out[name->get<std::string>()] = std::move(members);
  }
  return out;
}

struct RankGroup::Link {
  std::shared_ptr<gloo::Context> context;
};

RankGroup::RankGroup(std::string name, int rank, int size, double timeout_seconds)
    : name_(std::move(name)), rank_(rank), size_(size), timeout_seconds_(timeout_seconds) {}
RankGroup::~RankGroup() = default;

template <class F>
void RankGroup::guarded(F&& f) {
  if (broken_) bad(Errc::kRuntime, fmt::format("group '{}' lost a rank in an earlier call", name_), {}, "start all ranks again");
  try {
    f();
  } catch (const Exception&) {
    broken_ = true;
    throw;
  } catch (const std::exception& error) {
    broken_ = true;
    bad(Errc::kRuntime,
        fmt::format("rank {} of group '{}' ({} ranks): another rank ended, failed or did not answer within {:g} s: {}", rank_, name_, size_,
                    timeout_seconds_, plain(error.what())),
        {}, "see what the other ranks report; --timeout gives more time");
  }
}

std::vector<std::int64_t> RankGroup::agree(const Announcement& own) {
  const auto n = static_cast<std::size_t>(size_);
  const auto me = static_cast<std::size_t>(rank_);
  constexpr std::size_t kHead = 4;
  const bool counted = !own.send_counts.empty();
  std::vector<std::int64_t> line = {number_of(own.type), static_cast<std::int64_t>(own.dtype), counted ? 0 : own.elements, own.detail};
  line.resize(kHead + n, 0);
  std::copy(own.send_counts.begin(), own.send_counts.end(), line.begin() + kHead);
  std::vector<std::int64_t> all(line.size() * n);
  all_gather(line.data(), line.size() * sizeof(std::int64_t), all.data());
  std::vector<std::int64_t> receive;
  for (std::size_t r = 0; r < n; ++r) {
    const std::int64_t* other = all.data() + r * line.size();
    if (!std::equal(other, other + kHead, line.begin())) {
      const auto describe = [](const std::int64_t* head) {
        const auto dtype = ir::dtype_from_ge(static_cast<int>(head[1]));
        return fmt::format("{} of {} {} elements (reduction or root {})", type_of(head[0]), head[2],
                           dtype ? ir::info(*dtype).torch : "unknown", head[3]);
      };
      broken_ = true;
      bad(Errc::kRuntime,
          fmt::format("the ranks of group '{}' differ: rank {} is at {}, rank {} at {}", name_, rank_, describe(line.data()), r,
                      describe(other)),
          {}, "all ranks need files of one export and inputs of the same shapes");
    }
    if (counted) receive.push_back(other[kHead + me]);
  }
  return receive;
}

void RankGroup::all_gather(const void* in, std::size_t nbytes, void* out) {
  if (nbytes == 0) return;
  if (!link_) {
    std::memcpy(out, in, nbytes);
    return;
  }
  guarded([&] {
    gloo::AllgatherOptions options(link_->context);
    options.setInput(static_cast<char*>(const_cast<void*>(in)), nbytes);
    options.setOutput(static_cast<char*>(out), nbytes * static_cast<std::size_t>(size_));
    options.setTag(tag_++);
    gloo::allgather(options);
  });
}

void RankGroup::all_to_all(const void* in, std::span<const std::int64_t> send, void* out, std::span<const std::int64_t> receive) {
  if (!link_) {
    std::memcpy(out, in, static_cast<std::size_t>(send[0]));
    return;
  }
  guarded([&] {
    gloo::AlltoallvOptions options(link_->context);
    options.setInput(static_cast<char*>(const_cast<void*>(in)), std::vector<std::int64_t>(send.begin(), send.end()));
    options.setOutput(static_cast<char*>(out), std::vector<std::int64_t>(receive.begin(), receive.end()));
    options.setTag(tag_++);
    gloo::alltoallv(options);
  });
}

void RankGroup::broadcast(void* data, std::size_t nbytes, int root) {
  if (!link_ || nbytes == 0) return;
  guarded([&] {
    gloo::BroadcastOptions options(link_->context);
    options.setOutput(static_cast<char*>(data), nbytes);
    options.setRoot(root);
    options.setTag(tag_++);
    gloo::broadcast(options);
  });
}

void RankGroup::all_reduce(void* data, std::size_t elements, std::size_t item_size, Combine combine_fn) {
  if (!link_ || elements == 0) return;
  guarded([&] {
    gloo::AllreduceOptions options(link_->context);
    switch (item_size) {  // Gloo takes the size of an element from the pointer's type
      case 1: options.setOutput(static_cast<std::uint8_t*>(data), elements); break;
      case 2: options.setOutput(static_cast<std::uint16_t*>(data), elements); break;
      case 4: options.setOutput(static_cast<std::uint32_t*>(data), elements); break;
      case 8: options.setOutput(static_cast<std::uint64_t*>(data), elements); break;
      default: options.setOutput(static_cast<std::complex<double>*>(data), elements); break;
    }
    options.setReduceFunction(combine_fn);
    options.setTag(tag_++);
    gloo::allreduce(options);
  });
}

void RankGroup::barrier(std::chrono::milliseconds timeout) {
  gloo::BarrierOptions options(link_->context);
  options.setTag(tag_++);
  options.setTimeout(timeout);
  gloo::barrier(options);
}

bool RankGroup::leave() noexcept {
  if (!link_) return true;
  if (broken_) return false;
  broken_ = true;
  try {
    barrier(std::min(millis(timeout_seconds_), Millis(2000)));
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

std::unique_ptr<Ranks> Ranks::meet(const ir::Module& module, const World& world, const std::string& directory) {
  std::map<std::string, std::string> users;  // group -> a node that names it
  for (const ir::Graph& graph : module.graphs) {
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      const ir::Node& node = graph.node(id);
      if (!node.erased && node.type.rfind("Hcom", 0) == 0) users.emplace(NodeView(node).attr_string("group", ""), node.name);
    }
  }
  if (users.empty()) return nullptr;
  if (world.size <= 0) {
    bad(Errc::kInvalidArgument, "the graph communicates between ranks, but this process is no rank", users.begin()->second,
        "airloom run --ranks N starts all ranks on this machine, mpirun and torchrun do on several");
  }
  if (world.rank < 0 || world.rank >= world.size) bad(Errc::kInvalidArgument, fmt::format("rank {} of {}", world.rank, world.size));
  if (!(world.timeout_seconds > 0) || world.timeout_seconds > 1e6)
    bad(Errc::kInvalidArgument, fmt::format("a time-out of {} s", world.timeout_seconds));
  std::map<std::string, std::vector<std::int64_t>> known;
  const std::filesystem::path config = std::filesystem::path(directory.empty() ? "." : directory) / "model_relation_config.json";
  std::error_code ignored;
  if (std::filesystem::exists(config, ignored)) known = read_groups(config.string());
  for (const auto& [name, members] : world.groups) known[name] = members;

  auto out = std::make_unique<Ranks>();
  std::shared_ptr<gloo::transport::Device> device;
  std::set<int> partners;
  for (const auto& [name, user] : users) {  // in name order on every rank: nobody waits in a circle
    std::vector<std::int64_t> members;
    const auto listed = known.find(name);
    if (listed != known.end() && !is_world_name(name)) {
      members = listed->second;
    } else {
      for (std::int64_t r = 0; r < world.size; ++r) members.push_back(r);
    }
    if (std::set<std::int64_t>(members.begin(), members.end()).size() != members.size())
      bad(Errc::kInvalidArgument, fmt::format("group '{}' lists a rank twice", name), user);
    for (const std::int64_t member : members) {
      if (member < 0 || member >= world.size) {
        bad(Errc::kInvalidArgument, fmt::format("group '{}' has rank {}, but there are {} ranks", name, member, world.size), user,
            fmt::format("start at least {} ranks", *std::max_element(members.begin(), members.end()) + 1));
      }
    }
    const auto own = std::find(members.begin(), members.end(), world.rank);
    if (own == members.end())
      bad(Errc::kInvalidArgument, fmt::format("rank {} is not in group '{}' ([{}])", world.rank, name, fmt::join(members, ", ")), user,
          "run every rank with its own file");
    const auto group_rank = static_cast<int>(own - members.begin());
    auto group = std::make_unique<RankGroup>(name, group_rank, static_cast<int>(members.size()), world.timeout_seconds);
    if (members.size() > 1) {
      // Gloo writes to sockets whose other end may be gone: that has to be an error here, not the end of the process.
      struct sigaction pipe_action {};
      if (::sigaction(SIGPIPE, nullptr, &pipe_action) == 0 && pipe_action.sa_handler == SIG_DFL) std::signal(SIGPIPE, SIG_IGN);
      group->guarded([&] {
        if (!out->place_) {
          out->place_ = Rendezvous::open(world);
          device = gloo::transport::tcp::CreateDevice(gloo::transport::tcp::attr(out->place_->address().c_str()));
        }
        const auto context = std::make_shared<gloo::rendezvous::Context>(group_rank, static_cast<int>(members.size()));
        context->setTimeout(std::max(Millis(1), millis(world.timeout_seconds) / 5));  // Gloo waits five times as long for connections
        const std::unique_ptr<GroupStore> store = out->place_->store(group->name());
        context->connectFullMesh(*store, device);
        context->setTimeout(millis(world.timeout_seconds));
        group->link_ = std::make_unique<RankGroup::Link>(RankGroup::Link{context});
        // The next session may meet at the same place: nothing of this one is left there when any rank goes on.
        group->barrier(context->getTimeout());
        store->clear();
        group->barrier(context->getTimeout());
      });
      partners.insert(members.begin(), members.end());
    }
    out->groups_.emplace(name, std::move(group));
  }
  if (out->place_) {
    std::set<int> others;
    for (const auto& [name, members] : known) {
      for (const std::int64_t member : members) {
        if (member < world.size && partners.count(static_cast<int>(member)) == 0) others.insert(static_cast<int>(member));
      }
    }
    out->place_->done(partners, others);
  }
  return out;
}

Ranks::Ranks() = default;
Ranks::~Ranks() {
  // Once somebody is missing, or has failed, waiting in the other groups is in vain.
  bool complete = true;
  for (const auto& [name, group] : groups_) complete = complete && group->leave();
  if (complete && place_) place_->linger();
}

RankGroup& Ranks::group(const std::string& name) {
  const auto it = groups_.find(name);
  if (it == groups_.end()) bad(Errc::kRuntime, fmt::format("group '{}' is not connected", name));
  return *it->second;
}

}  // namespace airloom::runtime
