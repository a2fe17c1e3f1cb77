#include "opdb/opdb.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <concepts>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "opdb/ge.gen.h"

namespace airloom::opdb {
namespace {

std::uint64_t bit(ir::DType dtype) { return std::uint64_t{1} << static_cast<unsigned>(dtype); }

const AttrInfo* find_attr(const OpInfo& op, std::string_view name) {
  const auto at = std::find_if(op.attrs.begin(), op.attrs.end(), [name](const AttrInfo& attr) { return attr.name == name; });
  return at == op.attrs.end() ? nullptr : &*at;
}

// The table's row of an op, written the way ge.gen.h writes names.
std::vector<std::string> marked(std::span<const Port> ports) {
  std::vector<std::string> names;
  for (const Port& port : ports) {
    names.push_back(std::string(port.name) + (port.kind == Kind::kRequired ? "" : port.kind == Kind::kOptional ? "?" : "*"));
  }
  return names;
}

template <class Op>
void expect_same_as_table() {
  SCOPED_TRACE(Op::kType);
  const OpInfo* op = find_op(Op::kType);
  ASSERT_NE(op, nullptr);
  EXPECT_EQ(marked(op->inputs), std::vector<std::string>(Op::kInputs.begin(), Op::kInputs.end()));
  EXPECT_EQ(marked(op->outputs), std::vector<std::string>(Op::kOutputs.begin(), Op::kOutputs.end()));
}

TEST(Opdb, FindsPrototypeInOrder) {
  const OpInfo* op = find_op("MatMulV2");
  ASSERT_NE(op, nullptr);
  EXPECT_EQ(op->type, "MatMulV2");
  EXPECT_EQ(marked(op->inputs), (std::vector<std::string>{"x1", "x2", "bias?", "offset_w?"}));
  EXPECT_EQ(marked(op->outputs), std::vector<std::string>{"y"});
  ASSERT_EQ(op->attrs.size(), 3U);
  EXPECT_EQ(op->attrs[0].name, "transpose_x1");
  EXPECT_EQ(op->attrs[0].kind, AttrKind::kBool);
  EXPECT_FALSE(op->attrs[0].required);
  EXPECT_EQ(op->attrs[0].default_text, "false");
  EXPECT_EQ(op->attrs[2].name, "offset_x");
  EXPECT_EQ(op->attrs[2].default_text, "0");
  EXPECT_FALSE(op->deprecated);
}

TEST(Opdb, KnowsRequiredAttributes) {
  const OpInfo* op = find_op("Cast");
  ASSERT_NE(op, nullptr);
  const AttrInfo* attr = find_attr(*op, "dst_type");
  ASSERT_NE(attr, nullptr);
  EXPECT_TRUE(attr->required);
  EXPECT_EQ(attr->kind, AttrKind::kInt);
  EXPECT_EQ(attr->default_text, "");
  EXPECT_EQ(find_attr(*op, "no_such_attribute"), nullptr);
}

TEST(Opdb, KnowsDynamicPortsAndSubgraphs) {
  const OpInfo* concat = find_op("ConcatD");
  ASSERT_NE(concat, nullptr);
  EXPECT_EQ(marked(concat->inputs), std::vector<std::string>{"x*"});
  const OpInfo* split = find_op("SplitV");
  ASSERT_NE(split, nullptr);
  EXPECT_EQ(marked(split->outputs), std::vector<std::string>{"y*"});
  const OpInfo* branches = find_op("Case");
  ASSERT_NE(branches, nullptr);
  EXPECT_EQ(std::vector<std::string_view>(branches->subgraphs.begin(), branches->subgraphs.end()),
            std::vector<std::string_view>{"branches*"});
  const OpInfo* loop = find_op("While");
  ASSERT_NE(loop, nullptr);
  EXPECT_EQ(std::vector<std::string_view>(loop->subgraphs.begin(), loop->subgraphs.end()), (std::vector<std::string_view>{"cond", "body"}));
  EXPECT_TRUE(find_op("Add")->subgraphs.empty());
}

TEST(Opdb, ListsDtypesOfPorts) {
  const OpInfo* op = find_op("Sqrt");
  ASSERT_NE(op, nullptr);
  ASSERT_EQ(op->inputs.size(), 1U);
  EXPECT_NE(op->inputs[0].dtypes & bit(ir::DType::kFloat16), 0U);
  EXPECT_EQ(op->inputs[0].dtypes & bit(ir::DType::kString), 0U);
  EXPECT_EQ(find_op("Case")->inputs[0].dtypes, bit(ir::DType::kInt32));
}

TEST(Opdb, MarksDeprecatedOps) {
  EXPECT_GT(std::count_if(ops().begin(), ops().end(), [](const OpInfo& op) { return op.deprecated; }), 50);
  EXPECT_TRUE(find_op("ReduceProdD")->deprecated);
  EXPECT_FALSE(find_op("ReduceProd")->deprecated);
}

TEST(Opdb, UnknownOpsAreNull) {
  EXPECT_EQ(find_op(""), nullptr);
  EXPECT_EQ(find_op("A"), nullptr);
  EXPECT_EQ(find_op("matmulv2"), nullptr);
  EXPECT_EQ(find_op("MatMulV2 "), nullptr);
  EXPECT_EQ(find_op("zzzz"), nullptr);
  EXPECT_EQ(find_op("NetOutput"), nullptr);
}

TEST(Opdb, TableIsSortedAndEveryRowIsFound) {
  ASSERT_GT(ops().size(), 1900U);
  for (std::size_t i = 0; i < ops().size(); ++i) {
    const OpInfo& op = ops()[i];
    EXPECT_EQ(find_op(op.type), &op) << op.type;
    if (i > 0) {
      EXPECT_LT(ops()[i - 1].type, op.type);
    }
  }
}

// The kind of JSON value that a default of each attribute kind is.
bool fits(AttrKind kind, const nlohmann::json& value) {
  const auto all = [&value](auto&& test) { return value.is_array() && std::all_of(value.begin(), value.end(), test); };
  const auto integer = [](const nlohmann::json& item) { return item.is_number_integer(); };
  const auto text = [](const nlohmann::json& item) { return item.is_string(); };
  switch (kind) {
    case AttrKind::kInt: return value.is_number_integer();
    case AttrKind::kFloat: return value.is_number();
    case AttrKind::kBool: return value.is_boolean();
    case AttrKind::kString:
    case AttrKind::kType: return value.is_string();
    case AttrKind::kListInt: return all(integer);
    case AttrKind::kListFloat: return all([](const nlohmann::json& item) { return item.is_number(); });
    case AttrKind::kListBool: return all([](const nlohmann::json& item) { return item.is_boolean(); });
    case AttrKind::kListString:
    case AttrKind::kListType: return all(text);
    case AttrKind::kListListInt:
      return all([&](const nlohmann::json& item) { return item.is_array() && std::all_of(item.begin(), item.end(), integer); });
    case AttrKind::kTensor:
    case AttrKind::kOther: return false;
  }
  return false;
}

TEST(Opdb, DefaultsAreJsonOfTheAttributesKind) {
  std::size_t seen = 0;
  for (const OpInfo& op : ops()) {
    for (const AttrInfo& attr : op.attrs) {
      if (attr.required || attr.kind == AttrKind::kTensor) {
        EXPECT_EQ(attr.default_text, "") << op.type << "." << attr.name;
        continue;
      }
      const nlohmann::json value = nlohmann::json::parse(attr.default_text, nullptr, false);
      EXPECT_TRUE(fits(attr.kind, value)) << op.type << "." << attr.name << " = " << attr.default_text;
      ++seen;
    }
  }
  EXPECT_GT(seen, 3000U);
}

TEST(Opdb, LooksUpAtenSchemas) {
  EXPECT_EQ(aten_schema("aten.addmm.default"),
            "aten::addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor");
  EXPECT_EQ(aten_schema("aten.add.Tensor"), "aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor");
  EXPECT_EQ(aten_schema("aten.sym_size.int"), "aten::sym_size.int(Tensor self, int dim) -> SymInt");
  EXPECT_FALSE(aten_schema("_c10d_functional.all_reduce.default").empty());
  EXPECT_FALSE(aten_schema("prims.convert_element_type.default").empty());
  EXPECT_FALSE(aten_schema("quantized_decomposed.quantize_per_tensor.default").empty());
}

TEST(Opdb, UnknownSchemasAreEmpty) {
  EXPECT_EQ(aten_schema(""), "");
  EXPECT_EQ(aten_schema("aten.addmm"), "");
  EXPECT_EQ(aten_schema("aten::addmm.default"), "");
  EXPECT_EQ(aten_schema("zzz.zzz.default"), "");
}

TEST(Opdb, SchemasAreSortedAndStartWithTheirName) {
  ASSERT_GT(aten_schemas().size(), 3000U);
  for (std::size_t i = 0; i < aten_schemas().size(); ++i) {
    const auto& [overload, text] = aten_schemas()[i];
    EXPECT_EQ(aten_schema(overload), text);
    // "aten.add.Tensor" is "aten::add.Tensor(...", "aten.addmm.default" is "aten::addmm(...".
    std::string signature(overload);
    signature.replace(signature.find('.'), 1, "::");
    if (signature.ends_with(".default")) {
      signature.resize(signature.size() - std::string_view(".default").size());
    }
    EXPECT_EQ(text.substr(0, text.find('(')), signature);
    if (i > 0) {
      EXPECT_LT(aten_schemas()[i - 1].overload, overload);
    }
  }
}

TEST(GeStructs, AgreeWithTheTable) {
  expect_same_as_table<ge::Add>();
  expect_same_as_table<ge::MatMulV2>();
  expect_same_as_table<ge::ConcatV2>();
  expect_same_as_table<ge::Data>();
  expect_same_as_table<ge::Const>();
  expect_same_as_table<ge::FileConstant>();
  expect_same_as_table<ge::HcomAllReduce>();
  expect_same_as_table<ge::While>();
}

TEST(GeStructs, VisitGivesNamesValuesAndDefaults) {
  std::vector<std::string> names;
  std::vector<std::size_t> defaults;
  std::vector<bool> changed;
  const auto visitor = [&](std::string_view name, const auto& value, const auto&... fallback) {
    static_assert((std::same_as<std::remove_cvref_t<decltype(value)>, std::remove_cvref_t<decltype(fallback)>> && ...));
    names.emplace_back(name);
    defaults.push_back(sizeof...(fallback));
    changed.push_back(!((value == fallback) && ... && (sizeof...(fallback) == 1)));
  };
  ge::MatMulV2::Attrs{.transpose_x2 = true}.visit(visitor);
  EXPECT_EQ(names, (std::vector<std::string>{"transpose_x1", "transpose_x2", "offset_x"}));
  EXPECT_EQ(changed, (std::vector<bool>{false, true, false}));
  names.clear();
  defaults.clear();
  ge::FileConstant::Attrs{.shape = {2, 3}, .dtype = ir::DType::kFloat16}.visit(visitor);
  EXPECT_EQ(names, (std::vector<std::string>{"file_path", "file_id", "shape", "dtype"}));
  EXPECT_EQ(defaults, (std::vector<std::size_t>{1, 1, 0, 0}));
}

TEST(GeStructs, RequiredHoldsOnlyValuesOfItsKind) {
  EXPECT_EQ(ge::Required<ir::Ints>({4, 5}).value, (ir::Ints{4, 5}));
  EXPECT_EQ(ge::Required<ir::Ints>(ir::Ints{}).value, ir::Ints{});
  EXPECT_EQ(ge::Required<std::string>(std::string_view("sum")).value, "sum");
  EXPECT_EQ(ge::Required<double>(2).value, 2.0);
  EXPECT_EQ((ge::Required<ir::IntLists>{{1, 2}, {3}}.value), (ir::IntLists{{1, 2}, {3}}));
  static_assert(!std::is_default_constructible_v<ge::Required<std::int64_t>>);
  static_assert(!std::is_default_constructible_v<ge::Required<ir::Ints>>);
  static_assert(!std::is_convertible_v<int, ge::Required<ir::Ints>>, "a number is not a list of that length");
  static_assert(!std::is_convertible_v<double, ge::Required<std::int64_t>>);
  static_assert(!std::is_convertible_v<const char*, ge::Required<bool>>);
  static_assert(std::is_convertible_v<std::size_t, ge::Required<std::int64_t>>);
}

}  // namespace
}  // namespace airloom::opdb
