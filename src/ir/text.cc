// The text form of a module: print() and its inverse parse(). One node per line:
//
//   module "export" {key = value, ...}
//   graph "export" {
//     %x = Data() {index = 0} : f32[s0, 2]
//     %w = Const() {value = f32[2] weight("a.b") [1, 2]} : f32[2]
//     %split = SplitV(x = %x@NCHW {k = 1}, size_splits = none) : (y0 = f32[*], y1 = f32[?] host) after(%w) graphs("then")
//     %NetOutput = NetOutput(input0 = %split:1)  // to the end of the line: a comment
//   }
//
// Values: 1  1.0  true  "text"  dtype.f32  f32[2] [1, 2]  null, lists of one kind [1, 2]  [[1], []], empty ones ints[]  floats[]  bools[]
// strings[]  dtypes[]  intlists[]. A lone output named "y" shows its type only. Names of other characters than [A-Za-z0-9_.-/] are quoted.
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <type_traits>

#include <fmt/format.h>

#include "ir/graph.h"

namespace airloom::ir {

namespace {

bool is_bare(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-' || c == '/';
}

/// What numbers, keywords and dtypes are made of.
bool is_word(char c) { return (is_bare(c) && c != '/') || c == '+'; }

/// Part of an element: real and imaginary of a complex number, else the whole.
DType part_of(DType dtype) {
  switch (dtype) {
    case DType::kComplex32: return DType::kFloat16;
    case DType::kComplex64: return DType::kFloat;
    case DType::kComplex128: return DType::kDouble;
    default: return dtype;
  }
}

bool is_real_float(DType dtype) { return dtype == DType::kFloat || dtype == DType::kDouble || is_small_float(dtype); }

/// Smallest and largest value of an integer type.
struct IntRange {
  std::int64_t least;
  std::uint64_t most;
};
IntRange int_range(DType dtype) {
  const auto bits = static_cast<unsigned>(info(dtype).bits);
  if (!is_signed(dtype)) return {0, std::numeric_limits<std::uint64_t>::max() >> (64U - bits)};
  const std::uint64_t most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) >> (64U - bits);
  return {-static_cast<std::int64_t>(most) - 1, most};
}

// ---- print

class Printer {
 public:
  explicit Printer(std::int64_t elide) : elide_(elide) {}

  std::string module(const Module& m) {
    out_ += "module ";
    string(m.name);
    attrs(m.attrs);
    out_ += '\n';
    for (const Graph& g : m.graphs) graph(g);
    return std::move(out_);
  }

 private:
  void graph(const Graph& g) {
    out_ += "graph ";
    string(g.name);
    out_ += " {\n";
    if (const auto order = g.topological()) {
      for (const NodeId id : *order) node(g, g.node(id));
    } else {
      for (NodeId id = 0; id < g.arena_size(); ++id) {
        if (!g.node(id).erased) node(g, g.node(id));
      }
    }
    out_ += "}\n";
  }

  void node(const Graph& g, const Node& n) {
    out_ += "  %";
    name(n.name);
    out_ += " = ";
    name(n.type);
    list("(", n.inputs, ")", [&](const Input& input) {
      name(input.name);
      out_ += " = ";
      if (input.value) {
        reference(g, input.value.node);
        if (input.value.index != 0) write(":{}", input.value.index);
      } else {
        out_ += "none";
      }
      format(input.format);
      attrs(input.attrs);
    });
    attrs(n.attrs);
    if (n.outputs.size() == 1 && n.outputs[0].name == "y") {
      out_ += " : ";
      output(n.outputs[0]);
    } else if (!n.outputs.empty()) {
      list(" : (", n.outputs, ")", [&](const Output& o) {
        name(o.name);
        out_ += " = ";
        output(o);
      });
    }
    if (!n.control.empty()) list(" after(", n.control, ")", [&](NodeId id) { reference(g, id); });
    if (!n.subgraphs.empty()) list(" graphs(", n.subgraphs, ")", [&](const std::string& s) { string(s); });
    if (n.origin) comment(*n.origin);
    out_ += '\n';
  }

