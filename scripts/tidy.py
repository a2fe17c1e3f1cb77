"""Runs clang-tidy over the project's C++ files, several at a time, and skips files whose last clean run still holds.

A file is checked again when it, a project header that it includes (directly or not), its compile command or
.clang-tidy changed.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
TIDY = BUILD / "tidy"
ROOMS = ("src", "bindings")
# Own headers, but not *.gen.h; POSIX regular expressions have no look-ahead.
HEADERS = rf"^{re.escape(str(ROOT))}/(src|include|bindings)/.*([^n]|[^e]n|[^g]en)\.h$"
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.MULTILINE)


def clean_arguments(command: str) -> list[str]:
    """The command without what only gcc understands: the compiler launcher, precompiled headers, gcc's own warnings."""
    words = shlex.split(command)
    start = next(i for i, word in enumerate(words) if re.search(r"(^|/)(c\+\+|g\+\+|clang\+\+)[-.\d]*$", word))
    kept: list[str] = []
    rest = iter(words[start:])
    for word in rest:
        if word == "-include":
            next(rest)
        elif word not in ("-Winvalid-pch", "-fpch-preprocess", "-fno-fat-lto-objects", "-flto", "-flto=auto"):
            kept.append(word)
    return kept


@functools.cache
def project_includes(path: Path) -> tuple[Path, ...]:
    """Files of the project that `path` includes directly."""
    found = []
    for name in INCLUDE.findall(path.read_text(encoding="utf-8", errors="replace")):
        for folder in (path.parent, ROOT / "src", ROOT / "include", BUILD / "generated"):
            if (folder / name).is_file():
                found.append((folder / name).resolve())
                break
    return tuple(found)


@functools.cache
def content_hash(path: Path) -> bytes:
    """Digest of one file's bytes."""
    return hashlib.sha256(path.read_bytes()).digest()


def key_of(path: Path, arguments: list[str], version: str) -> str:
    """Digest of all that a verdict on `path` depends on."""
    seen: set[Path] = set()
    todo = [path]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(project_includes(current))
    digest = hashlib.sha256(json.dumps([arguments, version]).encode())
    for current in [*sorted(seen), ROOT / ".clang-tidy"]:
        digest.update(content_hash(current))
    return digest.hexdigest()


def main() -> int:
    """Checks the files and returns the exit code: 1 when there are findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="only these files (default: all)")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 2)
    options = parser.parse_args()

    database = BUILD / "compile_commands.json"
    if not database.is_file():
        print(f"tidy: {database} is missing; run `make build` first", file=sys.stderr)
        return 2
    wanted = {Path(name).resolve() for name in options.files}
    rooms = [ROOT / room for room in ROOMS]
    entries: dict[Path, list[str]] = {}
    for entry in json.loads(database.read_text(encoding="utf-8")):
        path = Path(entry["directory"], entry["file"]).resolve()
        if any(room in path.parents for room in rooms) and path.is_file() and (not wanted or path in wanted):
            entries[path] = clean_arguments(entry["command"])
    unknown = wanted - entries.keys()
    if unknown:
        print(f"tidy: not compiled by the build: {', '.join(map(str, sorted(unknown)))}", file=sys.stderr)
        return 2

    TIDY.mkdir(exist_ok=True)
    cleaned = [
        {"directory": str(BUILD), "file": str(path), "arguments": args} for path, args in sorted(entries.items())
    ]
    (TIDY / "compile_commands.json").write_text(json.dumps(cleaned, indent=1), encoding="utf-8")
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, text=True, check=True).stdout
    clean = TIDY / "clean.json"
    known: dict[str, str] = json.loads(clean.read_text(encoding="utf-8")) if clean.is_file() else {}

    def check(path: Path) -> tuple[Path, str, str]:
        command = ["clang-tidy", "-p", str(TIDY), "--quiet", f"--header-filter={HEADERS}", str(path)]
        begin = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        name = path.relative_to(ROOT)
        print(
            f"tidy: {'clean ' if done.returncode == 0 else 'FAILED'} {name} ({time.monotonic() - begin:.1f} s)",
            flush=True,
        )
        return path, keys[path], "" if done.returncode == 0 else done.stdout + done.stderr

    keys = {path: key_of(path, args, version) for path, args in entries.items()}
    todo = [path for path in sorted(entries) if known.get(str(path.relative_to(ROOT))) != keys[path]]
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for path, key, findings in pool.map(check, todo):
            if findings:
                failed += 1
                print(findings)
            else:
                known[str(path.relative_to(ROOT))] = key
                clean.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
    print(f"tidy: {len(entries)} files, {len(todo)} checked, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
