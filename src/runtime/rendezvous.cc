#include "runtime/rendezvous.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/op.h"

namespace airloom::runtime {
namespace {

using Clock = std::chrono::steady_clock;
using Millis = std::chrono::milliseconds;

double seconds(Millis time) { return static_cast<double>(time.count()) / 1000; }

/// A short name that every rank derives from longer ones (FNV-1a).
std::string key_of(std::string_view name) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return fmt::format("{:016x}", hash);
}

/// Gloo's keys are "rank_3" and "3".
std::string rank_of(const std::string& key) { return key.substr(key.find('_') + 1); }

/// Files in a folder that all ranks see. A value appears whole (link), and only once: a second writer means a folder used before.
class FolderStore final : public GroupStore {
 public:
  FolderStore(std::filesystem::path folder, std::string prefix, Millis timeout)
      : folder_(std::move(folder)), prefix_(std::move(prefix)), timeout_(timeout) {}

  void set(const std::string& key, const std::vector<char>& data) override {
    const std::filesystem::path final_path = path(key);
    const std::string temporary = fmt::format("{}.{}.tmp", final_path.string(), ::getpid());
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file.write(data.data(), static_cast<std::streamsize>(data.size()));
    file.close();
    if (!file) bad(Errc::kIo, "the rendezvous folder cannot be written", folder_.string(), "all ranks need write access to it");
    const int linked = ::link(temporary.c_str(), final_path.c_str());
    const int why = errno;
    ::unlink(temporary.c_str());
    if (linked == 0) {
      written_.push_back(final_path);
      return;
    }
    if (why == EEXIST)
      bad(Errc::kInvalidArgument, fmt::format("another process is rank {} here already", rank_of(key)), folder_.string(),
          "give every run an empty rendezvous folder and every process its own rank");
    bad(Errc::kIo, std::strerror(why), final_path.string());
  }
  std::vector<char> get(const std::string& key) override {
    wait({key});
    std::ifstream file(path(key), std::ios::binary);
    std::vector<char> data{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file.is_open() || file.bad()) bad(Errc::kIo, "cannot be read", path(key).string());
    return data;
  }
  void wait(const std::vector<std::string>& keys, const Millis&) override { wait(keys); }
  void wait(const std::vector<std::string>& keys) override {
    const auto deadline = Clock::now() + timeout_;
    for (const std::string& key : keys) {
      while (::access(path(key).c_str(), R_OK) != 0) {
        if (Clock::now() >= deadline) {
          bad(Errc::kRuntime, fmt::format("rank {} did not come within {:g} s", rank_of(key), seconds(timeout_)), folder_.string(),
              "see whether it failed, or give more time");
        }
        std::this_thread::sleep_for(Millis(5));
      }
    }
  }
  void clear() override {
    for (const std::filesystem::path& file : written_) {
      if (::unlink(file.c_str()) != 0 && errno != ENOENT) bad(Errc::kIo, std::strerror(errno), file.string());
    }
    written_.clear();
  }

 private:
  [[nodiscard]] std::filesystem::path path(const std::string& key) const { return folder_ / (prefix_ + "-" + key); }

  std::filesystem::path folder_;
  std::string prefix_;
  Millis timeout_;
  std::vector<std::filesystem::path> written_;
};

class FolderRendezvous final : public Rendezvous {
 public:
  explicit FolderRendezvous(const World& world) : folder_(world.store), job_(world.job), timeout_(millis(world.timeout_seconds)) {
    std::error_code ignored;
    if (!std::filesystem::is_directory(folder_, ignored)) bad(Errc::kNotFound, "the rendezvous folder does not exist", folder_);
  }
  std::unique_ptr<GroupStore> store(const std::string& group) override {
    const std::string prefix = job_.empty() ? key_of(group) : fmt::format("airloom-{}-{}", key_of(job_), key_of(group));
    return std::make_unique<FolderStore>(folder_, prefix, timeout_);
  }
  [[nodiscard]] std::string address() const override { return "127.0.0.1"; }
  void done(const std::set<int>&, const std::set<int>&) override {}

