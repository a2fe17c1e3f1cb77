// Attribute values: one alternative for each AttrDef kind the format has.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "airloom/dtype.h"
#include "ir/tensor.h"

namespace airloom::ir {

using Ints = std::vector<std::int64_t>;
using Floats = std::vector<double>;  // stored as float32 in the file
using Bools = std::vector<bool>;
using Strings = std::vector<std::string>;
using DTypes = std::vector<DType>;
using IntLists = std::vector<std::vector<std::int64_t>>;
using TensorRef = std::shared_ptr<const Tensor>;

/// AttrDef: i f b s dt t, list{i f b s dt} with val_type, list_list_int. A `double` is written as `f` (float32).
using Attr = std::variant<std::int64_t, double, bool, std::string, DType, TensorRef, Ints, Floats, Bools, Strings, DTypes, IntLists>;
using Attrs = std::map<std::string, Attr, std::less<>>;

/// Equal as files hold them: floats as float32 (a NaN equals a NaN), tensors by content.
bool equal(const Attr& a, const Attr& b);

}  // namespace airloom::ir
