#!/usr/bin/env bash
# Brings a machine to the state that a build needs: system packages and .venv. Does nothing when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
installed=$'\n'$(dpkg-query -W -f '${Package} ${Status}\n' 2>/dev/null | awk '/install ok installed$/ { print $1 }')$'\n'
while read -r package; do
  [[ -z $package || $installed == *$'\n'"$package"$'\n'* ]] || missing+=("$package")
done < scripts/apt-packages.txt
if ((${#missing[@]})); then
  as_root=()
  if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
  echo "setup: installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq < /dev/null
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" < /dev/null
fi

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3 /usr/bin/python3; do
    if [[ -n $candidate ]] && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "setup: no Python >= 3.11 with venv was found; install one or set PYTHON=/path/to/python3" >&2
  return 1
}

stamp=.venv/.setup-stamp
key=$(cat requirements/*.txt scripts/setup.sh | sha256sum | cut -d' ' -f1)
if [[ -x .venv/bin/python && -f $stamp && $(< "$stamp") == "$key" ]]; then exit 0; fi

# A virtual environment whose interpreter went away cannot be repaired in place.
if ! .venv/bin/python -c '' 2> /dev/null; then
  python=$(find_python)
  "$python" -m venv --clear .venv
fi
echo "setup: installing the pinned Python packages into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input -r requirements/dev.txt
echo "$key" > "$stamp"