  void comment(const Origin& origin) {
    if (origin.module.empty() && origin.source.empty()) return;
    std::string text = origin.module;
    if (!origin.module.empty() && !origin.source.empty()) text += ' ';
    text += origin.source;
    for (char& c : text) {
      if (static_cast<unsigned char>(c) < ' ') c = ' ';
    }
    out_ += "  // " + text;
  }

  void output(const Output& o) {
    out_ += info(o.type.dtype).text;
    if (o.type.unknown_rank) {
      out_ += "[*]";
    } else {
      list("[", o.type.shape, "]", [&](const sym::Expr& dim) { out_ += dim.str(); });
    }
    format(o.format);
    if (o.on_host) out_ += " host";
    attrs(o.attrs);
  }

  void reference(const Graph& g, NodeId id) {
    out_ += '%';
    if (id < g.arena_size() && !g.node(id).erased) {
      name(g.node(id).name);
    } else {
      string(fmt::format("<no node {}>", id));  // a broken graph still prints
    }
  }

  void format(Format f) {
    if (f != Format::kND) write("@{}", f == Format::kReserved ? "RESERVED" : to_string(f));
  }

  void attrs(const Attrs& values) {
    if (values.empty()) return;
    list(" {", values, "}", [&](const Attrs::value_type& item) {
      name(item.first);
      out_ += " = ";
      attr(item.second);
    });
  }

  void attr(const Attr& value) {
    std::visit([&](const auto& v) { print_value(v); }, value);
  }
  void print_value(std::int64_t v) { write("{}", v); }
  void print_value(double v) { real(v); }
  void print_value(bool v) { out_ += v ? "true" : "false"; }
  void print_value(const std::string& v) { string(v); }
  void print_value(DType v) { write("dtype.{}", info(v).text); }
  void print_value(const TensorRef& v) {
    if (v) {
      tensor(*v);
    } else {
      out_ += "null";
    }
  }
  void print_value(const Ints& v) { typed_list("ints", v); }
  void print_value(const Floats& v) { typed_list("floats", v); }
  void print_value(const Bools& v) { typed_list("bools", v); }
  void print_value(const Strings& v) { typed_list("strings", v); }
  void print_value(const DTypes& v) { typed_list("dtypes", v); }
  void print_value(const IntLists& v) {
    if (v.empty()) {
      out_ += "intlists[]";
    } else {
      list("[", v, "]", [&](const Ints& inner) { list("[", inner, "]", [&](std::int64_t i) { print_value(i); }); });
    }
  }
  template <class List>
  void typed_list(std::string_view kind, const List& v) {
    if (v.empty()) {
      out_ += kind;
      out_ += "[]";
    } else {
      list("[", v, "]", [&](const typename List::value_type& item) { print_value(item); });
    }
  }

  void real(double v) {
    if (std::isnan(v)) {
      out_ += "nan";
      return;
    }
    const std::string text = fmt::format("{}", v);
    out_ += text;
    if (text.find_first_not_of("-0123456789") == std::string::npos) out_ += ".0";  // else it would read back as an int
  }

  void tensor(const Tensor& t) {
    out_ += info(t.dtype).text;
    list("[", t.shape, "]", [&](std::int64_t dim) { print_value(dim); });
    if (!t.weight.empty()) {
      out_ += " weight(";
      string(t.weight);
      out_ += ')';
    }
    const std::int64_t count = t.numel();
    if (elide_ > 0 && count > elide_) {
      out_ += " ...";
    } else if (t.nbytes() != 0 && t.data == nullptr) {
      out_ += " absent";
    } else if (!Tensor::has_numbers(t.dtype)) {
      out_ += " hex(\"";
      for (const std::byte b : t.bytes()) write("{:02x}", std::to_integer<unsigned>(b));
      out_ += "\")";
    } else {
      elements(t);
    }
  }

