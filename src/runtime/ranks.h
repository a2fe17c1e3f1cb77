// The ranks that a session talks to: groups of processes, connected over Gloo.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "airloom/runtime.h"
#include "runtime/tensor.h"

namespace airloom::ir {
struct Module;
}

namespace airloom::runtime {

class Rendezvous;

enum class Reduction : std::uint8_t { kSum, kProd, kMax, kMin };

/// out[i] = a[i] combined with b[i]; integers wrap, bool sums are "or" and products "and". Null when `dtype` has no such reduction
/// (complex max) or has to be widened first (float16, bfloat16).
using Combine = void (*)(void* out, const void* a, const void* b, std::size_t n);
Combine combine_of(DType dtype, Reduction reduction);

/// What a rank is about to do. All ranks of the group show theirs to each other before data moves, so that a mismatch is an error
/// that says who differs, not a wait for data that never comes.
struct Announcement {
  std::string_view type;  // operator type, one of RankGroup's callers' literals
  DType dtype = DType::kUndefined;
  std::int64_t elements = 0;
  std::int64_t detail = 0;                // reduction or root
  std::vector<std::int64_t> send_counts;  // by receiver; empty unless they differ
};

/// One group, seen from one of its ranks. All functions throw Exception (kRuntime) when a rank is gone, differs or is late.
class RankGroup {
 public:
  RankGroup(std::string name, int rank, int size, double timeout_seconds);
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] int rank() const { return rank_; }  // within the group
  [[nodiscard]] int size() const { return size_; }

  /// Compares with the other ranks' announcements. Returns what each rank sends to this one, when send_counts are given.
  std::vector<std::int64_t> agree(const Announcement& own);
  /// `out` holds size() blocks of `nbytes`, in rank order.
  void all_gather(const void* in, std::size_t nbytes, void* out);
  /// Byte counts by rank; the blocks lie one after another.
  void all_to_all(const void* in, std::span<const std::int64_t> send, void* out, std::span<const std::int64_t> receive);
  void broadcast(void* data, std::size_t nbytes, int root);
  void all_reduce(void* data, std::size_t elements, std::size_t item_size, Combine combine);
  /// Waits for the others at the end of a session, so that nobody closes a connection that still carries data.
  /// At most two seconds; false when somebody did not come.
  bool leave() noexcept;

 private:
  friend class Ranks;
  struct Link;
  template <class F>
  void guarded(F&& f);
  void barrier(std::chrono::milliseconds timeout);

  std::string name_;
  int rank_;
  int size_;
  double timeout_seconds_;
  bool broken_ = false;
  std::uint32_t tag_ = 0;
  std::unique_ptr<Link> link_;  // null in a group of one
};

/// The groups of one session.
class Ranks {
 public:
  /// Meets the other ranks of every group that `module` names; null when it has no collectives. Throws Exception.
  static std::unique_ptr<Ranks> meet(const ir::Module& module, const World& world, const std::string& directory);
  Ranks();
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;
  [[nodiscard]] RankGroup& group(const std::string& name);

 private:
  std::unique_ptr<Rendezvous> place_;  // null when every group has one rank
  std::map<std::string, std::unique_ptr<RankGroup>> groups_;
};

/// comm_group of a model_relation_config.json: ranks by group name. Throws Exception.
std::map<std::string, std::vector<std::int64_t>> read_groups(const std::string& path);

}  // namespace airloom::runtime
