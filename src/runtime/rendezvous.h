// Where ranks find each other before they are connected: a folder that all of them see, or a key-value server inside rank 0.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gloo/rendezvous/store.h>

#include "airloom/runtime.h"

namespace airloom::runtime {

/// At least one.
inline std::chrono::milliseconds millis(double seconds) {
  return std::chrono::milliseconds(std::max<std::int64_t>(1, static_cast<std::int64_t>(seconds * 1000)));
}

/// The keys of one group, named after its ranks. A key is written once. All functions throw Exception; they wait as long as the world
/// says, not as long as Gloo says.
class GroupStore : public gloo::rendezvous::Store {
 public:
  /// Removes what this rank wrote; to be called when all ranks of the group have read it.
  virtual void clear() {}
};

class Rendezvous {
 public:
  /// At the folder or the address that `world` names. Throws Exception: kInvalidArgument, kNotFound, kIo, kRuntime.
  static std::unique_ptr<Rendezvous> open(const World& world);

  Rendezvous() = default;
  virtual ~Rendezvous() = default;
  Rendezvous(const Rendezvous&) = delete;
  Rendezvous& operator=(const Rendezvous&) = delete;

  /// Must not outlive this object.
  [[nodiscard]] virtual std::unique_ptr<GroupStore> store(const std::string& group) = 0;
  /// This machine's address on the way to the other ranks, as digits.
  [[nodiscard]] virtual std::string address() const = 0;
  /// This rank has met all of its groups. `partners` are the ranks in them, `others` those that may still meet elsewhere.
  virtual void done(const std::set<int>& partners, const std::set<int>& others) = 0;
  /// Before a session that went well ends: gives the others that were named to done() the time to meet.
  virtual void linger() noexcept {}
};

/// Serves keys and values to the clients below on a thread of its own, until it is destroyed. What is no client's is cut off.
class RendezvousServer {
 public:
  /// Listens on the first address of `host`. Throws Exception (kInvalidArgument, kRuntime) when it cannot.
  RendezvousServer(const std::string& host, int port, int size);
  ~RendezvousServer();
  RendezvousServer(const RendezvousServer&) = delete;
  RendezvousServer& operator=(const RendezvousServer&) = delete;

  /// The given one, or the one that the system chose for 0.
  [[nodiscard]] int port() const;
  /// Waits until these ranks have said that they are done; false when one is lost or the time is over.
  [[nodiscard]] bool wait_done(const std::set<int>& ranks, std::chrono::milliseconds timeout);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// One rank's connection to a RendezvousServer.
class RendezvousClient {
 public:
  /// Waits for a server to come. Throws Exception (kInvalidArgument, kRuntime).
  RendezvousClient(const std::string& host, int port, int rank, int size, std::chrono::milliseconds timeout);
  ~RendezvousClient();
  RendezvousClient(const RendezvousClient&) = delete;
  RendezvousClient& operator=(const RendezvousClient&) = delete;

  void set(const std::string& key, const std::vector<char>& data);
  /// Waits until somebody sets it. `rank` is what the error says is missing.
  std::vector<char> get(const std::string& key, const std::string& rank, std::chrono::milliseconds timeout);
  void done();
  /// This end's address, as digits.
  [[nodiscard]] std::string address() const;

 private:
  class Deadline;
  /// False when the other end closed or reset the connection.
  bool send_all(const std::string& bytes, const Deadline& deadline) const;
  bool receive_all(char* data, std::size_t size, const Deadline& deadline) const;
  bool greet(int rank, int size, const Deadline& deadline);
  struct Reply {
    std::uint8_t status = 0;
    std::vector<char> data;
  };
  /// Null when the connection is lost.
  std::unique_ptr<Reply> ask(std::uint8_t question, const std::string& key, const char* data, std::size_t size, const Deadline& deadline);
  [[noreturn]] void lost() const;

  std::string where_;
  std::chrono::milliseconds timeout_;
  int fd_ = -1;
};

}  // namespace airloom::runtime
