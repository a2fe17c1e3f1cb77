// Starts the ranks of `airloom run --ranks N`.
#pragma once

#include "airloom/error.h"

namespace airloom::cli {

/// Runs this process's own command line `count` times, each with its place in the environment, and waits. Prints what the ranks printed, in
/// rank order. When one fails the others are ended, and the error holds what the failed ones said. To be called before anything starts
/// threads.
Result<int> run_ranks(int count);
/// In a process that run_ranks started: ends with the one that started it, however that ends. Does nothing in others.
void end_with_starter();

}  // namespace airloom::cli
