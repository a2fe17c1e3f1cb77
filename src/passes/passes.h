// The passes' entry points, for the pipeline's table.
#pragma once

#include "ir/graph.h"

namespace airloom::passes {

/// Removes what neither reaches NetOutput, by data or control edges, nor has an effect; keeps the graph's inputs.
bool dead_code(ir::Module& module);
/// Makes one of equal Const nodes: lifted and computed ones by content, weights by address.
bool constant_dedup(ir::Module& module);
/// Makes one of pure nodes of the same type, attributes and inputs.
bool common_subexpressions(ir::Module& module);
/// Skips casts to a type that holds every value of their input, and casts to the same type.
bool cast_of_cast(ir::Module& module);
/// Removes Identity nodes, except between an input or a constant and NetOutput.
bool identity(ir::Module& module);
/// Makes a swap of the last two dims before a matrix product an attribute of the product.
bool transpose_into_matmul(ir::Module& module);
/// Joins chains of Reshape, Transpose, Squeeze and Unsqueeze, and removes those that change nothing.
bool reshape_of_reshape(ir::Module& module);

}  // namespace airloom::passes