  void elements(const Tensor& t) {
    out_ += " [";
    if (is_floating(t.dtype) || is_complex(t.dtype)) {
      // Part by part, from the dense bytes: NaNs keep their bits.
      const DType part = part_of(t.dtype);
      const std::vector<std::byte> bytes = t.bytes();
      const auto size = static_cast<std::size_t>(item_size(part));
      const std::size_t parts = is_complex(t.dtype) ? 2 : 1;
      for (std::size_t i = 0; i * size < bytes.size(); ++i) {
        if (i != 0) out_ += parts == 2 && i % 2 == 1 ? " " : ", ";
        std::uint64_t bits = 0;
        std::memcpy(&bits, bytes.data() + i * size, size);
        if (parts == 2 && i % 2 == 0) out_ += '(';
        element(part, bits);
        if (parts == 2 && i % 2 == 1) out_ += ')';
      }
    } else {
      const std::int64_t count = t.numel();
      const std::vector<std::byte> bytes = t.dtype == DType::kBool ? t.bytes() : std::vector<std::byte>{};
      for (std::int64_t i = 0; i < count; ++i) {
        if (i != 0) out_ += ", ";
        if (t.dtype == DType::kBool) {
          const auto raw = std::to_integer<unsigned>(bytes[static_cast<std::size_t>(i)]);
          if (raw < 2) {
            print_value(raw == 1);
          } else {
            write("{}", raw);
          }
        } else if (t.dtype == DType::kUInt64) {
          write("{}", static_cast<std::uint64_t>(t.int_at(i)));
        } else {
          write("{}", t.int_at(i));
        }
      }
    }
    out_ += ']';
  }

  void element(DType part, std::uint64_t bits) {
    double value = 0;
    std::uint64_t plain_nan = 0;
    if (part == DType::kDouble) {
      std::memcpy(&value, &bits, sizeof value);
      plain_nan = 0x7FF8000000000000ULL;
    } else if (part == DType::kFloat) {
      float narrow = 0;
      std::memcpy(&narrow, &bits, sizeof narrow);
      value = static_cast<double>(narrow);
      plain_nan = 0x7FC00000U;
    } else {
      value = decode_float(part, static_cast<std::uint16_t>(bits));
      plain_nan = encode_float(part, std::numeric_limits<double>::quiet_NaN());
    }
    if (std::isnan(value)) {
      out_ += "nan";
      if (bits != plain_nan) write("(0x{:x})", bits);
    } else if (part == DType::kDouble) {
      write("{}", value);
    } else {
      write("{}", static_cast<float>(value));
    }
  }

  void name(std::string_view text) {
    bool bare = !text.empty() && text.find("//") == std::string_view::npos;
    for (const char c : text) bare = bare && is_bare(c);
    if (bare) {
      out_ += text;
    } else {
      string(text);
    }
  }

  void string(std::string_view text) {
    out_ += '"';
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      switch (c) {
        case '"': out_ += "\\\""; break;
        case '\\': out_ += "\\\\"; break;
        case '\n': out_ += "\\n"; break;
        case '\r': out_ += "\\r"; break;
        case '\t': out_ += "\\t"; break;
        default:
          if (byte < 0x20 || byte >= 0x7F) {
            write("\\x{:02x}", static_cast<unsigned>(byte));
          } else {
            out_ += c;
          }
      }
    }
    out_ += '"';
  }

  template <class List, class Item>
  void list(std::string_view open, const List& items, std::string_view close, const Item& item) {
    out_ += open;
    bool first = true;
    for (const auto& i : items) {
      if (!first) out_ += ", ";
      first = false;
      item(i);
    }
    out_ += close;
  }

  template <class... Args>
  void write(fmt::format_string<Args...> text, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), text, std::forward<Args>(args)...);
  }

  std::string out_;
  std::int64_t elide_;
};

// ---- parse

