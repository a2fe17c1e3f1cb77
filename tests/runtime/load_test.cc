// Files: written, loaded, damaged. A damaged file may still be a legal one: loading or running it gives an error or values, never a crash.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include <sys/stat.h>
#include <unistd.h>

#include "air/air.h"
#include "air/encode.h"
#include "run.h"
#include "runtime/op.h"

namespace airloom::runtime::testing {
namespace {

namespace fs = std::filesystem;
namespace pb = air::detail::pb;

/// A module that uses one part of the format, and values it computes with. Sizes never come from constants: a flipped bit there asks for
/// terabytes or, worse, for what the machine just has (see AbsurdSizes).
struct Case {
  std::string name;
  std::string text;
  std::vector<Arg> args;
  std::vector<double> want;  // of output 0
  bool runs = true;          // false: a flipped bit may leave a loop that never ends
};

std::vector<Case> cases() {
  const Arg square = f32({2, 2}, {1, 2, 3, 4});
  std::vector<Case> out;
  out.push_back({"attributes",
                 R"(module "m" {note = "text", version = 3}
graph "m" {
  %x = Data() {index = 0} : f32[2, 2]
  %w = Const() {value = f32[2] [3.0, 4.0]} : f32[2]
  %y = Mul(x1 = %x, x2 = %w) {_text = "some text", _number = -7, _real = 0.5, _flag = true, _type = dtype.f16, _ints = [1, -2], _reals = [0.5, 1.5], _flags = [true, false], _texts = ["a", "b"], _types = [dtype.f32, dtype.i64], _lists = [[1, 2], [3]], _tensor = i32[2] [1, 2], _none = ints[]} : f32[2, 2]
  %perm = Const() {value = i64[2] [1, 0]} : i64[2]
  %turned = Transpose(x = %y, perm = %perm) : f32[2, 2]
  %half = Const() {value = f16[2] [1.0, 2.0]} : f16[2]
  %wide = Cast(x = %half) {dst_type = 0} : f32[2]
  %sum = Add(x1 = %turned, x2 = %wide) : f32[2, 2]
  %mask = Const() {value = bool[2] [true, false]} : bool[2]
  %small = Const() {value = i8[2] [1, -1]} : i8[2]
  %exact = Const() {value = f64[] [0.5]} : f64[]
  %z = Const() {value = c64[1] [(1.0 2.0)]} : c64[1]
  %chosen = Select(condition = %mask, x1 = %sum, x2 = %y) : f32[2, 2]
  %p = SoftmaxV2(x = %sum) {axes = [-1]} : f32[2, 2]
  %NetOutput = NetOutput(input0 = %sum, input1 = %p, input2 = %small, input3 = %exact, input4 = %z) after(%chosen)
}
)",
                 {square},
                 {4, 11, 9, 18}});
  out.push_back({"weights",
                 R"(module "m" {}
graph "m" {
  %x = Data() {index = 0} : f32[2]
  %a = FileConstant() {shape = [2], dtype = dtype.f32, file_path = "a.bin"} : f32[2]
  %b = FileConstant() {shape = [2], dtype = dtype.f32, file_path = "", location = "b.bin", offset = 4, length = 8} : f32[2]
  %c = Const() {location = "c.bin", length = 8} : f32[2]
  %xa = Add(x1 = %x, x2 = %a) : f32[2]
  %bc = Mul(x1 = %b, x2 = %c) : f32[2]
  %y = Sub(x1 = %xa, x2 = %bc) : f32[2]
  %NetOutput = NetOutput(input0 = %y)
}
)",
                 {f32({2}, {10, 20})},
                 {10, 19}});
  out.push_back({"branches",
                 R"(module "m" {}
graph "root" {
  %c = Data() {index = 0} : bool[]
  %x = Data() {index = 1} : f32[2]
  %y = If(cond = %c, input0 = %x) : (output0 = f32[2]) graphs("yes", "no")
  %NetOutput = NetOutput(input0 = %y)
}
graph "yes" {
  %yes_x = Data() {index = 0, _parent_node_index = 1} : f32[2]
  %yes_y = PartitionedCall(args0 = %yes_x) : (output0 = f32[2]) graphs("deep")
  %yes_out = NetOutput(input0 = %yes_y)
}
graph "no" {
  %no_x = Data() {index = 0, _parent_node_index = 1} : f32[2]
  %no_y = Square(x = %no_x) : f32[2]
  %no_out = NetOutput(input0 = %no_y)
}
graph "deep" {
  %deep_x = Data() {index = 0} : f32[2]
  %deep_y = Neg(x = %deep_x) : f32[2]
  %deep_out = NetOutput(input0 = %deep_y)
}
)",
                 {b8({}, {1}), f32({2}, {2, 3})},
                 {-2, -3}});
  out.push_back({"loop",
                 R"(module "m" {}
graph "root" {
  %i = Data() {index = 0} : i64[]
  %x = Data() {index = 1} : f32[2]
  %w = While(input0 = %i, input1 = %x) : (output0 = i64[], output1 = f32[2]) graphs("cond", "body")
  %NetOutput = NetOutput(input0 = %w:1)
}
graph "cond" {
  %c_i = Data() {index = 0, _parent_node_index = 0} : i64[]
  %c_zero = Const() {value = i64[] [0]} : i64[]
  %c_more = Greater(x1 = %c_i, x2 = %c_zero) : bool[]
  %c_out = NetOutput(input0 = %c_more)
}
graph "body" {
  %b_i = Data() {index = 0, _parent_node_index = 0} : i64[]
  %b_x = Data() {index = 1, _parent_node_index = 1} : f32[2]
  %b_one = Const() {value = i64[] [1]} : i64[]
  %b_next = Sub(x1 = %b_i, x2 = %b_one) : i64[]
  %b_twice = Add(x1 = %b_x, x2 = %b_x) : f32[2]
  %b_out = NetOutput(input0 = %b_next, input1 = %b_twice)
}
)",
                 {i64({}, {3}), f32({2}, {1, 2})},
                 {8, 16},
                 false});
  out.push_back({"state",
                 R"(module "m" {}
graph "m" {
  %x = Data() {index = 0} : f32[2]
  %cache = RefData() {index = 1} : f32[3, 2]
  %at = Data() {index = 2} : i64[1]
  %deep = Unsqueeze(x = %x) {axes = [0]} : f32[1, 2]
  %put = ScatterUpdate(var = %cache, indices = %at, updates = %deep) : (var = f32[3, 2])
  %axes = Const() {value = i64[1] [0]} : i64[1]
  %sum = ReduceSum(x = %put, axes = %axes) : f32[2]
  %NetOutput = NetOutput(input0 = %sum)
}
)",
                 {f32({2}, {1, 2}), f32({3, 2}, {9, 9, 1, 1, 1, 1}), i64({1}, {0})},
                 {3, 4}});
  out.push_back({"dynamic",
                 R"(module "m" {}
graph "m" {
  %x = Data() {index = 0} : f32[s0, 2]
  %w = Const() {value = f32[2, 2] [1.0, 2.0, 3.0, 4.0]} : f32[2, 2]
  %y = MatMulV2(x1 = %x, x2 = %w) : f32[s0, 2]
  %dims = Shape(x = %y) {dtype = dtype.i64} : i64[2]
  %first = Const() {value = i64[] [0]} : i64[]
  %n = Gather(x = %dims, indices = %first) : i64[]
  %rows = Pack(x0 = %n) {axis = 0, N = 1} : i64[1]
  %zero = Const() {value = f32[] [0.5]} : f32[]
  %column = Fill(dims = %rows, value = %zero) : f32[s0]
  %deep = Unsqueeze(x = %column) {axes = [1]} : f32[s0, 1]
  %out = Add(x1 = %y, x2 = %deep) : f32[s0, 2]
  %NetOutput = NetOutput(input0 = %out)
}
)",
                 {f32({1, 2}, {1, 1})},
                 {4.5, 6.5}});
  return out;
}

