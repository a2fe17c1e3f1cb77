// Control flow: subgraphs run by the session.
#include <cmath>

#include "runtime/exec.h"
#include "runtime/families.h"

namespace airloom::runtime {
namespace {

/// GE's truth: a scalar is true when nonzero, anything with dimensions when it has elements.
bool truth(const Tensor& cond) {
  if (cond.rank() > 0) return cond.numel() > 0;
  return cast(cond, DType::kBool).data[0] != std::byte{0};
}
Scope& scope_of(HostCtx& c) {
  if (c.scope() == nullptr) bad(Errc::kUnsupported, "control flow is not folded", c.node().name);
  return *c.scope();
}
std::vector<Tensor> operands(HostCtx& c) {
  std::vector<Tensor> out;
  for (std::size_t i = 0; i < c.in_count(); ++i) out.push_back(c.in(i));
  return out;
}
void give(HostCtx& c, std::vector<Tensor> results) {
  for (std::size_t i = 0; i < c.out_count(); ++i) {
    if (i >= results.size() || !results[i].present())
      bad(Errc::kInvalidGraph, fmt::format("the subgraph gives no output {}", i), c.node().name);
    c.out(i, results[i]);
  }
}
void host_if(HostCtx& c) { give(c, scope_of(c).call(c.node(), truth(c.in(0)) ? 0 : 1, operands(c), 1)); }
void host_case(HostCtx& c) {
  const Dims index = ints(c.in(0));
  const auto n = static_cast<std::int64_t>(c.node().subgraphs.size());
  if (index.empty() || n == 0) bad_value("Case needs an index and branches");
  const std::int64_t taken = index[0] < 0 || index[0] >= n ? n - 1 : index[0];
  give(c, scope_of(c).call(c.node(), static_cast<std::size_t>(taken), operands(c), 1));
}
void host_while(HostCtx& c) {
  std::vector<Tensor> state = operands(c);
  for (;;) {
    const std::vector<Tensor> verdict = scope_of(c).call(c.node(), 0, state, 0);
    if (verdict.size() != 1) bad(Errc::kInvalidGraph, "a loop condition must give one value", c.node().name);
    if (!truth(verdict[0])) break;
    std::vector<Tensor> next = scope_of(c).call(c.node(), 1, state, 0);
    if (next.size() != state.size()) bad(Errc::kInvalidGraph, "a loop body must give as many values as it takes", c.node().name);
    state = std::move(next);
  }
  give(c, std::move(state));
}
void host_call(HostCtx& c) { give(c, scope_of(c).call(c.node(), 0, operands(c), 0)); }
void host_assert(HostCtx& c) {
  if (truth(c.in(0))) return;
  std::string text;
  for (std::size_t i = 1; i < c.in_count(); ++i) {
    const Tensor& x = c.in(i);
    const std::vector<double> v = ir::is_complex(x.dtype) ? std::vector<double>{} : values<double>(x);
    text += fmt::format(" {} [{}]", dims_text(x.shape),
                        fmt::join(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(v.size(), 3)), ", "));
  }
  bad(Errc::kRuntime, "the assertion failed:" + text, c.node().name);
}

constexpr Op kTable[] = {
    {"If", host_if, nullptr, Ints::kHost, -1, true},
    {"StatelessIf", host_if, nullptr, Ints::kHost, -1, true},
    {"Case", host_case, nullptr, Ints::kHost, -1, true},
    {"StatelessCase", host_case, nullptr, Ints::kHost, -1, true},
    {"While", host_while, nullptr, Ints::kHost, -1, true},
    {"StatelessWhile", host_while, nullptr, Ints::kHost, -1, true},
    {"PartitionedCall", host_call, nullptr, Ints::kHost, -1, true},
    {"StatefulPartitionedCall", host_call, nullptr, Ints::kHost, -1, true},
    {"Assert", host_assert, nullptr, Ints::kHost, -1, true},
};

}  // namespace

std::span<const Op> control_ops() { return kTable; }

}  // namespace airloom::runtime