 private:
  std::string folder_;
  std::string job_;
  Millis timeout_;
};

// The protocol of server and clients. A client asks, and gets one reply before it asks again:
//   question  kind (1 byte), length of the key, length of the value (4 bytes each, little-endian), key, value
//   reply     status (1 byte), length of the value (4 bytes), value
enum Question : std::uint8_t { kHello = 'H', kSet = 'S', kGet = 'G', kDone = 'D' };
enum Answer : std::uint8_t { kFine = '+', kTaken = 'T', kOtherSize = 'N', kLost = 'L', kFull = 'F' };
constexpr std::string_view kGreeting = "airloom rendezvous 1";
constexpr std::size_t kQuestionHead = 9;
constexpr std::size_t kReplyHead = 5;
constexpr std::size_t kMaxKey = 64;
constexpr std::size_t kMaxValue = std::size_t{1} << 20;     // a rank's addresses, below 200 bytes for each other rank
constexpr std::size_t kMaxStored = std::size_t{256} << 20;  // all values of 1024 ranks
constexpr std::ptrdiff_t kStrangers = 64;                   // connections that may be open without a greeting
constexpr Millis kGreetingTime{2000};

void put32(std::string& out, std::size_t number) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>((number >> shift) & 0xFF));
}
std::uint32_t get32(const char* at) {
  std::uint32_t out = 0;
  for (int i = 3; i >= 0; --i) out = out << 8 | static_cast<unsigned char>(at[i]);
  return out;
}
std::string reply_of(std::uint8_t status, std::string_view data = {}) {
  std::string out(1, static_cast<char>(status));
  put32(out, data.size());
  return out.append(data);
}

std::string place(const std::string& host, int port) {
  return fmt::format(fmt::runtime(host.find(':') == std::string::npos ? "{}:{}" : "[{}]:{}"), host, port);
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

/// Null when the name service is not there at the moment.
Addresses addresses_of(const std::string& host, int port, bool listening) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICSERV | (listening ? AI_PASSIVE : 0);
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found);
  if (failure == EAI_AGAIN && !listening) return nullptr;
  if (failure != 0)
    bad(Errc::kInvalidArgument, fmt::format("has no address: {}", ::gai_strerror(failure)), host, "MASTER_ADDR is rank 0's machine");
  return Addresses(found);
}

int open_socket(const addrinfo& address) {
  const int fd = ::socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address.ai_protocol);
  if (fd < 0) return fd;
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // a port of a run that just ended; not one that is listened on
  return fd;
}

class TcpStore final : public GroupStore {
 public:
  TcpStore(RendezvousClient& client, std::string prefix, Millis timeout) : client_(client), prefix_(std::move(prefix)), timeout_(timeout) {}
  void set(const std::string& key, const std::vector<char>& data) override { client_.set(prefix_ + "-" + key, data); }
  std::vector<char> get(const std::string& key) override {
    wait({key});
    return values_[key];
  }
  void wait(const std::vector<std::string>& keys, const Millis&) override { wait(keys); }
  void wait(const std::vector<std::string>& keys) override {
    for (const std::string& key : keys) {
      if (values_.count(key) == 0) values_[key] = client_.get(prefix_ + "-" + key, rank_of(key), timeout_);
    }
  }

 private:
  RendezvousClient& client_;
  std::string prefix_;
  Millis timeout_;
  std::map<std::string, std::vector<char>> values_;  // Gloo waits for a key and then gets it
};

class TcpRendezvous final : public Rendezvous {
 public:
  explicit TcpRendezvous(const World& world)
      : server_(world.rank == 0 ? std::make_unique<RendezvousServer>(world.master, world.port, world.size) : nullptr),
        client_(world.master, world.port, world.rank, world.size, millis(world.timeout_seconds)),
        timeout_(millis(world.timeout_seconds)) {}

  std::unique_ptr<GroupStore> store(const std::string& group) override {
    return std::make_unique<TcpStore>(client_, key_of(group), timeout_);
  }
  [[nodiscard]] std::string address() const override { return client_.address(); }
  void done(const std::set<int>& partners, const std::set<int>& others) override {
    client_.done();
    if (!server_) return;
    // A server that is not needed any more makes room for the next session's.
    if (!server_->wait_done(partners, timeout_)) bad(Errc::kRuntime, "not all ranks met", {}, "see what the other ranks report");
    others_ = others;
    if (others_.empty()) server_.reset();
  }
  void linger() noexcept override {
    if (server_) static_cast<void>(server_->wait_done(others_, timeout_));
  }

 private:
  std::unique_ptr<RendezvousServer> server_;
  RendezvousClient client_;
  Millis timeout_;
  std::set<int> others_;
};

}  // namespace