class RuntimeLoad : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("airloom_load_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    floats("a.bin", {1, 2});
    floats("b.bin", {0, 1, 1, 9});
    floats("c.bin", {1, 3});
  }
  void TearDown() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void save(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary | std::ios::trunc).write(content.data(), static_cast<std::streamsize>(content.size()));
  }
  void floats(const std::string& name, const std::vector<float>& content) const {
    save(name, std::string(reinterpret_cast<const char*>(content.data()), content.size() * sizeof(float)));
  }

  static std::string written(const std::string& text) {
    const Result<ir::Module> module = ir::parse(text);
    if (!module) throw Exception(module.error());
    std::string bytes;
    const Status status = air::write(*module, [&](const void* data, std::size_t size) -> Status {
      bytes.append(static_cast<const char*>(data), size);
      return {};
    });
    if (!status) throw Exception(status.error());
    return bytes;
  }

  Result<Session> load_file(const std::string& bytes) const {
    save("m.air", bytes);
    Options options;
    options.threads = 1;
    return Session::load(path("m.air"), options);
  }
  /// The same without the way through the disk, for the many.
  Result<Session> load(const std::string& bytes, bool reference) const {
    const auto kept = std::make_shared<const std::string>(bytes);
    Result<ir::Module> module = air::read_bytes(kept->data(), kept->size(), kept);
    if (!module) return tl::unexpected(module.error());
    Options options;
    options.reference = reference;
    options.threads = 1;
    options.directory = folder_.string();
    return Session::from_module(std::move(*module), options);
  }

  /// Loads and runs; the error, or "" when there were values, all of which are read.
  std::string outcome(const std::string& bytes, const Case& c, bool reference) const {
    Result<Session> session = load(bytes, reference);
    if (!session) {
      EXPECT_FALSE(session.error().message.empty());
      return session.error().text();
    }
    if (!c.runs) return "";
    const auto out = call(*session, c.args);
    if (!out) {
      EXPECT_FALSE(out.error().message.empty());
      return out.error().text();
    }
    EXPECT_EQ(out->size(), session->outputs().size());
    for (const TensorBuf& buf : *out) {
      const auto* bytes_of = static_cast<const unsigned char*>(buf.data.get());
      unsigned sum = 0;
      for (std::size_t i = 0; i < buf.nbytes; ++i) sum += bytes_of[i];
      read_ = read_ + sum;
      EXPECT_EQ(buf.nbytes, static_cast<std::size_t>(tensor(buf).nbytes()));
    }
    return "";
  }

  fs::path folder_;
  mutable volatile unsigned read_ = 0;
};

