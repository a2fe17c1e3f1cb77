// What convolutions and pooling share.
#pragma once

#include <fmt/format.h>

#include "convert/build.h"

namespace airloom::convert {

/// A list with one number per spatial dim; a single number stands for all of them, as in torch.
inline Ints per_dim(Ints list, std::size_t count, std::string_view what) {
  if (list.size() == 1) list.resize(count, list.front());
  if (list.size() != count) throw Unsupported(fmt::format("{} has {} elements for {} spatial dims", what, list.size(), count));
  return list;
}

}  // namespace airloom::convert
