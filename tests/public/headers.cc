// Compiled with include/ alone: the public headers need nothing of src/.
#include "airloom/dtype.h"
#include "airloom/error.h"
#include "airloom/runtime.h"

/// What a program around a graph of one float32 input looks like; the build of this file is the test.
airloom::Result<std::vector<airloom::runtime::TensorBuf>> run_once(const std::string& path, const std::vector<float>& x) {
  auto session = airloom::runtime::Session::load(path);
  if (!session) return tl::unexpected(session.error());
  const airloom::runtime::TensorView input{airloom::ir::DType::kFloat, {static_cast<std::int64_t>(x.size())}, x.data()};
  return session->run({&input, 1});
}
