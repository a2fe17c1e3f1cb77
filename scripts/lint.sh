#!/usr/bin/env bash
# All style checks; any finding fails. Needs a configured and generated build/ (make build).
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t cpp < <(find src include bindings tests -name '*.gen.*' -prune -o \( -name '*.h' -o -name '*.cc' \) -print | sort)
echo "lint: clang-format (${#cpp[@]} files)"
clang-format --dry-run -Werror "${cpp[@]}"

echo "lint: ruff and mypy"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy --strict python

echo "lint: clang-tidy"
.venv/bin/python scripts/tidy.py "$@"
