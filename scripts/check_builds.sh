#!/usr/bin/env bash
# The builds that are not the everyday one: with sanitizers, and without Python. Each runs the C++ tests.
set -euo pipefail
cd "$(dirname "$0")/.."

check() {
  local folder=$1
  shift
  cmake -S . -B "$folder" -G Ninja -DAIRLOOM_PYTHON=OFF -DAIRLOOM_RUNTIME=OFF -DAIRLOOM_TESTS=ON "$@"
  cmake --build "$folder" --parallel "$(nproc)"
  ctest --test-dir "$folder" --output-on-failure --parallel "$(nproc)"
}

check build-nopython -DCMAKE_BUILD_TYPE=Release
check build-sanitize -DCMAKE_BUILD_TYPE=RelWithDebInfo -DAIRLOOM_SANITIZE=ON