/// After the first error everything reads as the end of the text, so callers need to look at ok() only where a loop or a result depends on
/// it.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<Module> module() {
    Module m;
    if (!accept_word("module")) fail("expected 'module'");
    m.name = string();
    if (peek('{')) m.attrs = attrs();
    while (ok() && accept_word("graph")) graph(m);
    if (ok() && !at_end()) fail("expected 'graph' or the end of the text");
    if (ok() && m.graphs.empty()) fail("a module holds at least one graph");
    if (!ok()) return tl::unexpected<Error>(*error_);
    return m;
  }

 private:
  struct Pending {
    NodeId user;
    std::size_t slot;  // kControl for a control edge
    std::string name;
    std::size_t at;
  };
  static constexpr std::size_t kControl = SIZE_MAX;

  void graph(Module& m) {
    Graph g;
    g.name = string();
    pending_.clear();
    expect('{');
    while (ok() && !accept('}')) node(g);
    for (const Pending& p : pending_) {
      if (!ok()) return;
      resolve(g, p);
    }
    m.graphs.push_back(std::move(g));
  }

  void resolve(Graph& g, const Pending& p) {
    const NodeId source = g.find(p.name);
    if (source == kNoNode) {
      fail(fmt::format("no node is named '{}'", p.name), p.at);
      return;
    }
    Node& user = g.node(p.user);
    if (p.slot == kControl) {
      user.control.push_back(source);
      return;
    }
    Value& value = user.inputs[p.slot].value;
    value.node = source;
    const std::size_t outputs = g.node(source).outputs.size();
    if (value.index >= outputs) fail(fmt::format("output {} of '{}', which has {}", value.index, p.name, outputs), p.at);
  }

  void node(Graph& g) {
    Node n;
    const auto id = static_cast<NodeId>(g.arena_size());
    std::size_t at = here();
    if (accept('%')) {
      n.name = name("a node name");
      expect('=');
      n.type = name("an operator type");
    } else {
      n.type = name("a node or '}'");
      n.name = n.type;
    }
    if (ok() && n.name.empty()) fail("a node name is empty", at);
    if (ok() && g.find(n.name) != kNoNode) fail(fmt::format("a second node is named '{}'", n.name), at);
    expect('(');
    items(')', [&] { input(n, id); });
    if (peek('{')) n.attrs = attrs();
    if (accept(':')) {
      if (accept('(')) {
        items(')', [&] {
          std::string output_name = name("an output name");
          expect('=');
          n.outputs.push_back(output(std::move(output_name)));
        });
      } else {
        n.outputs.push_back(output("y"));
      }
    }
    if (accept_word("after")) {
      expect('(');
      items(')', [&] {
        at = here();
        expect('%');
        pending_.push_back({id, kControl, name("a node name"), at});
      });
    }
    if (accept_word("graphs")) {
      expect('(');
      items(')', [&] { n.subgraphs.push_back(string()); });
    }
    if (ok()) g.add(std::move(n));
  }

  void input(Node& n, NodeId id) {
    Input slot;
    slot.name = name("an input name");
    expect('=');
    const std::size_t at = here();
    if (accept('%')) {
      pending_.push_back({id, n.inputs.size(), name("a node name"), at});
      if (accept(':')) {
        const auto index = integer("an output number");
        if (ok() && (index < 0 || index > std::numeric_limits<std::int32_t>::max())) fail("an output number is out of range", at);
        slot.value.index = static_cast<std::uint32_t>(index);
      }
    } else if (!accept_word("none")) {
      fail("expected '%' and a node name, or 'none'");
    }
    slot.format = format();
    if (peek('{')) slot.attrs = attrs();
    n.inputs.push_back(std::move(slot));
  }

  Output output(std::string output_name) {
    Output o;
    o.name = std::move(output_name);
    o.type.dtype = dtype(word("an element type"));
    expect('[');
    if (accept('*')) {
      o.type.unknown_rank = true;
      expect(']');
    } else {
      items(']', [&] { o.type.shape.push_back(dim()); });
    }
    o.format = format();
    o.on_host = accept_word("host");
    if (peek('{')) o.attrs = attrs();
    return o;
  }

  /// The text up to the next ',' or ']' outside parentheses; "//" is floor division here.
  sym::Expr dim() {
    const std::size_t start = here();
    int depth = 0;
    while (pos_ < text_.size() && text_[pos_] != '\n') {
      const char c = text_[pos_];
      if (depth == 0 && (c == ',' || c == ']')) break;
      if (c == '(') ++depth;
      if (c == ')') --depth;
      ++pos_;
    }
    std::string_view text = text_.substr(start, pos_ - start);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    if (text == "?" || text == "-1") return sym::Expr::unknown();
    auto parsed = sym::parse(text);
    if (parsed) return std::move(*parsed);
    fail(fmt::format("bad dimension '{}': {}", text, parsed.error().message), start);
    return {};
  }

  Format format() {
    if (!accept('@')) return Format::kND;
    const std::size_t at = pos_;
    const std::string_view text = word("a format");
    const Format f = format_from_string(text);
    if (ok() && f == Format::kOther && text != to_string(Format::kOther)) fail(fmt::format("unknown format '{}'", text), at);
    return f;
  }

  DType dtype(std::string_view text) {
    if (!ok()) return DType::kUndefined;
    const auto found = dtype_from_text(text);
    if (!found) fail(fmt::format("unknown element type '{}'", text), word_at_);
    return found.value_or(DType::kUndefined);
  }

  Attrs attrs() {
    Attrs out;
    expect('{');
    items('}', [&] {
      const std::size_t at = here();
      std::string key = name("an attribute name");
      expect('=');
      Attr value = attr();
      if (ok() && !out.emplace(key, std::move(value)).second) fail(fmt::format("a second attribute is named '{}'", key), at);
    });
    return out;
  }

  Attr attr() { return peek('[') ? list() : scalar(); }

  /// Everything but lists in brackets.
  Attr scalar() {
    if (peek('"')) return string();
    const std::string_view text = word("a value");
    const std::size_t at = word_at_;
    if (!ok()) return {};
    if (text == "true" || text == "false") return text == "true";
    if (text == "null") return TensorRef{};
    if (text.substr(0, 6) == "dtype.") {
      const auto found = dtype_from_text(text.substr(6));
      if (!found) fail(fmt::format("unknown element type '{}'", text.substr(6)), at);
      return found.value_or(DType::kUndefined);
    }
    if (text == "inf" || text == "nan" || text == "-inf" || text[0] == '-' || (text[0] >= '0' && text[0] <= '9') || text[0] == '+' ||
        text[0] == '.') {
      return number(text, at);
    }
    if (auto empty = empty_list(text)) return std::move(*empty);
    return tensor(text);
  }

  std::optional<Attr> empty_list(std::string_view kind) {
    std::optional<Attr> out;
    if (kind == "ints") out = Ints{};
    if (kind == "floats") out = Floats{};
    if (kind == "bools") out = Bools{};
    if (kind == "strings") out = Strings{};
    if (kind == "dtypes") out = DTypes{};
    if (kind == "intlists") out = IntLists{};
    if (!out) return out;
    expect('[');
    expect(']');
    return out;
  }

  Attr number(std::string_view text, std::size_t at) {
    if (text == "...") fail("elided elements ('...') cannot be read back; print with elide = 0", at);
    const bool is_real = text.find_first_of(".eEnN") != std::string_view::npos;
    if (is_real) return real(text, at);
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code == std::errc::result_out_of_range) fail(fmt::format("{} does not fit 64 bits", text), at);
    if (code == std::errc::invalid_argument || end != text.data() + text.size()) fail(fmt::format("'{}' is not a number", text), at);
    return value;
  }

  double real(std::string_view text, std::size_t at) {
    if (!ok()) return 0;
    // strtod takes more (hexadecimal, "infinity") and needs a terminated string.
    const std::string copy(text);
    char* end = nullptr;
    const double value = std::strtod(copy.c_str(), &end);
    const bool known =
        text == "nan" || text == "inf" || text == "-inf" || text.find_first_not_of("+-.0123456789eE") == std::string_view::npos;
    if (!known || end != copy.c_str() + copy.size()) fail(fmt::format("'{}' is not a number", text), at);
    return value;
  }

  Attr list() {
    const std::size_t at = here();
    expect('[');
    if (peek(']')) {
      fail("an empty list needs its kind: ints[], floats[], bools[], strings[], dtypes[] or intlists[]", at);
      return {};
    }
    if (peek('[')) {
      IntLists out;
      items(']', [&] {
        out.emplace_back();
        expect('[');
        items(']', [&] { out.back().push_back(integer("an integer")); });
      });
      return out;
    }
    Attr first = scalar();
    if (ok() && (std::holds_alternative<TensorRef>(first) || first.index() > kLastScalar)) fail("a list cannot hold this", at);
    if (!ok()) return {};
    return std::visit([&](auto& value) { return rest(std::move(value)); }, first);
  }
  static constexpr std::size_t kLastScalar = 4;  // DType
  static_assert(std::is_same_v<std::variant_alternative_t<kLastScalar, Attr>, DType>);

  /// The list that begins with `first`: all items must be of its kind.
  template <class T>
  Attr rest(T first) {
    if constexpr (std::is_same_v<T, std::int64_t> || std::is_same_v<T, double> || std::is_same_v<T, bool> ||
                  std::is_same_v<T, std::string> || std::is_same_v<T, DType>) {
      std::vector<T> out{std::move(first)};
      while (ok() && !accept(']')) {
        expect(',');
        const std::size_t at = here();
        Attr item = scalar();
        if (!ok()) break;
        if (auto* same_kind = std::get_if<T>(&item)) {
          out.push_back(std::move(*same_kind));
        } else {
          fail("the items of a list must be of one kind", at);
        }
      }
      return out;
    } else {
      return {};
    }
  }

  Attr tensor(std::string_view type) {
    Tensor t;
    const std::size_t at = word_at_;
    const auto found = dtype_from_text(type);
    if (!found || !peek('[')) {
      fail(fmt::format("'{}' is not a value", type), at);
      return {};
    }
    t.dtype = *found;
    expect('[');
    items(']', [&] { t.shape.push_back(integer("a dimension")); });
    if (accept_word("weight")) {
      expect('(');
      t.weight = string();
      expect(')');
    }
    if (ok() && (t.numel() < 0 || t.nbytes() < 0)) fail("the shape of a tensor is negative or too large", at);
    if (!ok()) return {};
    if (accept_word("absent")) return std::make_shared<const Tensor>(std::move(t));
    if (accept_word("hex")) {
      expect('(');
      std::vector<std::byte> bytes = hex(string());
      expect(')');
      return finish(std::move(t), std::move(bytes), at);
    }
    if (accept_word("...")) {
      fail("elided elements ('...') cannot be read back; print with elide = 0", word_at_);
      return {};
    }
    if (!Tensor::has_numbers(t.dtype)) fail(fmt::format("elements of {} are written as hex(\"..\")", type), at);
    expect('[');
    std::vector<std::byte> bytes;
    std::int64_t count = 0;
    items(']', [&] {
      element(t.dtype, count, bytes);
      ++count;
    });
    if (ok() && count != t.numel()) fail(fmt::format("{} elements for a tensor of {}", count, t.numel()), at);
    return finish(std::move(t), std::move(bytes), at);
  }

  Attr finish(Tensor t, std::vector<std::byte> bytes, std::size_t at) {
    const auto wanted = static_cast<std::uint64_t>(t.nbytes());
    if (ok() && bytes.size() != wanted) fail(fmt::format("{} bytes for a tensor of {}", bytes.size(), wanted), at);
    if (!ok()) return {};
    Tensor out = Tensor::from_bytes(t.dtype, std::move(t.shape), std::move(bytes));
    out.weight = std::move(t.weight);
    return std::make_shared<const Tensor>(std::move(out));
  }

  void element(DType type, std::int64_t i, std::vector<std::byte>& bytes) {
    if (is_complex(type)) {
      expect('(');
      real_element(part_of(type), bytes);
      real_element(part_of(type), bytes);
      expect(')');
    } else if (is_real_float(type)) {
      real_element(type, bytes);
    } else {
      int_element(type, i, bytes);
    }
  }

  void real_element(DType part, std::vector<std::byte>& bytes) {
    const std::string_view text = word("an element");
    const std::size_t at = word_at_;
    std::vector<std::byte> raw;
    if (text == "nan" && accept('(')) {
      const std::string_view digits = word("the bits of a NaN");
      std::uint64_t bits = 0;
      const bool prefixed = digits.substr(0, 2) == "0x";
      const auto [end, code] = std::from_chars(digits.data() + (prefixed ? 2 : 0), digits.data() + digits.size(), bits, 16);
      const auto width = static_cast<unsigned>(info(part).bits);
      if (!prefixed || code != std::errc() || end != digits.data() + digits.size() || (width < 64 && (bits >> width) != 0)) {
        fail(fmt::format("'{}' is not the bits of a NaN of {}", digits, info(part).text), at);
      }
      expect(')');
      raw.resize(static_cast<std::size_t>(item_size(part)));
      std::memcpy(raw.data(), &bits, raw.size());
    } else {
      const double value = real(text, at);
      if (!ok()) return;
      raw = Tensor::from_floats(part, {}, std::array{value}).bytes();
    }
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }

  void int_element(DType type, std::int64_t i, std::vector<std::byte>& bytes) {
    const std::string_view text = word("an element");
    const std::size_t at = word_at_;
    if (!ok()) return;
    std::uint64_t value = 0;
    if (type == DType::kBool && (text == "true" || text == "false")) {
      value = text == "true" ? 1 : 0;
    } else {
      const IntRange range = int_range(type);
      bool fits = false;
      const char* last = text.data() + text.size();
      const char* end = nullptr;
      if (text[0] == '-') {
        std::int64_t negative = 0;
        const auto result = std::from_chars(text.data(), last, negative);
        end = result.ptr;
        fits = result.ec == std::errc() && negative >= range.least;
        value = static_cast<std::uint64_t>(negative);
      } else {
        const auto result = std::from_chars(text.data(), last, value);
        end = result.ptr;
        fits = result.ec == std::errc() && value <= range.most;
      }
      if (!fits || end != last) {
        fail(fmt::format("'{}' is not a value of {}", text, info(type).text), at);
        return;
      }
    }
    const auto bits = static_cast<unsigned>(info(type).bits);
    if (bits >= 8) {
      const auto* raw = reinterpret_cast<const std::byte*>(&value);
      bytes.insert(bytes.end(), raw, raw + bits / 8);
      return;
    }
    const auto shift = static_cast<unsigned>(i) * bits % 8;
    if (shift == 0) bytes.push_back(std::byte{0});
    bytes.back() |= static_cast<std::byte>((value & ((1U << bits) - 1U)) << shift);
  }

  std::vector<std::byte> hex(std::string_view digits) {
    std::vector<std::byte> out;
    if (digits.size() % 2 != 0) fail("hex digits come in pairs");
    for (std::size_t i = 0; ok() && i < digits.size(); i += 2) {
      unsigned value = 0;
      const auto [end, code] = std::from_chars(digits.data() + i, digits.data() + i + 2, value, 16);
      if (code != std::errc() || end != digits.data() + i + 2) {
        fail(fmt::format("'{}' is not a byte in hex", digits.substr(i, 2)));
      }
      out.push_back(static_cast<std::byte>(value));
    }
    return out;
  }

  // ---- tokens

  [[nodiscard]] bool ok() const { return !error_.has_value(); }

  void fail(std::string message) { fail(std::move(message), here()); }
  void fail(std::string message, std::size_t at) {
    if (error_) return;
    std::size_t line = 1;
    std::size_t start = 0;
    for (std::size_t i = 0; i < at && i < text_.size(); ++i) {
      if (text_[i] == '\n') {
        ++line;
        start = i + 1;
      }
    }
    error_ = Error{Errc::kParse, std::move(message), fmt::format("{}:{}", line, at - start + 1), ""};
    pos_ = text_.size();
  }

  void skip() {
    while (pos_ < text_.size()) {
      const char c = text_[pos_];
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++pos_;
      } else if (text_.substr(pos_, 2) == "//") {
        const std::size_t end = text_.find('\n', pos_);
        pos_ = end == std::string_view::npos ? text_.size() : end;
      } else {
        return;
      }
    }
  }

  /// Position of the next token.
  std::size_t here() {
    skip();
    return pos_;
  }
  bool at_end() { return here() == text_.size(); }
  bool peek(char c) { return here() < text_.size() && text_[pos_] == c; }
  bool accept(char c) {
    if (!peek(c)) return false;
    ++pos_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(fmt::format("expected '{}'{}", c, found()));
  }
  std::string found() {
    if (at_end()) return ", found the end of the text";
    const char c = text_[pos_];
    return c >= ' ' && c < 0x7F ? fmt::format(", found '{}'", c)
                                : fmt::format(", found byte 0x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }

  /// Items separated by ',' until `close`.
  template <class Item>
  void items(char close, const Item& item) {
    if (accept(close)) return;
    while (ok()) {
      item();
      if (!ok() || accept(close)) return;
      if (!accept(',')) fail(fmt::format("expected ',' or '{}'{}", close, found()));
    }
  }

  std::string_view word(std::string_view what) {
    word_at_ = here();
    while (pos_ < text_.size() && is_word(text_[pos_])) ++pos_;
    const std::string_view out = text_.substr(word_at_, pos_ - word_at_);
    if (out.empty()) fail(fmt::format("expected {}{}", what, found()));
    return out;
  }

  bool accept_word(std::string_view wanted) {
    const std::size_t start = here();
    std::size_t end = start;
    while (end < text_.size() && is_word(text_[end])) ++end;
    if (text_.substr(start, end - start) != wanted || wanted.empty()) return false;
    word_at_ = start;
    pos_ = end;
    return true;
  }

  std::int64_t integer(std::string_view what) {
    const std::string_view text = word(what);
    if (!ok()) return 0;
    const Attr value = number(text, word_at_);
    if (const auto* out = std::get_if<std::int64_t>(&value)) return *out;
    fail(fmt::format("expected {}, found '{}'", what, text), word_at_);
    return 0;
  }

  std::string name(std::string_view what) {
    if (peek('"')) return string();
    const std::size_t start = here();
    while (pos_ < text_.size() && is_bare(text_[pos_])) ++pos_;
    if (pos_ == start) fail(fmt::format("expected {}{}", what, found()));
    return std::string(text_.substr(start, ok() ? pos_ - start : 0));
  }

  std::string string() {
    std::string out;
    const std::size_t start = here();
    if (!accept('"')) {
      fail(fmt::format("expected a string in quotes{}", found()));
      return out;
    }
    while (true) {
      if (pos_ >= text_.size() || text_[pos_] == '\n') {
        fail("a string does not end", start);
        return out;
      }
      const char c = text_[pos_++];
      if (c == '"') return out;
      if (c == '\\') {
        escape(out);
        if (!ok()) return out;
      } else {
        out += c;
      }
    }
  }

  void escape(std::string& out) {
    const std::size_t at = pos_ - 1;
    const char c = pos_ < text_.size() ? text_[pos_++] : '\0';
    switch (c) {
      case 'n': out += '\n'; return;
      case 'r': out += '\r'; return;
      case 't': out += '\t'; return;
      case '"':
      case '\'':
      case '\\': out += c; return;
      case 'x': {
        unsigned value = 0;
        const std::string_view digits = text_.substr(pos_, 2);
        const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        if (code == std::errc() && end == digits.data() + 2) {
          out += static_cast<char>(value);
          pos_ += 2;
          return;
        }
        break;
      }
      default: break;
    }
    fail("unknown escape in a string; known are \\n \\r \\t \\\" \\\\ and \\xNN", at);
  }

  std::string_view text_;
  std::size_t pos_ = 0;
  std::size_t word_at_ = 0;  // where the last word() or accept_word() began
  std::vector<Pending> pending_;
  std::optional<Error> error_;
};

}  // namespace

std::string print(const Module& module, std::int64_t elide) { return Printer(elide).module(module); }

Result<Module> parse(std::string_view text) { return Parser(text).module(); }

}  // namespace airloom::ir