/// One damaged copy. What was done to it is in the failure's text.
using Damage = std::function<std::string(std::string& bytes, std::mt19937_64& random)>;

std::string flip_bit(std::string& bytes, std::mt19937_64& random) {
  const std::size_t bit = random() % (bytes.size() * 8);
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  return fmt::format("bit {} flipped", bit);
}
std::string overwrite_run(std::string& bytes, std::mt19937_64& random) {
  const std::size_t from = random() % bytes.size();
  const std::size_t size = std::min<std::size_t>(1 + random() % 24, bytes.size() - from);
  for (std::size_t i = 0; i < size; ++i) bytes[from + i] = static_cast<char>(random());
  return fmt::format("{} bytes at {} overwritten", size, from);
}
std::string insert_length(std::string& bytes, std::mt19937_64& random) {
  static const std::string kLengths[] = {"\xFF\xFF\xFF\xFF\x07", "\xFF\xFF\xFF\xFF\x0F", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
                                         "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"};
  const std::size_t at = random() % bytes.size();
  const std::size_t which = random() % std::size(kLengths);
  bytes.replace(at, 1, kLengths[which]);
  return fmt::format("byte {} replaced by the huge number {}", at, which);
}
std::string cut_out(std::string& bytes, std::mt19937_64& random) {
  const std::size_t from = random() % bytes.size();
  const std::size_t size = 1 + random() % 16;
  bytes.erase(from, size);
  return fmt::format("{} bytes at {} removed", size, from);
}

TEST_F(RuntimeLoad, WrittenFilesRun) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    for (const bool reference : {false, true}) {
      Result<Session> session = reference ? load(written(c.text), true) : load_file(written(c.text));
      ASSERT_TRUE(session) << session.error().text();
      const auto out = call(*session, c.args);
      ASSERT_TRUE(out) << out.error().text();
      EXPECT_EQ(testing::floats((*out)[0]), c.want);
    }
  }
}

TEST_F(RuntimeLoad, EveryTruncationIsAnError) {
  for (const Case& c : cases()) {
    const std::string bytes = written(c.text);
    for (std::size_t i = 0; i < bytes.size(); i += i % 16 == 0 ? 1 : 3) {
      const Result<Session> cut = load(bytes.substr(0, i), true);
      ASSERT_FALSE(cut) << c.name << " cut after " << i << " of " << bytes.size();
      EXPECT_FALSE(cut.error().message.empty());
    }
    for (std::size_t i = 0; i < 16; ++i) {
      const Result<Session> cut = load_file(bytes.substr(0, bytes.size() * i / 16));
      ASSERT_FALSE(cut) << c.name << " cut at " << i << "/16";
      EXPECT_NE(cut.error().text().find("m.air"), std::string::npos) << cut.error().text();
    }
  }
}

TEST_F(RuntimeLoad, DamagedFilesNeverCrash) {
  const struct {
    Damage damage;
    int reference, plugin;  // how many copies of each case
  } kinds[] = {{flip_bit, 500, 15}, {overwrite_run, 150, 5}, {insert_length, 100, 0}, {cut_out, 100, 0}};
  std::mt19937_64 random(20240613);
  int refused = 0;
  int alive = 0;
  for (const Case& c : cases()) {
    const std::string bytes = written(c.text);
    for (const auto& kind : kinds) {
      for (int i = 0; i < kind.reference + kind.plugin; ++i) {
        std::string copy = bytes;
        const std::string what = kind.damage(copy, random);
        SCOPED_TRACE(c.name + ": " + what);
        (outcome(copy, c, i < kind.reference).empty() ? alive : refused)++;
      }
    }
  }
  // Both happen: the files get as far as the operators, and most damage is noticed.
  EXPECT_GT(alive, 300);
  EXPECT_GT(refused, 1000);
}

TEST_F(RuntimeLoad, RandomBytesAreAnError) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) {
    std::string bytes(random() % 2048, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    if (i % 3 == 1) bytes.insert(0, "\x0A\x01m");    // behind a name
    if (i % 3 == 2) bytes = "\x3A\xFF\x0F" + bytes;  // as a graph
    const Result<Session> session = load_file(bytes);
    ASSERT_FALSE(session) << i;
    EXPECT_EQ(session.error().code, Errc::kParse) << session.error().text();
    EXPECT_NE(session.error().text().find("m.air"), std::string::npos) << session.error().text();
  }
}

