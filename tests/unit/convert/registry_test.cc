#include "convert/registry.h"

#include <map>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "opdb/opdb.h"

namespace airloom::convert {
namespace {

/// The argument types of a schema, in order: "aten::f(Tensor self, int[1]? dim=None, *, bool x=False) -> Tensor" gives Tensor, int[1]?,
/// bool.
std::vector<std::string> argument_types(std::string_view schema) {
  const std::size_t open = schema.find('(');
  std::vector<std::string> out;
  std::string current;
  int depth = 0;
  for (std::size_t i = open + 1; i < schema.size(); ++i) {
    const char c = schema[i];
    if (depth == 0 && (c == ',' || c == ')')) {
      std::istringstream words(current);
      std::string type;
      words >> type;
      if (!type.empty() && type != "*") out.push_back(type);
      current.clear();
      if (c == ')') break;
      continue;
    }
    depth += c == '(' || c == '[' ? 1 : c == ')' || c == ']' ? -1 : 0;
    current += c;
  }
  return out;
}

/// "Tensor(a!)?" -> "Tensor?", "int[2]" -> "int[]"
std::string plain(std::string type) {
  for (const auto& [from, to] : {std::pair('(', ')'), std::pair('[', ']')}) {
    const std::size_t open = type.find(from);
    if (open == std::string::npos) continue;
    const std::size_t close = type.find(to, open);
    type.erase(open + (from == '[' ? 1 : 0), close - open + (from == '[' ? -1 : 1));
  }
  return type;
}

/// Which parameters may read which schema types: a constant-only reader also takes a SymInt (a symbolic one is reported as unsupported).
bool fits(ArgKind kind, const std::string& type) {
  static const std::map<ArgKind, std::set<std::string>> kTypes = {
      {ArgKind::kTensor, {"Tensor"}},
      {ArgKind::kOptionalTensor, {"Tensor?"}},
      {ArgKind::kTensorList, {"Tensor[]"}},
      {ArgKind::kOptionalTensorList, {"Tensor?[]"}},
      {ArgKind::kScalar, {"Scalar"}},
      {ArgKind::kOptionalScalar, {"Scalar?"}},
      {ArgKind::kSymInt, {"SymInt", "int"}},
      {ArgKind::kOptionalSymInt, {"SymInt?", "int?"}},
      {ArgKind::kSymInts, {"SymInt[]", "int[]"}},
      {ArgKind::kOptionalSymInts, {"SymInt[]?", "int[]?"}},
      {ArgKind::kInt, {"int", "SymInt"}},
      {ArgKind::kOptionalInt, {"int?", "SymInt?"}},
      {ArgKind::kInts, {"int[]", "SymInt[]"}},
      {ArgKind::kOptionalInts, {"int[]?", "SymInt[]?"}},
      {ArgKind::kBool, {"bool"}},
      {ArgKind::kOptionalBool, {"bool?"}},
      {ArgKind::kBools, {"bool[]"}},
      {ArgKind::kFloat, {"float"}},
      {ArgKind::kOptionalFloat, {"float?"}},
      {ArgKind::kFloats, {"float[]"}},
      {ArgKind::kDType, {"ScalarType"}},
      {ArgKind::kOptionalDType, {"ScalarType?"}},
      {ArgKind::kString, {"str", "Any"}},
      {ArgKind::kOptionalString, {"str?"}},
      {ArgKind::kIgnored, {"Layout?", "Device?", "bool?", "bool", "MemoryFormat?", "MemoryFormat", "Generator?"}},
  };
  return kTypes.at(kind).contains(type);
}

TEST(ConvertRegistry, ReadersFitTheSchemas) {
  for (const Family& family : families()) {
    for (const Converter& converter : family.table) {
      const std::string_view schema = opdb::aten_schema(converter.target);
      ASSERT_FALSE(schema.empty()) << converter.target << " is no overload of torch";
      const std::vector<std::string> types = argument_types(schema);
      ASSERT_EQ(types.size(), converter.bound.signature.size()) << converter.target << ": " << schema;
      for (std::size_t i = 0; i < types.size(); ++i) {
        EXPECT_TRUE(fits(converter.bound.signature[i], plain(types[i])))
            << family.name << " " << converter.target << ", argument " << i << " of " << schema;
      }
    }
  }
}

TEST(ConvertRegistry, NoTargetHasTwoConverters) {
  std::map<std::string_view, std::string_view> seen;
  for (const Family& family : families()) {
    EXPECT_FALSE(family.table.empty()) << family.name;
    for (const Converter& converter : family.table) {
      const auto [known, added] = seen.emplace(converter.target, family.name);
      EXPECT_TRUE(added) << converter.target << " is in " << known->second << " and in " << family.name;
    }
  }
  EXPECT_EQ(Registry::builtin().targets().size(), seen.size());
}

TEST(ConvertRegistry, AUserCanReplaceAConverterInACopy) {
  Registry registry = Registry::builtin();
  const Bound* relu = registry.find("aten.relu.default");
  ASSERT_NE(relu, nullptr);
  registry.add({"my.op.default", *relu});
  EXPECT_NE(registry.find("my.op.default"), nullptr);
  EXPECT_EQ(Registry::builtin().find("my.op.default"), nullptr);
}

}  // namespace
}  // namespace airloom::convert