std::unique_ptr<Rendezvous> Rendezvous::open(const World& world) {
  if (!world.store.empty()) return std::make_unique<FolderRendezvous>(world);
  if (!world.master.empty()) return std::make_unique<TcpRendezvous>(world);
  bad(Errc::kInvalidArgument, "the ranks have no place to meet", {},
      "set AIRLOOM_STORE to an empty folder that all ranks see, or MASTER_ADDR and MASTER_PORT to an address of rank 0's machine and a "
      "free port");
}

struct RendezvousServer::Impl {
  struct Client {
    int fd = -1;
    Clock::time_point greets_until;
    int rank = -1;            // until it has greeted
    std::string in, out;      // bytes that wait for the rest of a question, or for room
    std::string waiting_for;  // a key that nobody has set yet
    bool done = false;
    bool gone = false;
  };

  explicit Impl(int size) : world(size) {}
  ~Impl() {
    if (thread.joinable()) {
      stopped = true;
      const std::uint64_t one = 1;
      static_cast<void>(::write(wake, &one, sizeof one));  // fails only when it is set already
      thread.join();
    }
    for (const Client& client : clients) ::close(client.fd);
    if (listener >= 0) ::close(listener);
    if (wake >= 0) ::close(wake);
  }

  void listen_on(const std::string& host, int wanted) {
    const Addresses list = addresses_of(host, wanted, true);
    int why = EADDRNOTAVAIL;
    for (const addrinfo* a = list.get(); a != nullptr && listener < 0; a = a->ai_next) {
      const int fd = open_socket(*a);
      if (fd >= 0 && ::bind(fd, a->ai_addr, a->ai_addrlen) == 0 && ::listen(fd, SOMAXCONN) == 0) {
        listener = fd;
        break;
      }
      why = errno;
      if (fd >= 0) ::close(fd);
      if (why == EADDRINUSE) break;
    }
    if (listener < 0) {
      if (why == EADDRINUSE)
        bad(Errc::kRuntime, "another program uses this port", place(host, wanted), "set MASTER_PORT to a free one, the same on all ranks");
      if (why == EADDRNOTAVAIL)
        bad(Errc::kInvalidArgument, "is no address of this machine, which has rank 0", host,
            "set MASTER_ADDR to one, or start rank 0 there");
      bad(Errc::kRuntime, fmt::format("rank 0 cannot listen: {}", std::strerror(why)), place(host, wanted));
    }
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    if (::getsockname(listener, reinterpret_cast<sockaddr*>(&own), &length) != 0) bad(Errc::kRuntime, std::strerror(errno), host);
    // The port is at one place in both families.
    port = ntohs(reinterpret_cast<const sockaddr_in*>(&own)->sin_port);
    wake = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake < 0) bad(Errc::kRuntime, std::strerror(errno), "eventfd");
    thread = std::thread([this] { serve(); });
  }

  void serve() {
    while (!stopped) {
      std::vector<pollfd> events = {{wake, POLLIN, 0}, {listener, static_cast<short>(Clock::now() < accepts_from ? 0 : POLLIN), 0}};
      int wait = events[1].events == 0 ? 100 : -1;
      for (const Client& client : clients) {
        events.push_back({client.fd, static_cast<short>(client.out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
        if (client.rank < 0) wait = wait < 0 ? 500 : std::min(wait, 500);
      }
      if (::poll(events.data(), events.size(), wait) < 0 && errno != EINTR) std::this_thread::sleep_for(Millis(100));  // no memory
      std::size_t at = 2;
      for (Client& client : clients) {
        const short seen = events[at++].revents;
        if (!client.gone && (seen & (POLLIN | POLLHUP | POLLERR)) != 0) read(client);
        if (!client.gone && (seen & POLLOUT) != 0) flush(client);
        if (client.rank < 0 && Clock::now() >= client.greets_until) client.gone = true;
      }
      clean();
      if ((events[1].revents & POLLIN) != 0) accept_one();
    }
  }

  void accept_one() {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) accepts_from = Clock::now() + Millis(100);  // out of descriptors
      return;
    }
    const auto is_stranger = [](const Client& client) { return client.rank < 0; };
    if (std::count_if(clients.begin(), clients.end(), is_stranger) >= kStrangers) {
      const auto oldest = std::find_if(clients.begin(), clients.end(), is_stranger);
      ::close(oldest->fd);
      clients.erase(oldest);
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Client& client = clients.emplace_back();
    client.fd = fd;
    client.greets_until = Clock::now() + kGreetingTime;
  }

  /// Takes what has come, and answers when it is a whole question.
  void read(Client& client) {
    std::array<char, 65536> buffer;
    const ssize_t count = ::recv(client.fd, buffer.data(), buffer.size(), 0);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) client.gone = true;
    if (count <= 0) return;
    client.in.append(buffer.data(), static_cast<std::size_t>(count));
    const bool stranger = client.rank < 0;
    // No client asks before it has the reply to its last question.
    if (client.done || !client.out.empty() || !client.waiting_for.empty()) {
      client.gone = true;
      return;
    }
    if (client.in.size() < kQuestionHead) return;
    const std::size_t key_size = get32(client.in.data() + 1);
    const std::size_t value_size = get32(client.in.data() + 5);
    if (key_size > kMaxKey || value_size > (stranger ? 8 : kMaxValue) || client.in.size() > kQuestionHead + key_size + value_size) {
      client.gone = true;
      return;
    }
    if (client.in.size() < kQuestionHead + key_size + value_size) return;
    const std::string question = std::exchange(client.in, {});
    const std::string key = question.substr(kQuestionHead, key_size);
    const std::string value = question.substr(kQuestionHead + key_size);
    const auto kind = static_cast<std::uint8_t>(question[0]);
    if (stranger) {
      if (kind == kHello && key == kGreeting && value.size() == 8) {
        greet(client, get32(value.data()), get32(value.data() + 4));
      } else {
        client.gone = true;
      }
    } else if (kind == kSet && !key.empty()) {
      set(client, key, value);
    } else if (kind == kGet && !key.empty()) {
      client.waiting_for = key;
      answer_waiting(client);
    } else if (kind == kDone) {
      client.done = true;
      say(client, reply_of(kFine));
      note(met, client.rank);
    } else {
      client.gone = true;
    }
  }

  void greet(Client& client, std::uint32_t rank, std::uint32_t size) {
    if (size != static_cast<std::uint32_t>(world) || rank >= size) return say(client, reply_of(kOtherSize, std::to_string(world)));
    const int number = static_cast<int>(rank);
    const std::lock_guard lock(mutex);
    // A rank that is done wants the server of the next session, which is yet to come.
    if (met.count(number) != 0) {
      client.gone = true;
      return;
    }
    if (!greeted.insert(number).second) return say(client, reply_of(kTaken));
    client.rank = number;
    say(client, reply_of(kFine, kGreeting));
  }

  void set(Client& client, const std::string& key, const std::string& value) {
    if (stored + value.size() > kMaxStored || values.size() >= kMaxStored / 256) return say(client, reply_of(kFull));
    if (!values.emplace(key, value).second) return say(client, reply_of(kTaken));
    stored += value.size();
    say(client, reply_of(kFine));
    for (Client& other : clients) {
      if (other.waiting_for == key && !other.gone) answer_waiting(other);
    }
  }

  void answer_waiting(Client& client) {
    if (client.waiting_for.empty()) return;
    const auto found = values.find(client.waiting_for);
    if (found != values.end()) {
      client.waiting_for.clear();
      say(client, reply_of(kFine, found->second));
      return;
    }
    const std::lock_guard lock(mutex);
    if (lost.empty()) return;
    client.waiting_for.clear();
    say(client, reply_of(kLost, std::to_string(*lost.begin())));
  }

  void say(Client& client, const std::string& bytes) {
    client.out += bytes;
    flush(client);
  }
  void flush(Client& client) {
    while (!client.out.empty()) {
      const ssize_t count = ::send(client.fd, client.out.data(), client.out.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        if (errno != EAGAIN) client.gone = true;
        return;
      }
      client.out.erase(0, static_cast<std::size_t>(count));
    }
  }

  void note(std::set<int>& ranks, int rank) {
    const std::lock_guard lock(mutex);
    ranks.insert(rank);
    changed.notify_all();
  }

  /// Closes the connections that ended. A rank that left too early will not come again: nobody needs to wait for it.
  void clean() {
    bool missing = false;
    for (auto it = clients.begin(); it != clients.end();) {
      if (!it->gone) {
        ++it;
        continue;
      }
      if (it->rank >= 0 && !it->done) {
        note(lost, it->rank);
        missing = true;
      }
      ::close(it->fd);
      it = clients.erase(it);
    }
    if (!missing) return;
    for (Client& client : clients) answer_waiting(client);
  }

  int world;
  int listener = -1;
  int wake = -1;
  int port = 0;
  std::atomic<bool> stopped = false;

  // The thread's own.
  std::list<Client> clients;
  std::map<std::string, std::string> values;
  std::size_t stored = 0;
  Clock::time_point accepts_from;

  std::mutex mutex;
  std::condition_variable changed;
  std::set<int> greeted, met, lost;  // ranks; guarded by mutex
  std::thread thread;
};

