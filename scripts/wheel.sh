#!/usr/bin/env bash
# Packs a wheel into the named folder (dist/) from what build/ holds, building what changed. The editable install in .venv stays as it is.
set -euo pipefail
folder=$(realpath -m "${1:-$(dirname "$0")/../dist}")
cd "$(dirname "$0")/.."

export PATH="$PWD/.venv/bin:$PATH"
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
.venv/bin/python -m pip wheel --disable-pip-version-check --no-input --no-deps --no-build-isolation -w "$folder" . \
  -C build-dir=build -C cmake.define.AIRLOOM_TESTS=ON