/// Changes that bits rarely make: the message stays well formed and says something else.
TEST_F(RuntimeLoad, ChangedMessagesNeverCrash) {
  int alive = 0;
  int refused = 0;
  for (const Case& c : cases()) {
    pb::ModelDef model;
    ASSERT_TRUE(model.ParseFromString(written(c.text)));
    int checked = 0;
    const auto check = [&](const std::string& what) {
      SCOPED_TRACE(c.name + ": " + what);
      const bool reference = ++checked % 80 != 0;  // the plugin compiles slowly
      (outcome(model.SerializeAsString(), c, reference).empty() ? alive : refused)++;
    };
    const pb::ModelDef whole = model;
    const auto change = [&](const std::string& what, const auto& f) {
      f();
      check(what);
      model = whole;
    };
    for (int g = 0; g < whole.graph_size(); ++g) {
      for (int n = 0; n < whole.graph(g).op_size(); ++n) {
        const pb::OpDef& op = whole.graph(g).op(n);
        const auto mine = [&] { return model.mutable_graph(g)->mutable_op(n); };
        change(op.name() + " removed", [&] { model.mutable_graph(g)->mutable_op()->DeleteSubrange(n, 1); });
        change(op.name() + " twice", [&] { *model.mutable_graph(g)->add_op() = op; });
        for (const auto& [key, value] : op.attr()) {
          change(op.name() + " without " + key, [&, k = key] { mine()->mutable_attr()->erase(k); });
          change(op.name() + " with a text as " + key, [&, k = key] { (*mine()->mutable_attr())[k].set_s("text"); });
          change(op.name() + " with an empty list as " + key, [&, k = key] { (*mine()->mutable_attr())[k].mutable_list(); });
          for (const std::int64_t number : {std::int64_t{-1}, std::int64_t{7}, INT64_MIN, INT64_MAX}) {
            change(fmt::format("{} with {} as {}", op.name(), number, key), [&, k = key] { (*mine()->mutable_attr())[k].set_i(number); });
            change(fmt::format("{} with [{}] as {}", op.name(), number, key), [&, k = key] {
              auto* list = (*mine()->mutable_attr())[k].mutable_list();
              list->Clear();
              list->set_val_type(pb::AttrDef::ListValue::VT_LIST_INT);
              list->add_i(number);
            });
          }
        }
        for (int i = 0; i < op.input_size(); ++i) {
          for (const std::string& source : {std::string(), op.name() + ":0", std::string("nobody:0"), op.input(i) + "9",
                                            whole.graph(g).op(0).name() + ":0", whole.graph(g).op(1).name() + ":0"}) {
            change(fmt::format("{} takes '{}'", op.name(), source), [&] { mine()->set_input(i, source); });
          }
        }
        if (op.input_size() > 0)
          change(op.name() + " without its last input", [&] {
            mine()->mutable_input()->RemoveLast();
            mine()->mutable_input_desc()->RemoveLast();
          });
        if (op.output_desc_size() > 0) change(op.name() + " without outputs", [&] { mine()->clear_output_desc(); });
        for (int s = 0; s < op.subgraph_name_size(); ++s) {
          for (const pb::GraphDef& other : whole.graph())
            change(op.name() + " calls " + other.name(), [&] { mine()->set_subgraph_name(s, other.name()); });
        }
        for (const bool in : {true, false}) {
          const int descs = in ? op.input_desc_size() : op.output_desc_size();
          for (int d = 0; d < descs; ++d) {
            const auto desc = [&] { return in ? mine()->mutable_input_desc(d) : mine()->mutable_output_desc(d); };
            const std::string place = fmt::format("{} {} {}", op.name(), in ? "input" : "output", d);
            for (int dtype = 0; dtype < 48; ++dtype)
              change(fmt::format("{} of type {}", place, dtype), [&] { desc()->set_dtype(static_cast<pb::DataType>(dtype)); });
            change(place + " without shape", [&] { desc()->clear_shape(); });
            for (const std::int64_t dim :
                 {std::int64_t{0}, std::int64_t{3}, std::int64_t{1} << 40, INT64_MAX, INT64_MIN, std::int64_t{-1}, std::int64_t{-2}}) {
              change(fmt::format("{} with one more dimension of {}", place, dim), [&] { desc()->mutable_shape()->add_dim(dim); });
              for (int k = 0; k < desc()->shape().dim_size(); ++k)
                change(fmt::format("{} with {} as dimension {}", place, dim, k), [&] { desc()->mutable_shape()->set_dim(k, dim); });
            }
          }
        }
      }
    }
  }
  EXPECT_GT(alive, 1000);
  EXPECT_GT(refused, 1000);
}

