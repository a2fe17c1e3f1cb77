#include "opdb/opdb.h"

#include <algorithm>

namespace airloom::opdb {
namespace {

using namespace std::string_view_literals;

#include "opdb/ops.gen.inc"
#include "opdb/schemas.gen.inc"

// Row of a table sorted by `key`, null when there is none.
template <class Row, class Key>
const Row* find_row(std::span<const Row> rows, Key Row::*key, std::string_view wanted) {
  const auto at =
      std::lower_bound(rows.begin(), rows.end(), wanted, [key](const Row& row, std::string_view value) { return row.*key < value; });
  return at != rows.end() && (*at).*key == wanted ? &*at : nullptr;
}

}  // namespace

std::span<const OpInfo> ops() { return kOps; }
std::span<const Schema> aten_schemas() { return kSchemas; }

const OpInfo* find_op(std::string_view type) { return find_row(ops(), &OpInfo::type, type); }

std::string_view aten_schema(std::string_view overload) {
  const Schema* row = find_row(aten_schemas(), &Schema::overload, overload);
  return row == nullptr ? std::string_view() : row->text;
}

}  // namespace airloom::opdb