RendezvousServer::RendezvousServer(const std::string& host, int port, int size) : impl_(std::make_unique<Impl>(size)) {
  impl_->listen_on(host, port);
}
RendezvousServer::~RendezvousServer() = default;

int RendezvousServer::port() const { return impl_->port; }

bool RendezvousServer::wait_done(const std::set<int>& ranks, Millis timeout) {
  const auto met = [&] { return std::includes(impl_->met.begin(), impl_->met.end(), ranks.begin(), ranks.end()); };
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait_for(lock, timeout, [&] { return met() || !impl_->lost.empty(); });
  return met();
}

class RendezvousClient::Deadline {
 public:
  explicit Deadline(Millis time) : until_(Clock::now() + time) {}
  [[nodiscard]] bool over() const { return Clock::now() >= until_; }
  /// False when the time is over first.
  [[nodiscard]] bool wait(int fd, short events) const {
    while (true) {
      const auto left = std::chrono::ceil<Millis>(until_ - Clock::now()).count();
      pollfd event{fd, events, 0};
      const int count = left <= 0 ? 0 : ::poll(&event, 1, static_cast<int>(std::min<std::int64_t>(left, 1000)));
      if (count > 0) return true;
      if (left <= 0) return false;
    }
  }

 private:
  Clock::time_point until_;
};

