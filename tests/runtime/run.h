// Runs text modules with literal inputs: in the plugin where it can, and every operator in the exact evaluator.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "airloom/runtime.h"
#include "ir/graph.h"
#include "runtime/tensor.h"

namespace airloom::runtime::testing {

struct Arg {
  DType dtype = DType::kFloat;
  Dims shape;
  std::vector<std::byte> bytes;
};
template <class T>
Arg arg(DType dtype, Dims shape, const std::vector<T>& numbers) {
  const Tensor tensor = make(dtype, shape, numbers);
  Arg out{dtype, std::move(shape), {}};
  out.bytes.assign(tensor.data, tensor.data + tensor.nbytes());
  return out;
}
inline Arg f32(Dims shape, const std::vector<double>& numbers) { return arg(DType::kFloat, std::move(shape), numbers); }
inline Arg f64(Dims shape, const std::vector<double>& numbers) { return arg(DType::kDouble, std::move(shape), numbers); }
inline Arg i64(Dims shape, const std::vector<std::int64_t>& numbers) { return arg(DType::kInt64, std::move(shape), numbers); }
inline Arg i32(Dims shape, const std::vector<std::int64_t>& numbers) { return arg(DType::kInt32, std::move(shape), numbers); }
inline Arg b8(Dims shape, const std::vector<std::int64_t>& numbers) { return arg(DType::kBool, std::move(shape), numbers); }

inline TensorView view(const Arg& a) {
  static constexpr std::byte kNothing{};
  return {a.dtype, a.shape, a.bytes.empty() ? &kNothing : a.bytes.data()};
}
inline Tensor tensor(const TensorBuf& buf) {
  Tensor out;
  out.dtype = buf.dtype;
  out.shape = buf.shape;
  out.data = static_cast<const std::byte*>(buf.data.get());
  out.owner = buf.data;
  return out;
}
inline std::vector<double> floats(const TensorBuf& buf) { return values<double>(tensor(buf)); }
inline std::vector<std::int64_t> numbers(const TensorBuf& buf) { return values<std::int64_t>(tensor(buf)); }

inline Result<Session> open(const std::string& body, Options options = {}) {
  Result<ir::Module> module = ir::parse("module \"m\" {}\ngraph \"m\" {\n" + body + "\n}\n");
  if (!module) return tl::unexpected(module.error());
  options.threads = 1;
  return Session::from_module(std::move(*module), options);
}
inline Result<std::vector<TensorBuf>> call(Session& session, const std::vector<Arg>& args) {
  std::vector<TensorView> views;
  for (const Arg& a : args) views.push_back(view(a));
  return session.run(views);
}

/// Runs all ways (as plain loops where the runtime would, in the plugin, in the exact evaluator) and compares with what is expected.
inline void expect(const std::string& body, const std::vector<Arg>& args, const std::vector<std::pair<Dims, std::vector<double>>>& want,
                   double tolerance = 1e-5) {
  for (const char* way : {"direct", "plugin", "exact evaluator"}) {
    SCOPED_TRACE(way);
    Options options;
    options.direct = std::string_view(way) == "direct";
    options.reference = std::string_view(way) == "exact evaluator";
    Result<Session> session = open(body, options);
    ASSERT_TRUE(session) << session.error().text();
    const auto out = call(*session, args);
    ASSERT_TRUE(out) << out.error().text();
    ASSERT_EQ(out->size(), want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      SCOPED_TRACE("output " + std::to_string(i));
      EXPECT_EQ((*out)[i].shape, want[i].first);
      const std::vector<double> got = floats((*out)[i]);
      ASSERT_EQ(got.size(), want[i].second.size());
      for (std::size_t k = 0; k < got.size(); ++k) {
        if (std::isnan(want[i].second[k])) {
          EXPECT_TRUE(std::isnan(got[k])) << "element " << k << " is " << got[k];
        } else if (std::isinf(want[i].second[k])) {
          EXPECT_EQ(got[k], want[i].second[k]) << "element " << k;
        } else {
          EXPECT_NEAR(got[k], want[i].second[k], tolerance) << "element " << k;
        }
      }
    }
  }
}
inline std::string error_of(const std::string& body, const std::vector<Arg>& args) {
  Result<Session> session = open(body);
  if (!session) return session.error().text();
  const auto out = call(*session, args);
  return out ? "" : out.error().text();
}

}  // namespace airloom::runtime::testing
