#!/usr/bin/env bash
# Builds everything into build/ and installs it into .venv: the first time through pip (editable), afterwards only what changed.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$PWD/.venv/bin/python
export PATH="$PWD/.venv/bin:$PATH"
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}

stamp=.venv/.build-stamp
key=$({ pwd; "$python" -VV; cat pyproject.toml cmake/python.cmake scripts/build.sh; } | sha256sum | cut -d' ' -f1)
if [[ -f $stamp && $(< "$stamp") == "$key" && -f build/build.ninja ]]; then
  site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
  cmake --build build
  cmake --install build --component python --prefix "$site" > build/install.log
  cmake --install build --component cli --prefix .venv >> build/install.log
else
  rm -f "$stamp"
  "$python" -m pip install -v --disable-pip-version-check --no-input --no-deps --no-build-isolation -e . \
    -C build-dir=build -C cmake.define.AIRLOOM_TESTS=ON
  echo "$key" > "$stamp"
fi
