#!/usr/bin/env bash
# The builds that are not the everyday one: without Python, and with sanitizers (the runtime included). Each runs the C++ tests.
set -euo pipefail
cd "$(dirname "$0")/.."

check() {
  local folder=$1
  shift
  cmake -S . -B "$folder" -G Ninja -DAIRLOOM_PYTHON=OFF -DAIRLOOM_TESTS=ON "$@"
  cmake --build "$folder" --parallel "$(nproc)"
  ctest --test-dir "$folder" --output-on-failure --parallel "$(nproc)"
}

# TBB opens its helper libraries with RTLD_DEEPBIND, which ends a process with AddressSanitizer, unless told not to.
export TBB_ENABLE_SANITIZERS=1
# An allocation that is refused is what the runtime's tests of absurd sizes look for.
export ASAN_OPTIONS=allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1

check build-nopython -DAIRLOOM_RUNTIME=OFF -DCMAKE_BUILD_TYPE=Release
# -O1 without NDEBUG: half the build time of -O2, and assertions hold.
check build-sanitize -DAIRLOOM_RUNTIME=ON -DAIRLOOM_SANITIZE=ON -DPython_EXECUTABLE="$PWD/.venv/bin/python" \
  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1"