/// Every operator in place of another: operands, attributes and types that it does not expect.
TEST_F(RuntimeLoad, OperatorsCheckWhatTheyAreGiven) {
  int refused = 0;
  for (const Case& c : cases()) {
    if (!c.runs) continue;
    pb::ModelDef model;
    ASSERT_TRUE(model.ParseFromString(written(c.text)));
    const pb::ModelDef whole = model;
    for (int n = 0; n < whole.graph(0).op_size(); ++n) {
      const pb::OpDef& op = whole.graph(0).op(n);
      if (op.type() == "NetOutput" || op.type() == "If") continue;
      for (const std::string_view type : op_types()) {
        model.mutable_graph(0)->mutable_op(n)->set_type(std::string(type));
        SCOPED_TRACE(fmt::format("{}: {} is {}", c.name, op.name(), type));
        if (!outcome(model.SerializeAsString(), c, true).empty()) ++refused;
      }
      model = whole;
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST_F(RuntimeLoad, WeightFilesAreChecked) {
  save("empty", "");
  floats("short", {1, 2});
  save("truncated", std::string(11, 'x'));
  floats("long", {1, 2, 3, 4});
  fs::create_directory(folder_ / "folder");
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const std::string file = "FileConstant() {shape = [3], dtype = dtype.f32, file_path = ";
  const std::string place = R"(FileConstant() {shape = [3], dtype = dtype.f32, file_path = "", location = "long", )";
  const std::string constant = "Const() {length = 12, location = ";
  const struct {
    std::string node;
    Errc code;
    std::vector<std::string> texts;
  } rows[] = {
      {file + R"("missing"})", Errc::kNotFound, {"weight file missing is not in"}},
      {file + R"("../missing"})", Errc::kNotFound, {"weight file ../missing is not in"}},
      {file + R"("/missing/w"})", Errc::kNotFound, {"cannot open weight file /missing/w", "No such file"}},
      {file + R"("empty"})", Errc::kIo, {"/empty has 0 bytes, 12 at offset 0 are needed", "truncated"}},
      {file + R"("short"})", Errc::kIo, {"/short has 8 bytes, 12 at offset 0"}},
      {file + R"("truncated"})", Errc::kIo, {"/truncated has 11 bytes, 12 at offset 0"}},
      {file + R"("folder"})", Errc::kIo, {"/folder is not a regular file"}},
      {file + R"("long/w"})", Errc::kNotFound, {"weight file long/w is not in"}},
      {file + R"("pipe"})", Errc::kIo, {"/pipe is not a regular file"}},
      {file + R"(""})", Errc::kInvalidGraph, {"neither location nor file_path"}},
      {place + "offset = 5}", Errc::kIo, {"/long has 16 bytes, 12 at offset 5"}},
      {place + "offset = 17}", Errc::kIo, {"/long has 16 bytes, 12 at offset 17"}},
      {place + "offset = -4}", Errc::kIo, {"/long has 16 bytes, 12 at offset -4"}},
      {place + "offset = 9223372036854775807}", Errc::kIo, {"/long has 16 bytes, 12 at offset 9223372036854775807"}},
      {place + "length = -12}", Errc::kInvalidGraph, {"-12 bytes of weight file", "/long are recorded, shape and type need 12"}},
      {place + "length = 8}", Errc::kInvalidGraph, {"8 bytes of weight file", "/long are recorded, shape and type need 12"}},
      {place + R"(offset = "four"})", Errc::kInvalidGraph, {"attribute 'offset'", "another kind"}},
      {constant + R"("missing"})", Errc::kNotFound, {"cannot open weight file", "/missing: No such file"}},
      {constant + R"("../missing"})", Errc::kNotFound, {"cannot open weight file", "/../missing: No such file"}},
      {constant + R"("truncated"})", Errc::kIo, {"/truncated has 11 bytes, 12 at offset 0"}},
      {constant + R"("long"})", Errc::kIo, {"/long has 16 bytes, 12 at offset 0"}},
      {constant + R"("empty"})", Errc::kIo, {"/empty has 0 bytes"}},
      {constant + R"("folder"})", Errc::kIo, {"/folder is not a regular file"}},
      {constant + R"("..", note = "a folder"})", Errc::kIo, {".. is not a regular file"}},
      {constant + R"("/missing/w"})", Errc::kInvalidGraph, {"must be relative, not /missing/w"}},
      {R"(Const() {length = 16, location = "long"})", Errc::kInvalidGraph, {"16 bytes of weight file", "need 12"}},
      {"Const() {length = 12, location = 5}", Errc::kInvalidGraph, {"attribute 'location'", "another kind"}},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.node);
    const Result<Session> session = load(written("module \"m\" {}\ngraph \"m\" {\n  %weight = " + row.node + R"( : f32[3]
  %NetOutput = NetOutput(input0 = %weight)
}
)"),
                                         true);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, row.code) << session.error().text();
    EXPECT_EQ(session.error().where, "weight");
    for (const std::string& text : row.texts) EXPECT_NE(session.error().text().find(text), std::string::npos) << session.error().text();
  }
}

TEST_F(RuntimeLoad, UnreadableFilesAreErrors) {
  const Case weights = cases()[1];
  const std::string bytes = written(weights.text);
  ASSERT_TRUE(load_file(bytes));
  const auto as_somebody = [&](const std::string& name) {
    EXPECT_EQ(::chmod(path(name).c_str(), 0), 0);
    const bool root = ::geteuid() == 0;  // who may read everything
    EXPECT_TRUE(!root || ::seteuid(65534) == 0);
    Options options;
    options.reference = true;
    Result<Session> session = Session::load(path("m.air"), options);
    EXPECT_TRUE(!root || ::seteuid(0) == 0);
    EXPECT_EQ(::chmod(path(name).c_str(), 0644), 0);
    return session ? Error{} : session.error();
  };
  for (const std::string name : {"a", "b", "c"}) {
    const Error error = as_somebody(name + ".bin");
    EXPECT_EQ(error.code, Errc::kIo) << error.text();
    EXPECT_EQ(error.where, name);
    EXPECT_NE(error.message.find(name + ".bin: Permission denied"), std::string::npos) << error.text();
  }
  const Error file = as_somebody("m.air");
  EXPECT_EQ(file.code, Errc::kIo) << file.text();
  EXPECT_NE(file.text().find("m.air: cannot open: Permission denied"), std::string::npos) << file.text();
}