namespace {
struct Late {};  // a reply that does not come in time

/// TCP can connect a socket to itself when the port is one that the system hands out and nobody listens.
bool is_own_end(int fd) {
  sockaddr_storage own{};
  sockaddr_storage other{};
  socklen_t own_length = sizeof own;
  socklen_t other_length = sizeof other;
  return ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_length) == 0 &&
         ::getpeername(fd, reinterpret_cast<sockaddr*>(&other), &other_length) == 0 && own_length == other_length &&
         std::memcmp(&own, &other, own_length) == 0;
}
}  // namespace

RendezvousClient::RendezvousClient(const std::string& host, int port, int rank, int size, Millis timeout)
    : where_(place(host, port)), timeout_(timeout) {
  const Deadline deadline(timeout);
  int why = 0;
  bool named = true;
  try {
    while (!deadline.over()) {
      const Addresses list = addresses_of(host, port, false);
      named = list != nullptr;
      for (const addrinfo* a = list.get(); a != nullptr; a = a->ai_next) {
        fd_ = open_socket(*a);
        if (fd_ < 0) {
          why = errno;
          continue;
        }
        why = ::connect(fd_, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
        if (why == EINPROGRESS) {
          if (!deadline.wait(fd_, POLLOUT)) throw Late{};
          socklen_t length = sizeof why;
          ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &why, &length);
        }
        if (why == 0 && !is_own_end(fd_) && greet(rank, size, deadline)) return;
        ::close(fd_);
        fd_ = -1;
      }
      std::this_thread::sleep_for(Millis(20));
    }
  } catch (const Late&) {
    why = why == EINPROGRESS ? ETIMEDOUT : why;
  } catch (...) {
    if (fd_ >= 0) ::close(fd_);
    throw;
  }
  if (fd_ >= 0) ::close(fd_);
  const std::string reason = !named ? "the name service does not answer" : why == 0 ? "no rendezvous of this run" : std::strerror(why);
  bad(Errc::kRuntime, fmt::format("rank 0 did not answer within {:g} s: {}", seconds(timeout), reason), where_,
      "see whether it failed; MASTER_ADDR is its machine, MASTER_PORT a port that the other machines reach");
}

RendezvousClient::~RendezvousClient() {
  if (fd_ >= 0) ::close(fd_);
}

