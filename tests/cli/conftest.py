"""The command as users run it, and small files to run it on."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from wire import attr, block, integer, node

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def airloom() -> Run:
    """Run the `airloom` beside this Python, or the one that AIRLOOM_CLI names."""
    command = Path(os.environ.get("AIRLOOM_CLI", Path(sys.executable).parent / "airloom"))
    assert command.is_file(), f"{command} is missing: make build"

    def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run([command, *arguments], capture_output=True, text=True, cwd=cwd, timeout=60, check=False)

    return run


@pytest.fixture
def relu(tmp_path: Path) -> Callable[..., Path]:
    """Write x -> Relu -> NetOutput; the operator's type and attributes can be others, and a node can come first."""

    def write(kind: str = "Relu", attrs: bytes = b"", first: bytes = b"") -> Path:
        nodes = [
            node("x", "Data", {"x": ""}, ["y"], block(10, attr("index", integer(3, 0)))),
            node("act", kind, {"x": "x:0"}, ["y"], attrs),
            node("out", "NetOutput", {"input0": "act:0"}, []),
        ]
        graph = block(1, "g") + b"".join(block(6, each) for each in [first, *nodes] if each)
        path = tmp_path / "relu.air"
        path.write_bytes(block(1, "relu") + block(7, graph))
        return path

    return write