TEST_F(RuntimeLoad, ThingsThatAreNoGraphFile) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  fs::create_directory(folder_ / "folder");
  save("empty", "");
  const struct {
    std::string name;
    Errc code;
  } rows[] = {{"missing", Errc::kNotFound}, {"folder", Errc::kIo}, {"pipe", Errc::kIo}, {"empty", Errc::kParse}, {"a.bin", Errc::kParse}};
  for (const auto& row : rows) {
    const Result<Session> session = Session::load(path(row.name));
    ASSERT_FALSE(session) << row.name;
    EXPECT_EQ(session.error().code, row.code) << session.error().text();
    EXPECT_NE(session.error().text().find(path(row.name)), std::string::npos) << session.error().text();
  }
}

/// Messages within messages, far beyond what a stack holds.
TEST_F(RuntimeLoad, EndlessNestingIsAnError) {
  const auto field = [](int number, const std::string& content) {
    std::string out(1, static_cast<char>(number << 3 | 2));
    for (std::size_t size = content.size();; size >>= 7) {
      out += static_cast<char>((size & 0x7F) | (size > 0x7F ? 0x80 : 0));
      if (size <= 0x7F) return out + content;
    }
  };
  std::string attr;  // AttrDef.func.attr["k"].func...
  for (int i = 0; i < 3000; ++i) attr = field(10, field(2, field(1, "k") + field(2, attr)));
  std::string graph;  // AttrDef.g.attr["k"].g...
  for (int i = 0; i < 3000; ++i) graph = field(13, field(11, field(1, "k") + field(2, graph)));
  for (const std::string& deep : {attr, graph}) {
    const Result<Session> session = load(written(cases()[0].text) + field(11, field(1, "deep") + field(2, deep)), true);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, Errc::kParse);
    EXPECT_NE(session.error().text().find("attr[deep]: not a valid graph file: a malformed attribute"), std::string::npos)
        << session.error().text();
  }
}

TEST_F(RuntimeLoad, SubgraphsMustBeATree) {
  const auto chain = [](int depth, const std::string& last) {
    std::string text = "module \"m\" {}\n";
    for (int i = 0; i <= depth; ++i) {
      const std::string call = fmt::format("PartitionedCall(args0 = %x{}) : (output0 = f32[1]) graphs(\"g{}\")", i, i + 1);
      text += fmt::format("graph \"g{}\" {{\n  %x{} = Data() {{index = 0}} : f32[1]\n  %y{} = {}\n  %n{} = NetOutput(input0 = %y{})\n}}\n",
                          i, i, i, i < depth ? call : fmt::format(fmt::runtime(last), i), i, i);
    }
    return text;
  };
  const std::string back = "PartitionedCall(args0 = %x{}) : (output0 = f32[1]) graphs(\"{}\")";
  for (const std::string target : {"g0", "g1", "g3"}) {  // the root, a parent, itself
    const Result<Session> session = load(written(chain(3, fmt::format(fmt::runtime(back), "{0}", target))), true);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().where, "y3");
    EXPECT_NE(session.error().text().find("is the root or has a parent already"), std::string::npos) << session.error().text();
  }
  const Arg x = f32({1}, {3});
  Result<Session> deep = load(written(chain(60, "Neg(x = %x{}) : f32[1]")), true);
  ASSERT_TRUE(deep) << deep.error().text();
  const auto out = call(*deep, {x});
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ(testing::floats((*out)[0]), (std::vector<double>{-3}));
  Result<Session> deeper = load(written(chain(2000, "Neg(x = %x{}) : f32[1]")), true);
  ASSERT_TRUE(deeper) << deeper.error().text();
  const auto none = call(*deeper, {x});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::kInvalidGraph);
  EXPECT_NE(none.error().text().find("y65: "), std::string::npos) << none.error().text();
}

TEST_F(RuntimeLoad, SubgraphInputsHaveTheDeclaredType) {
  const std::string text = R"(module "m" {}
graph "m" {
  %x = Data() {index = 0} : i8[3]
  %y = PartitionedCall(args0 = %x) : (output0 = i64[3]) graphs("sub")
  %NetOutput = NetOutput(input0 = %y)
}
graph "sub" {
  %s = Data() {index = 0} : i64[3]
  %t = Concat(concat_dim = %d, x0 = %s, x1 = %s) : i64[6]
  %d = Const() {value = i32[] [0]} : i32[]
  %out = NetOutput(input0 = %t)
}
)";
  for (const bool reference : {false, true}) {
    Result<Session> session = load(written(text), reference);
    ASSERT_TRUE(session) << session.error().text();
    const auto out = call(*session, {arg(DType::kInt8, {3}, std::vector<std::int64_t>{1, 2, 3})});
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().text(), "s: the input is declared int64, the caller gives int8");
  }
}

