// The set of converters: a value that is passed down, never a global.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "convert/bind.h"

namespace airloom::convert {

class Registry {
 public:
  /// All families of this library.
  static Registry builtin();
  /// Adds or replaces one converter.
  void add(const Converter& converter) { table_[std::string(converter.target)] = converter.bound; }
  [[nodiscard]] const Bound* find(std::string_view target) const;
  /// Overload keys, sorted.
  [[nodiscard]] std::vector<std::string> targets() const;

 private:
  std::map<std::string, Bound, std::less<>> table_;
};

/// The families, each the table at the end of its file.
std::span<const Converter> pointwise_table();
std::span<const Converter> activation_table();
std::span<const Converter> compare_table();
std::span<const Converter> reduce_table();
std::span<const Converter> linalg_table();
std::span<const Converter> conv_table();
std::span<const Converter> pool_table();
std::span<const Converter> norm_table();
std::span<const Converter> shape_table();
std::span<const Converter> index_table();
std::span<const Converter> creation_table();
std::span<const Converter> attention_table();
std::span<const Converter> collective_table();
/// Families and their names, for the duplicate test.
struct Family {
  std::string_view name;
  std::span<const Converter> table;
};
std::vector<Family> families();

}  // namespace airloom::convert
