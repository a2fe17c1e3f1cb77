#include "convert/registry.h"

namespace airloom::convert {

std::vector<Family> families() {
  return {
      {"pointwise", pointwise_table()},
      {"activation", activation_table()},
      {"compare", compare_table()},
      {"reduce", reduce_table()},
      {"linalg", linalg_table()},
      {"conv", conv_table()},
      {"pool", pool_table()},
      {"norm", norm_table()},
      {"shape", shape_table()},
      {"index", index_table()},
      {"creation", creation_table()},
      {"attention", attention_table()},
      {"collective", collective_table()},
  };
}

Registry Registry::builtin() {
  Registry registry;
  for (const Family& family : families()) {
    for (const Converter& converter : family.table) registry.add(converter);
  }
  return registry;
}

const Bound* Registry::find(std::string_view target) const {
  const auto found = table_.find(target);
  return found == table_.end() ? nullptr : &found->second;
}

std::vector<std::string> Registry::targets() const {
  std::vector<std::string> out;
  out.reserve(table_.size());
  for (const auto& [target, bound] : table_) out.push_back(target);
  return out;
}

}  // namespace airloom::convert
