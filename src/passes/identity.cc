#include "passes/passes.h"
#include "passes/rewrite.h"

namespace airloom::passes {

bool identity(ir::Module& module) {
  return rewrite_all(module, [](Rewriter& rewriter, ir::NodeId id) {
    const ir::Node* node = rewriter.match(id, "Identity", 1);
    if (node != nullptr && node->inputs.size() == 1) rewriter.forward(id, node->inputs[0].value);
  });
}

}  // namespace airloom::passes