/// A type that only the run shows, and that the plugin does not have.
TEST_F(RuntimeLoad, UndeclaredTypesGoToTheHost) {
  pb::ModelDef model;
  ASSERT_TRUE(model.ParseFromString(written(R"(module "m" {}
graph "m" {
  %x = Data() {index = 0} : f64[3]
  %y = PartitionedCall(args0 = %x) : (output0 = f32[3]) graphs("sub")
  %z = Relu(x = %y) : f32[3]
  %NetOutput = NetOutput(input0 = %z)
}
graph "sub" {
  %s = Data() {index = 0} : f64[3]
  %out = NetOutput(input0 = %s)
}
)")));
  for (pb::OpDef& op : *model.mutable_graph(0)->mutable_op()) {
    if (op.name() == "x" || op.name() == "NetOutput") continue;
    for (pb::TensorDescriptor& desc : *op.mutable_output_desc()) desc.set_dtype(pb::DT_UNDEFINED);
  }
  for (pb::OpDef& op : *model.mutable_graph(0)->mutable_op()) {
    if (op.name() == "x" || op.name() == "y") continue;
    for (pb::TensorDescriptor& desc : *op.mutable_input_desc()) desc.set_dtype(pb::DT_UNDEFINED);
  }
  Result<Session> session = load(model.SerializeAsString(), false);
  ASSERT_TRUE(session) << session.error().text();
  EXPECT_EQ(session->layout().plugin_parts, 1);
  const auto out = call(*session, {f64({3}, {-1, 2, 1e-300})});
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ((*out)[0].dtype, DType::kDouble);
  EXPECT_EQ(testing::floats((*out)[0]), (std::vector<double>{0, 2, 1e-300}));
}

/// Shapes that no machine holds are refused before anything is allocated, by name.
TEST_F(RuntimeLoad, AbsurdSizesAreErrors) {
  const std::string dims[] = {"17592186044416",      "4611686018427387904", "9223372036854775807", "70368744177664", "-1",
                              "-9223372036854775808"};
  const std::string bodies[] = {
      "%y = Fill(dims = %d, value = %x) : f32[?]",
      "%y = BroadcastTo(x = %x, shape = %d) : f32[?]",
      "%y = Tile(x = %x, multiples = %d) : f32[?]",
      "%y = ExpandV2(x = %x, shape = %d) : f32[?]",
      "%y = Expand(x = %x, shape = %d) : f32[?]",
      "%y = Empty(shape = %d) {dtype = 0} : f32[?]",
      "%y = ConstantFill(x = %d) : f32[?]",
      "%y = Eye() {num_rows = DIM, num_columns = DIM, dtype = 0} : f32[?]",
      "%y = OneHotV2(x = %d, depth = %d, on_value = %x, off_value = %x) : f32[?]",
      "%y = Range(start = %zero, limit = %d, delta = %one) : i64[?]",
      "%y = LinSpace(start = %x, stop = %x, num = %d) : f32[?]",
      "%y = Reshape(x = %x, shape = %d) : f32[?]",
      "%y = StatelessRandomUniformV2(shape = %d, key = %u, counter = %u, alg = %one32) {dtype = 0} : f32[?]",
      "%y = PadV3(x = %x1, paddings = %pads, constant_values = %x) : f32[?]",
      "%y = Pad(x = %x1, paddings = %pads) : f32[?]",
      "%y = UnsortedSegmentSum(x = %x1, segment_ids = %at, num_segments = %d) : f32[?]",
      "%y = Bincount(array = %at, size = %d, weights = %x1) : f32[?]",
      "%y = ScatterNd(indices = %at2, x = %x1, shape = %d) : f32[?]",
      "%y = ResizeNearestNeighborV2(x = %x1, size = %d) : f32[?]",
      "%y = Slice(x = %x1, offsets = %d, size = %d) : f32[?]",
      "%y = StridedSlice(x = %x1, begin = %d, end = %d, strides = %d) : f32[?]",
      "%y = Cumsum(x = %x1, axis = %d) : f32[?]",
      "%y = GatherV2(x = %x1, indices = %d, axis = %d) : f32[?]",
      "%y = TopKV2(x = %x1, k = %d) : (values = f32[?], indices = i32[?])",
      "%y = SplitV(x = %x1, size_splits = %d, split_dim = %zero) {num_split = 1} : f32[?]",
      "%y = Unsqueeze(x = %x1) {axes = [DIM]} : f32[?]",
      "%y = AsStrided(x = %x1, size = %d, stride = %d, storage_offset = %d) : f32[?]",
  };
  int known = 0;
  for (const std::string& body : bodies) {
    for (const std::string& dim : dims) {
      std::string text = fmt::format(R"(module "m" {{}}
graph "m" {{
  %x = Data() {{index = 0}} : f32[]
  %x1 = Data() {{index = 1}} : f32[1]
  %d = Const() {{value = i64[1] [DIM]}} : i64[1]
  %zero = Const() {{value = i64[1] [0]}} : i64[1]
  %one = Const() {{value = i64[1] [1]}} : i64[1]
  %one32 = Const() {{value = i32[] [1]}} : i32[]
  %u = Const() {{value = u64[1] [1]}} : u64[1]
  %at = Const() {{value = i64[1] [0]}} : i64[1]
  %at2 = Const() {{value = i64[1, 1] [0]}} : i64[1, 1]
  %pads = Const() {{value = i64[1, 2] [0, DIM]}} : i64[1, 2]
  {}
  %NetOutput = NetOutput(input0 = %y)
}}
)",
                                     body);
      for (std::size_t at = text.find("DIM"); at != std::string::npos; at = text.find("DIM")) text.replace(at, 3, dim);
      SCOPED_TRACE(body + " with " + dim);
      Result<Session> session = load(written(text), true);
      if (!session) {
        EXPECT_EQ(session.error().code, Errc::kUnsupported) << session.error().text();
        continue;
      }
      ++known;
      const auto out = call(*session, {f32({}, {1}), f32({1}, {1})});
      if (out) continue;  // an operator may clamp, or take -1 for "what is there"
      EXPECT_NE(out.error().where, "") << out.error().text();
    }
  }
  EXPECT_GT(known, 100);
}

TEST_F(RuntimeLoad, AbsurdInputsAndWeights) {
  for (const std::string shape : {"17592186044416", "4294967296, 4294967296", "9223372036854775807", "3037000500, 3037000500"}) {
    for (const bool reference : {false, true}) {
      SCOPED_TRACE(shape);
      Result<Session> session = load(written(fmt::format(R"(module "m" {{}}
graph "m" {{
  %x = Data() {{index = 0}} : f32[{0}]
  %y = Relu(x = %x) : f32[{0}]
  %NetOutput = NetOutput(input0 = %y)
}}
)",
                                                         shape)),
                                     reference);
      ASSERT_FALSE(session);
      EXPECT_EQ(session.error().where, "x");
      EXPECT_EQ(session.error().code, Errc::kInvalidGraph);
    }
    const Result<Session> weight = load(written(fmt::format(R"(module "m" {{}}
graph "m" {{
  %w = FileConstant() {{shape = [{0}], dtype = dtype.f32, file_path = "a.bin"}} : f32[{0}]
  %NetOutput = NetOutput(input0 = %w)
}}
)",
                                                            shape)),
                                        true);
    ASSERT_FALSE(weight);
    EXPECT_EQ(weight.error().where, "w") << weight.error().text();
  }
}

