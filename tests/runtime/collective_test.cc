// Collectives: every rank is a thread with a session of its own, connected as processes are.
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <malloc.h>
#include <unistd.h>

#include "run.h"
#include "runtime/ranks.h"
#include "runtime/rendezvous.h"

namespace airloom::runtime::testing {
namespace {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "airloom-collective-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A port that nothing listened on a moment ago.
int free_port() { return RendezvousServer("127.0.0.1", 0, 1).port(); }

struct Answer {
  std::vector<TensorBuf> outputs;
  std::string error;
};

struct Case {
  std::function<std::string(int)> body;
  std::function<std::vector<Arg>(int)> args;
  std::map<std::string, std::vector<std::int64_t>> groups = {};
  double timeout = 20;
  std::string directory = {};  // the .air's
};

/// One answer by rank; ranks in `absent` never come.
std::vector<Answer> run_ranks(int count, const Case& what, const std::set<int>& absent = {}) {
  const TemporaryFolder folder;
  std::vector<Answer> out(static_cast<std::size_t>(count));
  // OpenVINO calls this when a model goes. With AddressSanitizer nothing else has set up glibc's own heap by then, which several threads
  // must not do at once.
  ::malloc_trim(0);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < count; ++rank) {
    if (absent.count(rank) != 0) continue;
    threads.emplace_back([&, rank] {
      Answer& answer = out[static_cast<std::size_t>(rank)];
      Options options;
      options.world = {rank, count, folder.path(), what.timeout, what.groups};
      options.directory = what.directory;
      Result<Session> session = open(what.body(rank), options);
      if (!session) {
        answer.error = session.error().text();
        return;
      }
      auto result = call(*session, what.args(rank));
      if (result) {
        answer.outputs = std::move(*result);
      } else {
        answer.error = result.error().text();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return out;
}

std::string unary(const std::string& node, const std::string& in, const std::string& out) {
  return "%x = Data() {index = 0} : " + in + "\n%y = " + node + " : " + out + "\n%NetOutput = NetOutput(input0 = %y)";
}
Case same(std::string body, std::function<std::vector<Arg>(int)> args) {
  return {[body = std::move(body)](int) { return body; }, std::move(args)};
}

TEST(RuntimeCollective, AllReduceSumsInEveryType) {
  const auto node = [](const std::string& reduction) {
    return "HcomAllReduce(x = %x) {reduction = \"" + reduction + "\", group = \"g\", fusion = 0, fusion_id = -1}";
  };
  for (const int n : {1, 2, 3, 4}) {
    for (const Answer& a : run_ranks(n, same(unary(node("sum"), "f32[5]", "f32[5]"), [](int r) {
                                       return std::vector<Arg>{f32({5}, {1.5, 2, 3, 4.0 + r, -1.0 * r})};
                                     }))) {
      ASSERT_EQ(a.error, "");
      const double ranks = n * (n - 1) / 2.0;
      EXPECT_EQ(floats(a.outputs[0]), (std::vector<double>{1.5 * n, 2.0 * n, 3.0 * n, 4.0 * n + ranks, -ranks}));
    }
  }
  constexpr std::int64_t kBig = (std::int64_t{1} << 53) + 1;
  for (const Answer& a : run_ranks(2, same(unary(node("sum"), "i64[2]", "i64[2]"), [](int r) {
                                     return std::vector<Arg>{i64({2}, {kBig, r == 0 ? std::numeric_limits<std::int64_t>::max() : 1})};
                                   }))) {
    ASSERT_EQ(a.error, "");
    EXPECT_EQ(numbers(a.outputs[0]), (Dims{2 * kBig, std::numeric_limits<std::int64_t>::min()}));
  }
  // 2048 + 1 + 1 is 2048 when every sum is rounded to float16.
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    const double big = dtype == DType::kFloat16 ? 2048 : 256;
    const std::string type = dtype == DType::kFloat16 ? "f16[3]" : "bf16[3]";
    for (const Answer& a : run_ranks(3, same(unary(node("sum"), type, type), [&](int r) {
                                       return std::vector<Arg>{arg(dtype, {3}, std::vector<double>(3, r == 0 ? big : 1.0))};
                                     }))) {
      ASSERT_EQ(a.error, "");
      EXPECT_EQ(a.outputs[0].dtype, dtype);
      EXPECT_EQ(floats(a.outputs[0]), std::vector<double>(3, big + 2));
    }
  }
  for (const Answer& a : run_ranks(2, same(unary(node("sum"), "i8[2]", "i8[2]"), [](int) {
                                     return std::vector<Arg>{arg(DType::kInt8, {2}, Dims{100, -3})};
                                   }))) {
    ASSERT_EQ(a.error, "");
    EXPECT_EQ(numbers(a.outputs[0]), (Dims{-56, -6}));
  }
}

TEST(RuntimeCollective, AllReduceKnowsMaxMinProdAndBool) {
  const auto reduced = [](const std::string& reduction, const std::string& type, const std::function<Arg(int)>& value) {
    return run_ranks(
        2, same(unary("HcomAllReduce(x = %x) {reduction = \"" + reduction + "\", group = \"g\", fusion = 0, fusion_id = -1}", type, type),
                [&](int r) { return std::vector<Arg>{value(r)}; }));
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto value = [&](int r) { return r == 0 ? f32({3}, {1, -5, nan}) : f32({3}, {2, -6, 1}); };
  for (const Answer& a : reduced("max", "f32[3]", value)) {
    ASSERT_EQ(a.error, "");
    EXPECT_EQ(floats(a.outputs[0])[0], 2);
    EXPECT_EQ(floats(a.outputs[0])[1], -5);
    EXPECT_TRUE(std::isnan(floats(a.outputs[0])[2]));
  }
  for (const Answer& a : reduced("min", "f32[3]", value)) {
    ASSERT_EQ(a.error, "");
    EXPECT_EQ(floats(a.outputs[0])[1], -6);
    EXPECT_TRUE(std::isnan(floats(a.outputs[0])[2]));
  }
  for (const Answer& a : reduced("prod", "f32[3]", value)) {
    ASSERT_EQ(a.error, "");
    EXPECT_EQ(floats(a.outputs[0])[1], 30);
  }
  for (const Answer& a : reduced("sum", "bool[3]", [](int r) { return b8({3}, {r, 0, 1}); })) {
    ASSERT_EQ(a.error, "");
    EXPECT_EQ(numbers(a.outputs[0]), (Dims{1, 0, 1}));
  }
  for (const Answer& a : reduced("max", "c64[1]", [](int) { return arg(DType::kComplex64, {1}, std::vector<Complex>{{1, 2}}); })) {
    EXPECT_NE(a.error.find("reduction \"max\" of complex64"), std::string::npos) << a.error;
  }
  // A type that no descriptor declares is seen when it comes.
  for (const std::string node : {"HcomAllReduce(x = %z) {reduction = \"max\", group = \"g\", fusion = 0, fusion_id = -1}",
                                 "HcomReduceScatter(x = %z) {reduction = \"max\", group = \"g\", rank_size = 2}"}) {
    const std::string body = "%x = Data() {index = 0} : f32[2]\n%z = Complex(real = %x, imag = %x) : undef[2]\n%y = " + node +
                             " : undef[2]\n%NetOutput = NetOutput(input0 = %y)";
    for (const Answer& a : run_ranks(2, same(body, [](int) { return std::vector<Arg>{f32({2}, {1, 2})}; })))
      EXPECT_NE(a.error.find("reduction \"max\" of complex64"), std::string::npos) << a.error;
  }
}

TEST(RuntimeCollective, GatherScatterAndExchangeFollowRankOrder) {
  for (const Answer& a :
       run_ranks(3, same(unary("HcomAllGather(x = %x) {rank_size = 3, group = \"g\"}", "i32[2, 1]", "i32[6, 1]"), [](int r) {
                   return std::vector<Arg>{i32({2, 1}, {10 * r, 10 * r + 1})};
                 }))) {
    ASSERT_EQ(a.error, "");
    EXPECT_EQ(a.outputs[0].shape, (Dims{6, 1}));
    EXPECT_EQ(numbers(a.outputs[0]), (Dims{0, 1, 10, 11, 20, 21}));
  }
  const std::vector<Answer> scattered = run_ranks(
      3, same(unary("HcomReduceScatter(x = %x) {reduction = \"sum\", group = \"g\", rank_size = 3}", "f16[3, 2]", "f16[1, 2]"), [](int r) {
        return std::vector<Arg>{arg(DType::kFloat16, {3, 2}, std::vector<double>{r == 0 ? 2048.0 : 1.0, 1, 2, 3, 4, 5.0 + r})};
      }));
  const std::vector<std::vector<double>> sums = {{2050, 3}, {6, 9}, {12, 18}};
  for (std::size_t r = 0; r < 3; ++r) {
    ASSERT_EQ(scattered[r].error, "");
    EXPECT_EQ(scattered[r].outputs[0].shape, (Dims{1, 2}));
    EXPECT_EQ(floats(scattered[r].outputs[0]), sums[r]);
  }
  const std::vector<Answer> exchanged = run_ranks(2, same(unary("HcomAllToAll(x = %x) {group = \"g\"}", "i64[4]", "i64[4]"), [](int r) {
                                                    return std::vector<Arg>{i64({4}, {10 * r, 10 * r + 1, 10 * r + 2, 10 * r + 3})};
                                                  }));
  ASSERT_EQ(exchanged[0].error + exchanged[1].error, "");
  EXPECT_EQ(numbers(exchanged[0].outputs[0]), (Dims{0, 1, 10, 11}));
  EXPECT_EQ(numbers(exchanged[1].outputs[0]), (Dims{2, 3, 12, 13}));
  for (const Answer& a : run_ranks(
           2, same(unary("HcomReduceScatter(x = %x) {reduction = \"sum\", group = \"g\", rank_size = 2}", "f32[3]", "f32[1]"), [](int) {
             return std::vector<Arg>{f32({3}, {1, 2, 3})};
           }))) {
    EXPECT_NE(a.error.find("does not divide into 2 ranks"), std::string::npos) << a.error;
  }
}

const char* const kExchange = R"(
  %x = Data() {index = 0} : f32[-1, 2]
  %sc = Data() {index = 1} : i64[2]
  %sd = Data() {index = 2} : i64[2]
  %rc = Data() {index = 3} : i64[2]
  %rd = Data() {index = 4} : i64[2]
  %y = HcomAllToAllV(send_data = %x, send_counts = %sc, send_displacements = %sd, recv_counts = %rc, recv_displacements = %rd) {group = "g"} : f32[-1, 2]
  %NetOutput = NetOutput(input0 = %y)
)";

TEST(RuntimeCollective, AllToAllVMovesElementsByCountAndDisplacement) {
  // Rank 0 keeps nothing and sends row 1; rank 1 sends two rows to rank 0 and keeps one. Rank 1 receives in reverse order.
  const std::vector<Answer> out = run_ranks(
      2, same(kExchange, [](int r) {
        if (r == 0)
          return std::vector<Arg>{f32({2, 2}, {1, 2, 3, 4}), i64({2}, {0, 2}), i64({2}, {0, 2}), i64({2}, {0, 4}), i64({2}, {0, 0})};
        return std::vector<Arg>{f32({3, 2}, {5, 6, 7, 8, 9, 10}), i64({2}, {4, 2}), i64({2}, {2, 0}), i64({2}, {2, 2}), i64({2}, {2, 0})};
      }));
  ASSERT_EQ(out[0].error + out[1].error, "");
  EXPECT_EQ(out[0].outputs[0].shape, (Dims{2, 2}));
  EXPECT_EQ(floats(out[0].outputs[0]), (std::vector<double>{7, 8, 9, 10}));
  EXPECT_EQ(floats(out[1].outputs[0]), (std::vector<double>{5, 6, 3, 4}));
}

TEST(RuntimeCollective, AllToAllVRefusesCountsThatDoNotFit) {
  const auto told =
      run_ranks(2, same(kExchange, [](int) {
                  return std::vector<Arg>{f32({1, 2}, {1, 2}), i64({2}, {1, 1}), i64({2}, {0, 1}), i64({2}, {2, 0}), i64({2}, {0, 0})};
                }));
  for (const Answer& a : told) EXPECT_NE(a.error.find("the ranks send [1, 1] elements"), std::string::npos) << a.error;
  const auto beyond =
      run_ranks(2, same(kExchange, [](int) {
                  return std::vector<Arg>{f32({1, 2}, {1, 2}), i64({2}, {1, 2}), i64({2}, {0, 1}), i64({2}, {1, 1}), i64({2}, {0, 1})};
                }));
  for (const Answer& a : beyond) EXPECT_NE(a.error.find("are not within 2 elements"), std::string::npos) << a.error;
}

TEST(RuntimeCollective, BroadcastTakesTheRootsList) {
  const std::string body = R"(
    %a = Data() {index = 0} : f32[2]
    %b = Data() {index = 1} : i64[1]
    %y = HcomBroadcast(x0 = %a, x1 = %b) {root_rank = 1, group = "g"} : (y0 = f32[2], y1 = i64[1])
    %NetOutput = NetOutput(input0 = %y, input1 = %y:1)
  )";
  for (const Answer& a : run_ranks(3, same(body, [](int r) {
                                     return std::vector<Arg>{f32({2}, {1.0 * r, 2.0 * r}), i64({1}, {100 + r})};
                                   }))) {
    ASSERT_EQ(a.error, "");
    EXPECT_EQ(floats(a.outputs[0]), (std::vector<double>{1, 2}));
    EXPECT_EQ(numbers(a.outputs[1]), (Dims{101}));
  }
}

TEST(RuntimeCollective, GroupsAreTakenByNameAndInTheirOrder) {
  Case what;
  what.body = [](int rank) {
    const std::string tp = rank % 2 == 0 ? "even" : "odd";
    return "%x = Data() {index = 0} : f32[1]\n%y = HcomAllGather(x = %x) {rank_size = 2, group = \"" + tp + "\"} : f32[2]\n" +
           "%z = HcomAllReduce(x = %x) {reduction = \"sum\", group = \"everyone\", fusion = 0, fusion_id = -1} : f32[1]\n%NetOutput = "
           "NetOutput(input0 = %y, input1 = %z)";
  };
  what.args = [](int rank) { return std::vector<Arg>{f32({1}, {1.0 * rank})}; };
  const TemporaryFolder folder;
  std::ofstream(folder.path() + "/model_relation_config.json")
      << R"({"comm_group": [{"group_name": "even", "group_rank_list": "[2, 0]"}, {"group_name": "odd", "group_rank_list": "[1, 3]"}]})";
  for (const bool from_file : {false, true}) {
    what.groups.clear();
    if (!from_file) what.groups = {{"even", {2, 0}}, {"odd", {1, 3}}};
    what.directory = from_file ? folder.path() : "";
    const std::vector<Answer> out = run_ranks(4, what);
    for (std::size_t r = 0; r < 4; ++r) {
      ASSERT_EQ(out[r].error, "");
      EXPECT_EQ(floats(out[r].outputs[0]), (r % 2 == 0 ? std::vector<double>{2, 0} : std::vector<double>{1, 3}));
      EXPECT_EQ(floats(out[r].outputs[1]), std::vector<double>{6});
    }
  }
}

TEST(RuntimeCollective, ComputesBetweenCollectivesAndKeepsTheirOrder) {
  // The first collective waits for plugin work, the second does not: their order is the graph's on every rank.
  const std::string body = R"(
    %x = Data() {index = 0} : f32[2, 2]
    %e = MatMulV2(x1 = %x, x2 = %x) : f32[2, 2]
    %a = HcomAllReduce(x = %e) {reduction = "sum", group = "g", fusion = 0, fusion_id = -1} : f32[2, 2]
    %b = HcomAllReduce(x = %x) {reduction = "max", group = "g", fusion = 0, fusion_id = -1} : f32[2, 2]
    %y = Add(x1 = %a, x2 = %b) : f32[2, 2]
    %NetOutput = NetOutput(input0 = %y)
  )";
  for (const Answer& a : run_ranks(2, same(body, [](int r) { return std::vector<Arg>{f32({2, 2}, {1.0 + r, 0, 0, 1})}; }))) {
    ASSERT_EQ(a.error, "");
    EXPECT_EQ(floats(a.outputs[0]), (std::vector<double>{7, 0, 0, 3}));
  }
}

const char* const kSum = "HcomAllReduce(x = %x) {reduction = \"sum\", group = \"g\", fusion = 0, fusion_id = -1}";

TEST(RuntimeCollective, DifferentShapesAreAnErrorOnEveryRank) {
  const auto out = run_ranks(2, same(unary(kSum, "f32[-1]", "f32[-1]"), [](int r) {
                               return std::vector<Arg>{f32({2 + r}, std::vector<double>(static_cast<std::size_t>(2 + r), 1))};
                             }));
  for (const Answer& a : out) EXPECT_NE(a.error.find("the ranks of group 'g' differ"), std::string::npos) << a.error;
}

TEST(RuntimeCollective, AMissingRankIsAnErrorInTime) {
  Case what = same(unary(kSum, "f32[1]", "f32[1]"), [](int) { return std::vector<Arg>{f32({1}, {1})}; });
  what.timeout = 0.3;
  const auto start = std::chrono::steady_clock::now();
  const auto out = run_ranks(2, what, {1});
  EXPECT_NE(out[0].error.find("rank 1 did not come within 0.3 s"), std::string::npos) << out[0].error;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(RuntimeCollective, SessionsMeetAtOnePlaceOneAfterAnother) {
  const TemporaryFolder folder;
  const int port = free_port();
  for (const bool over_tcp : {false, true}) {
    std::array<std::string, 2> errors;
    const auto rank = [&](int number) {
      Options options;
      options.world = {number, 2, over_tcp ? "" : folder.path(), 20, {}};
      options.world.master = "127.0.0.1";
      options.world.port = port;
      std::vector<Session> sessions;  // that of an earlier turn stays open
      for (int turn = 0; turn < 3; ++turn) {
        Result<Session> session = open(unary(kSum, "f32[1]", "f32[1]"), options);
        if (session) {
          const auto out = call(*session, {f32({1}, {1.0 + turn})});
          if (!out) {
            errors[static_cast<std::size_t>(number)] += out.error().text();
          } else if (floats((*out)[0]) != std::vector<double>{2.0 + 2 * turn}) {
            errors[static_cast<std::size_t>(number)] += "wrong sum";
          }
          sessions.push_back(std::move(*session));
        } else {
          errors[static_cast<std::size_t>(number)] += session.error().text();
        }
      }
    };
    std::thread other(rank, 1);
    rank(0);
    other.join();
    EXPECT_EQ(errors, (std::array<std::string, 2>{})) << (over_tcp ? "over TCP" : "in a folder");
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  }
}

TEST(RuntimeCollective, RankZeroServesGroupsThatItIsNotIn) {
  const int port = free_port();
  std::array<std::string, 4> errors;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 4; ++rank) {
    threads.emplace_back([&, rank] {
      // The first two are done with everything when the others come.
      if (rank >= 2) std::this_thread::sleep_for(std::chrono::milliseconds(500));
      Options options;
      options.world = {rank, 4, "", 20, {{"a", {0, 1}}, {"b", {2, 3}}}};
      options.world.master = "127.0.0.1";
      options.world.port = port;
      const std::string group = rank < 2 ? "a" : "b";
      Result<Session> session = open(
          unary("HcomAllReduce(x = %x) {reduction = \"sum\", group = \"" + group + "\", fusion = 0, fusion_id = -1}", "f32[1]", "f32[1]"),
          options);
      if (!session) {
        errors[static_cast<std::size_t>(rank)] = session.error().text();
        return;
      }
      const auto out = call(*session, {f32({1}, {1})});
      if (!out) errors[static_cast<std::size_t>(rank)] = out.error().text();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(errors, (std::array<std::string, 4>{}));
}

TEST(RuntimeCollective, ARankThatLeavesIsAnErrorForTheOther) {
  const TemporaryFolder folder;
  const std::string body = unary(kSum, "f32[1]", "f32[1]");
  std::string first;
  std::string second;
  const auto rank = [&](int number) {
    Options options;
    options.world = {number, 2, folder.path(), 1, {}};
    Result<Session> session = open(body, options);
    ASSERT_TRUE(session) << session.error().text();
    if (number == 1) return;  // leaves without taking part
    for (std::string* text : {&first, &second}) {
      const auto out = call(*session, {f32({1}, {1})});
      if (!out) *text = out.error().text();
    }
  };
  std::thread other(rank, 1);
  rank(0);
  other.join();
  EXPECT_NE(first.find("y: HcomAllReduce"), std::string::npos) << first;
  EXPECT_NE(first.find("another rank ended, failed or did not answer within 1 s"), std::string::npos) << first;
  EXPECT_NE(second.find("lost a rank in an earlier call"), std::string::npos) << second;
}

TEST(RuntimeCollective, WorldsThatCannotBeAreErrors) {
  const std::string body = unary(kSum, "f32[1]", "f32[1]");
  const auto error = [&](const World& world, const std::string& text) {
    Options options;
    options.world = world;
    const Result<Session> session = open(body, options);
    ASSERT_FALSE(session);
    EXPECT_NE(session.error().text().find(text), std::string::npos) << session.error().text();
  };
  error({}, "airloom run --ranks N");
  error({2, 2, "/tmp", 1, {}}, "rank 2 of 2");
  error({0, 2, "", 1, {}}, "no place to meet");
  error({0, 2, "/no/such/folder", 1, {}}, "does not exist");
  error({0, 2, "/tmp", 0, {}}, "a time-out of 0 s");
  error({0, 2, "/tmp", 1, {{"g", {0, 0}}}}, "lists a rank twice");
  error({0, 2, "/tmp", 1, {{"g", {0, 5}}}}, "start at least 6 ranks");
  error({0, 2, "/tmp", 1, {{"g", {1}}}}, "rank 0 is not in group 'g'");
  for (const Answer& a : run_ranks(2, same(unary("HcomAllGather(x = %x) {rank_size = 4, group = \"g\"}", "f32[1]", "f32[4]"),
                                           [](int) { return std::vector<Arg>{f32({1}, {1})}; }))) {
    EXPECT_NE(a.error.find("rank_size is 4, but group 'g' has 2 ranks"), std::string::npos) << a.error;
  }
}

TEST(RuntimeCollective, ReadsTheRelationConfig) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/model_relation_config.json";
  const auto read = [&](const std::string& text) -> std::string {
    std::ofstream(path, std::ios::trunc) << text;
    try {
      std::string out;
      for (const auto& [name, ranks] : read_groups(path)) out += fmt::format("{}=[{}] ", name, fmt::join(ranks, ","));
      return out;
    } catch (const Exception& error) {
      return error.error().message;
    }
  };
  EXPECT_EQ(read(R"({"comm_group": [{"group_name": "tp", "group_rank_list": "[1, 0]"}, {"group_name": "dp", "group_rank_list": [2]}]})"),
            "dp=[2] tp=[1,0] ");
  EXPECT_EQ(read("{}"), "");
  EXPECT_EQ(read("[1]"), "is not JSON, or no object");
  EXPECT_EQ(read("{\"comm"), "is not JSON, or no object");
  EXPECT_EQ(read(R"({"comm_group": {}})"), "comm_group is no list");
  EXPECT_EQ(read(R"({"comm_group": [1]})"), "a comm_group has no group_name");
  EXPECT_EQ(read(R"({"comm_group": [{"group_name": "tp", "group_rank_list": "[0"}]})"), "group_rank_list of 'tp' is no list of ranks");
  EXPECT_EQ(read(R"({"comm_group": [{"group_name": "tp", "group_rank_list": "[-1]"}]})"), "a rank of a comm_group is no number from 0 on");
}

TEST(RuntimeCollective, FindsItsPlaceInTheLaunchersEnvironment) {
  const std::vector<std::string> names = {"AIRLOOM_STORE",
                                          "AIRLOOM_RANK",
                                          "AIRLOOM_WORLD_SIZE",
                                          "OMPI_COMM_WORLD_RANK",
                                          "OMPI_COMM_WORLD_SIZE",
                                          "OMPI_COMM_WORLD_LOCAL_SIZE",
                                          "PMIX_SERVER_TMPDIR",
                                          "PMIX_NAMESPACE",
                                          "PMI_RANK",
                                          "PMI_SIZE",
                                          "RANK",
                                          "WORLD_SIZE",
                                          "MASTER_ADDR",
                                          "MASTER_PORT",
                                          "TORCHELASTIC_USE_AGENT_STORE"};
  using Variables = std::map<std::string, std::string>;
  const auto with = [&](const Variables& values, const Variables& more = {}) {
    for (const std::string& name : names) ::unsetenv(name.c_str());
    for (const auto& [name, value] : values) ::setenv(name.c_str(), value.c_str(), 1);
    for (const auto& [name, value] : more) ::setenv(name.c_str(), value.c_str(), 1);
    const Result<World> world = world_from_environment();
    for (const std::string& name : names) ::unsetenv(name.c_str());
    if (!world) return world.error().message;
    std::string out = fmt::format("{}/{} {}", world->rank, world->size, world->store);
    if (!world->job.empty()) out += "#" + world->job;
    if (!world->master.empty() || world->port != 0) out += fmt::format("{}:{}", world->master, world->port);
    return out;
  };
  EXPECT_EQ(with({}), "0/0 ");
  EXPECT_EQ(with({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}), "1/2 ");
  EXPECT_EQ(with({{"AIRLOOM_STORE", "/s"}, {"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}), "1/2 /s");
  EXPECT_EQ(with({{"AIRLOOM_STORE", "/s"}, {"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}}), "3/4 /s");
  EXPECT_EQ(with({{"AIRLOOM_STORE", "/s"}, {"AIRLOOM_RANK", "0"}, {"AIRLOOM_WORLD_SIZE", "1"}}), "0/1 /s");
  EXPECT_EQ(with({{"AIRLOOM_STORE", "/s"}}), "is set, but no launcher's rank is");
  EXPECT_EQ(with({{"AIRLOOM_STORE", "/s"}, {"PMI_RANK", "1"}}), "one is set without the other");
  EXPECT_EQ(with({{"AIRLOOM_STORE", "/s"}, {"PMI_RANK", "2"}, {"PMI_SIZE", "2"}}), "rank 2 of 2");
  EXPECT_EQ(with({{"AIRLOOM_STORE", "/s"}, {"PMI_RANK", "x"}, {"PMI_SIZE", "2"}}), "'x' is no number from 0 on");

  const Variables mpirun = {{"OMPI_COMM_WORLD_RANK", "3"},
                            {"OMPI_COMM_WORLD_SIZE", "4"},
                            {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                            {"PMIX_SERVER_TMPDIR", "/tmp/ompi"},
                            {"PMIX_NAMESPACE", "job1"},
                            {"PMI_RANK", "0"},
                            {"PMI_SIZE", "9"}};
  EXPECT_EQ(with(mpirun), "3/4 /tmp/ompi#job1");
  EXPECT_EQ(with(mpirun, {{"AIRLOOM_STORE", "/s"}}), "3/4 /s");
  EXPECT_EQ(with(mpirun, {{"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}}), "3/4 ");  // on several machines
  EXPECT_EQ(with(mpirun, {{"PMIX_NAMESPACE", ""}}), "3/4 ");
  EXPECT_EQ(with(mpirun, {{"RANK", "0"}, {"WORLD_SIZE", "1"}}), "3/4 /tmp/ompi#job1");
  const Variables master = {{"MASTER_ADDR", "host"}, {"MASTER_PORT", "29500"}};
  EXPECT_EQ(with(mpirun, master), "3/4 host:29500");
  EXPECT_EQ(with(master), "0/0 ");
  const Variables torchrun = {{"MASTER_ADDR", "host"}, {"MASTER_PORT", "29500"}, {"RANK", "1"}, {"WORLD_SIZE", "2"}};
  EXPECT_EQ(with(torchrun), "1/2 host:29500");
  EXPECT_EQ(with(torchrun, mpirun), "1/2 host:29500");
  EXPECT_EQ(with(torchrun, {{"AIRLOOM_RANK", "4"}, {"AIRLOOM_WORLD_SIZE", "5"}}), "4/5 host:29500");
  EXPECT_EQ(with(torchrun, {{"AIRLOOM_STORE", "/s"}}), "1/2 /s");
  EXPECT_EQ(with(torchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}}), "1/2 host:29501");
  EXPECT_EQ(with(torchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}, {"MASTER_PORT", "65535"}}), "1/2 host:65534");
  EXPECT_EQ(with(torchrun, {{"MASTER_PORT", ""}}), "is set without MASTER_PORT");
  EXPECT_EQ(with(torchrun, {{"MASTER_PORT", "65536"}}), "65536 is no port");
  EXPECT_EQ(with(torchrun, {{"MASTER_PORT", "http"}}), "'http' is no number from 0 on");
}

}  // namespace
}  // namespace airloom::runtime::testing
