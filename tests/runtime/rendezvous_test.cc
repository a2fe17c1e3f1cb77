// The server through which ranks meet, its clients, and what is no client.
#include "runtime/rendezvous.h"

#include <array>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "airloom/error.h"

namespace airloom::runtime::testing {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kHere = "127.0.0.1";
constexpr milliseconds kLong{20000};

std::vector<char> bytes(const std::string& text) { return {text.begin(), text.end()}; }

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Exception& error) {
    return error.error().text();
  }
  return "no error";
}
void expect_error(const std::string& text, const std::function<void()>& body) {
  const std::string error = error_of(body);
  EXPECT_NE(error.find(text), std::string::npos) << error;
}

sockaddr_in address(int port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(static_cast<std::uint16_t>(port));
  out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return out;
}

/// A connection that speaks as it likes.
class Stranger {
 public:
  explicit Stranger(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const sockaddr_in to = address(port);
    const timeval limit{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  }
  ~Stranger() { ::close(fd_); }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

  /// The server may have closed already.
  void say(const std::string& text) const { static_cast<void>(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL)); }
  /// Whether the server ends the connection, after any replies.
  [[nodiscard]] bool is_cut_off() const {
    std::array<char, 4096> buffer{};
    ssize_t count = 0;
    while ((count = ::recv(fd_, buffer.data(), buffer.size(), 0)) > 0) {
    }
    return count == 0 || errno == ECONNRESET;
  }

 private:
  int fd_;
};

std::string question(char kind, std::uint32_t key_size, std::uint32_t value_size, const std::string& rest) {
  std::string out(1, kind);
  for (const std::uint32_t number : {key_size, value_size}) {
    for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>((number >> shift) & 0xFF));
  }
  return out + rest;
}
std::string greeting(char rank, char size) {
  return question('H', 20, 8, std::string("airloom rendezvous 1") + rank + std::string(3, '\0') + size + std::string(3, '\0'));
}

void expect_meeting(int port, int size) {
  std::vector<std::future<std::string>> ranks;
  for (int rank = 0; rank < size; ++rank) {
    ranks.push_back(std::async(std::launch::async, [port, size, rank] {
      return error_of([&] {
        RendezvousClient client(kHere, port, rank, size, kLong);
        client.set(std::to_string(rank), bytes("from " + std::to_string(rank)));
        for (int other = 0; other < size; ++other)
          EXPECT_EQ(client.get(std::to_string(other), "?", kLong), bytes("from " + std::to_string(other)));
        client.done();
      });
    }));
  }
  for (auto& rank : ranks) EXPECT_EQ(rank.get(), "no error");
}

TEST(RuntimeRendezvous, ValuesReachAllRanks) {
  RendezvousServer server(kHere, 0, 5);
  expect_meeting(server.port(), 5);
  EXPECT_TRUE(server.wait_done({0, 1, 2, 3, 4}, kLong));
}

TEST(RuntimeRendezvous, CarriesEmptyAndLargeValuesAndRefusesLarger) {
  RendezvousServer server(kHere, 0, 2);
  RendezvousClient first(kHere, server.port(), 0, 2, kLong);
  RendezvousClient second(kHere, server.port(), 1, 2, kLong);
  first.set("empty", {});
  first.set("large", std::vector<char>(1 << 20, 'x'));
  EXPECT_EQ(second.get("large", "0", kLong), std::vector<char>(1 << 20, 'x'));
  EXPECT_EQ(second.get("empty", "0", kLong), std::vector<char>());
  expect_error("too large", [&] { first.set("larger", std::vector<char>((1 << 20) + 1)); });
  expect_error("too large", [&] { first.set(std::string(65, 'k'), {}); });
  expect_error("another process wrote 'empty' already", [&] { second.set("empty", {}); });
  // 256 MiB are the end, not the machine's memory.
  expect_error("full", [&] {
    for (int i = 0; i < 256; ++i) first.set(std::to_string(i), std::vector<char>(1 << 20));
  });
  EXPECT_EQ(first.address(), kHere);
}

TEST(RuntimeRendezvous, CutsOffWhatIsNoRankAndKeepsServing) {
  RendezvousServer server(kHere, 0, 2);
  const std::vector<std::string> garbage = {
      "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
      std::string(1 << 20, '\xff'),
      std::string(4096, '\0'),
      question('S', 1, 1, "kv"),                             // no greeting before it
      question('H', 20, 8, "another protocol 12345678901"),  // as long as a greeting
      question('H', 0xFFFFFFFF, 8, ""),
      question('H', 20, 0xFFFFFFFF, ""),
      greeting(0, 2) + question('?', 0, 0, ""),
      greeting(1, 2) + greeting(1, 2),
  };
  for (const std::string& text : garbage) {
    const Stranger stranger(server.port());
    stranger.say(text);
    EXPECT_TRUE(stranger.is_cut_off()) << text.substr(0, 40);
  }
  const Stranger silent(server.port());
  const Stranger slow(server.port());
  slow.say(greeting(0, 2).substr(0, 12));
  RendezvousServer other(kHere, 0, 2);
  const Stranger half(other.port());
  half.say("H");
  expect_meeting(other.port(), 2);
  EXPECT_TRUE(silent.is_cut_off());
  EXPECT_TRUE(slow.is_cut_off());
}