TEST_F(RuntimeLoad, WrongCallsNameTheInputAndLeaveTheSession) {
  for (const Case& c : cases()) {
    for (const bool reference : {false, true}) {
      SCOPED_TRACE(c.name);
      Result<Session> session = load(written(c.text), reference);
      ASSERT_TRUE(session) << session.error().text();
      const auto fails = [&](const std::vector<TensorView>& views, const std::string& where, const std::string& text) {
        const auto out = session->run(views);
        ASSERT_FALSE(out) << text;
        EXPECT_EQ(out.error().code, Errc::kInvalidArgument);
        EXPECT_EQ(out.error().where, where) << out.error().text();
        EXPECT_NE(out.error().message.find(text), std::string::npos) << out.error().text();
        const auto again = call(*session, c.args);
        ASSERT_TRUE(again) << again.error().text();
        EXPECT_EQ(testing::floats((*again)[0]), c.want);
      };
      std::vector<TensorView> good;
      for (const Arg& a : c.args) good.push_back(view(a));
      std::vector<TensorView> views = good;
      views.pop_back();
      fails(views, "", fmt::format("{} inputs given, the graph takes {}: ", views.size(), good.size()));
      views = good;
      views.push_back(good[0]);
      fails(views, "", fmt::format("{} inputs given", views.size()));
      for (std::size_t i = 0; i < good.size(); ++i) {
        const std::string& name = session->inputs()[i].name;
        const auto changed = [&](const std::function<void(TensorView&)>& f, const std::string& text) {
          views = good;
          f(views[i]);
          fails(views, name, text);
        };
        changed([](TensorView& v) { v.dtype = v.dtype == DType::kInt32 ? DType::kFloat : DType::kInt32; }, "element type is int32");
        changed([](TensorView& v) { v.dtype = DType::kUndefined; }, "element type is ");
        changed([](TensorView& v) { v.dtype = DType::kString; }, "element type is ");
        changed([](TensorView& v) { v.shape.push_back(1); }, "shape is [");
        if (session->inputs()[i].shape.size() == 2 && session->inputs()[i].shape[0] < 0)
          changed([](TensorView& v) { v.shape.front() = INT64_MAX; }, "too large");
        if (session->inputs()[i].state) continue;  // null asks for the kept value
        changed([](TensorView& v) { v.data = nullptr; }, "no data");
        if (good[i].shape.empty()) continue;
        changed([](TensorView& v) { v.shape.pop_back(); }, "shape is [");
        changed([](TensorView& v) { v.shape.back() = 7; }, "7], the graph takes [");
        changed([](TensorView& v) { v.shape.back() = -1; }, "-1], the graph takes [");
        changed([](TensorView& v) { v.shape.front() = INT64_MIN; }, "-9223372036854775808");
      }
    }
  }
}

}  // namespace
}  // namespace airloom::runtime::testing