bool RendezvousClient::send_all(const std::string& bytes, const Deadline& deadline) const {
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t count = ::send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (count >= 0) {
      at += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN) {
      if (!deadline.wait(fd_, POLLOUT)) throw Late{};
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

bool RendezvousClient::receive_all(char* data, std::size_t size, const Deadline& deadline) const {
  for (std::size_t at = 0; at < size;) {
    const ssize_t count = ::recv(fd_, data + at, size - at, 0);
    if (count > 0) {
      at += static_cast<std::size_t>(count);
    } else if (count < 0 && errno == EAGAIN) {
      if (!deadline.wait(fd_, POLLIN)) throw Late{};
    } else if (count == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

std::unique_ptr<RendezvousClient::Reply> RendezvousClient::ask(std::uint8_t question, const std::string& key, const char* data,
                                                               std::size_t size, const Deadline& deadline) {
  std::string bytes(1, static_cast<char>(question));
  put32(bytes, key.size());
  put32(bytes, size);
  bytes += key;
  bytes.append(data, size);
  std::array<char, kReplyHead> head{};
  if (!send_all(bytes, deadline) || !receive_all(head.data(), head.size(), deadline)) return nullptr;
  auto out = std::make_unique<Reply>();
  out->status = static_cast<std::uint8_t>(head[0]);
  const std::size_t length = get32(head.data() + 1);
  if (std::string_view("+TNLF").find(head[0]) == std::string_view::npos || length > kMaxValue)
    bad(Errc::kRuntime, "another program answers here, no rank of airloom", where_,
        "set MASTER_PORT to a port that is free on rank 0's machine");
  out->data.resize(length);
  if (!receive_all(out->data.data(), length, deadline)) return nullptr;
  return out;
}

bool RendezvousClient::greet(int rank, int size, const Deadline& deadline) {
  std::string own;
  put32(own, static_cast<std::size_t>(rank));
  put32(own, static_cast<std::size_t>(size));
  const auto reply = ask(kHello, std::string(kGreeting), own.data(), own.size(), deadline);
  if (!reply) return false;
  if (reply->status == kTaken)
    bad(Errc::kInvalidArgument, fmt::format("another process is rank {} here already", rank), where_,
        "give every run its own port and every process its own rank");
  if (reply->status == kOtherSize)
    bad(Errc::kInvalidArgument,
        fmt::format("this is rank {} of {}, but rank 0 runs with {} ranks", rank, size,
                    std::string(reply->data.begin(), reply->data.end())),
        where_, "start all ranks with the same size, and every run with its own port");
  return reply->status == kFine && std::string_view(reply->data.data(), reply->data.size()) == kGreeting;
}

void RendezvousClient::lost() const { bad(Errc::kRuntime, "rank 0 ended before all ranks had met", where_, "see what it reports"); }

void RendezvousClient::set(const std::string& key, const std::vector<char>& data) {
  if (key.size() > kMaxKey || data.size() > kMaxValue)
    bad(Errc::kRuntime, fmt::format("a key of {} bytes with {} bytes is too large for the rendezvous", key.size(), data.size()), where_);
  try {
    const auto reply = ask(kSet, key, data.data(), data.size(), Deadline(timeout_));
    if (!reply) lost();
    if (reply->status == kTaken) bad(Errc::kInvalidArgument, fmt::format("another process wrote '{}' already", key), where_);
    if (reply->status != kFine) bad(Errc::kRuntime, "the rendezvous is full", where_);
  } catch (const Late&) {
    bad(Errc::kRuntime, fmt::format("rank 0 did not answer within {:g} s", seconds(timeout_)), where_, "see whether it failed");
  }
}

std::vector<char> RendezvousClient::get(const std::string& key, const std::string& rank, Millis timeout) {
  if (key.size() > kMaxKey) bad(Errc::kRuntime, fmt::format("a key of {} bytes is too large for the rendezvous", key.size()), where_);
  try {
    auto reply = ask(kGet, key, nullptr, 0, Deadline(timeout));
    if (!reply) lost();
    if (reply->status == kLost)
      bad(Errc::kRuntime, fmt::format("rank {} ended before all ranks had met", std::string(reply->data.begin(), reply->data.end())),
          where_, "see what it reports");
    return std::move(reply->data);
  } catch (const Late&) {
    bad(Errc::kRuntime, fmt::format("rank {} did not come within {:g} s", rank, seconds(timeout)), where_,
        "see whether it failed, or give more time");
  }
}

void RendezvousClient::done() {
  try {
    if (!ask(kDone, {}, nullptr, 0, Deadline(timeout_))) lost();
  } catch (const Late&) {
    bad(Errc::kRuntime, fmt::format("rank 0 did not answer within {:g} s", seconds(timeout_)), where_, "see whether it failed");
  }
}

std::string RendezvousClient::address() const {
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  std::array<char, NI_MAXHOST> text{};
  if (::getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &length) != 0) bad(Errc::kRuntime, std::strerror(errno), where_);
  const int failure = ::getnameinfo(reinterpret_cast<const sockaddr*>(&own), length, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
  if (failure != 0) bad(Errc::kRuntime, ::gai_strerror(failure), where_);
  return text.data();
}

}  // namespace airloom::runtime