TEST(RuntimeRendezvous, ManyIdleConnectionsDoNotKeepRanksOut) {
  RendezvousServer server(kHere, 0, 2);
  std::vector<std::unique_ptr<Stranger>> idle;
  for (int i = 0; i < 200; ++i) idle.push_back(std::make_unique<Stranger>(server.port()));
  const auto start = Clock::now();
  expect_meeting(server.port(), 2);
  EXPECT_LT(Clock::now() - start, seconds(4));
  EXPECT_TRUE(idle.front()->is_cut_off());
}

TEST(RuntimeRendezvous, AGreetedConnectionThatSpeaksGarbageCountsAsALostRank) {
  RendezvousServer server(kHere, 0, 2);
  RendezvousClient client(kHere, server.port(), 0, 2, kLong);
  const Stranger stranger(server.port());
  stranger.say(greeting(1, 2));
  auto waiting = std::async(std::launch::async, [&] { return error_of([&] { client.get("1", "1", kLong); }); });
  std::this_thread::sleep_for(milliseconds(100));
  stranger.say(question('S', 0xFFFF, 0xFFFFFFFF, "k"));
  EXPECT_NE(waiting.get().find("rank 1 ended before all ranks had met"), std::string::npos);
  EXPECT_FALSE(server.wait_done({0, 1}, kLong));
}

TEST(RuntimeRendezvous, ARankThatLeavesOrDoesNotComeIsAnErrorForTheOthers) {
  RendezvousServer server(kHere, 0, 3);
  RendezvousClient client(kHere, server.port(), 0, 3, kLong);
  const auto start = Clock::now();
  expect_error("rank 2 did not come within 0.2 s", [&] {
    RendezvousClient impatient(kHere, server.port(), 1, 3, kLong);
    impatient.get("2", "2", milliseconds(200));
  });
  expect_error("rank 1 ended before all ranks had met", [&] { client.get("1", "1", kLong); });
  EXPECT_FALSE(server.wait_done({0, 1, 2}, kLong));
  EXPECT_LT(Clock::now() - start, seconds(10));
}

TEST(RuntimeRendezvous, TheEndOfTheServerIsAnErrorForClients) {
  auto server = std::make_unique<RendezvousServer>(kHere, 0, 2);
  RendezvousClient client(kHere, server->port(), 0, 2, kLong);
  auto waiting = std::async(std::launch::async, [&] { return error_of([&] { client.get("1", "1", kLong); }); });
  std::this_thread::sleep_for(milliseconds(100));
  server.reset();
  EXPECT_NE(waiting.get().find("rank 0 ended before all ranks had met"), std::string::npos);
  expect_error("rank 0 ended", [&] { client.set("0", {}); });
  expect_error("rank 0 ended", [&] { client.done(); });
}

TEST(RuntimeRendezvous, ARankThatIsDoneWaitsForTheNextServer) {
  auto server = std::make_unique<RendezvousServer>(kHere, 0, 1);
  const int port = server->port();
  expect_meeting(port, 1);
  auto again = std::async(std::launch::async, [port] {
    return error_of([port] {
      RendezvousClient client(kHere, port, 0, 1, kLong);
      client.set("0", bytes("new"));
    });
  });
  EXPECT_EQ(again.wait_for(milliseconds(300)), std::future_status::timeout);
  server.reset();
  server = std::make_unique<RendezvousServer>(kHere, port, 1);
  EXPECT_EQ(again.get(), "no error");
}

TEST(RuntimeRendezvous, RanksThatDoNotFitAreErrors) {
  RendezvousServer server(kHere, 0, 2);
  const RendezvousClient client(kHere, server.port(), 1, 2, kLong);
  expect_error("another process is rank 1 here already", [&] { RendezvousClient(kHere, server.port(), 1, 2, kLong); });
  expect_error("this is rank 0 of 3, but rank 0 runs with 2 ranks", [&] { RendezvousClient(kHere, server.port(), 0, 3, kLong); });
}

TEST(RuntimeRendezvous, PlacesThatCannotBeAreErrors) {
  RendezvousServer server(kHere, 0, 2);
  expect_error("another program uses this port", [&] { RendezvousServer(kHere, server.port(), 2); });
  expect_error("is no address of this machine", [] { RendezvousServer("192.0.2.77", 0, 2); });
  expect_error("has no address", [] { RendezvousServer("not a host", 0, 2); });
  expect_error("has no address", [] { RendezvousClient("not a host", 1, 0, 2, kLong); });
  // Another program that says nothing, and one that answers in its own way.
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in own = address(0);
  socklen_t length = sizeof own;
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&own), length), 0);
  ASSERT_EQ(::listen(listener, 4), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&own), &length), 0);
  const int port = ntohs(own.sin_port);
  expect_error("rank 0 did not answer within 0.3 s: no rendezvous of this run",
               [&] { RendezvousClient(kHere, port, 1, 2, milliseconds(300)); });
  std::thread program([listener] {
    for (int i = 0; i < 2; ++i) {  // the silent connection of before comes first
      const int fd = ::accept(listener, nullptr, nullptr);
      static_cast<void>(::send(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL));
      if (i == 1) {
        std::array<char, 64> rest{};
        while (::recv(fd, rest.data(), rest.size(), 0) > 0) {
        }
      }
      ::close(fd);
    }
  });
  expect_error("another program answers here", [&] { RendezvousClient(kHere, port, 1, 2, kLong); });
  program.join();
  ::close(listener);
  const auto start = Clock::now();
  expect_error("rank 0 did not answer within 0.2 s: Connection refused", [&] { RendezvousClient(kHere, port, 1, 2, milliseconds(200)); });
  EXPECT_LT(Clock::now() - start, seconds(5));
}

}  // namespace
}  // namespace airloom::runtime::testing
