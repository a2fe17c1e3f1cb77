import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from wire import attr, block, integer

Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[2]


def test_version_is_the_projects(airloom: Run) -> None:
    done = airloom("--version")
    assert done.returncode == 0
    assert done.stdout.strip() == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("validate",), ("validate", "a.air", "b.air"), ("inspect",)])
def test_wrong_usage_is_two(airloom: Run, arguments: tuple[str, ...]) -> None:
    done = airloom(*arguments)
    assert done.returncode == 2
    assert done.stderr
    assert not done.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("validate", "--help"), ("inspect", "--help")])
def test_help(airloom: Run, arguments: tuple[str, ...]) -> None:
    done = airloom(*arguments)
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_a_valid_file(airloom: Run, relu: Callable[..., Path]) -> None:
    path = relu()
    done = airloom("validate", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: valid, 3 nodes, 1 input, 1 output\n", "")


def test_one_line_for_each_violation(airloom: Run, relu: Callable[..., Path]) -> None:
    done = airloom(
        "validate", relu(attrs=block(10, attr("alpha", integer(3, 1))) + block(10, attr("beta", integer(3, 1))))
    )
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"act: Relu has no attribute '{name}' [attr-name]" for name in ("alpha", "beta")
    ]


def test_rules_that_are_reported_are_listed(airloom: Run, relu: Callable[..., Path]) -> None:
    done = airloom("validate", "--list-rules")
    assert done.returncode == 0
    rules = {line.split()[0] for line in done.stdout.splitlines()}
    broken = airloom("validate", relu("NoSuchOperator")).stdout
    assert broken.strip().rpartition("[")[2].rstrip("]") == "unknown-op-type"
    assert "unknown-op-type" in rules


@pytest.mark.parametrize("verb", ["validate", "inspect"])
@pytest.mark.parametrize("content", [None, b"", b"text", b"\x3a\xff\xff\xff\xff\x7f"])
def test_what_cannot_be_read_is_two(airloom: Run, tmp_path: Path, verb: str, content: bytes | None) -> None:
    path = tmp_path / "m.air"
    if content is not None:
        path.write_bytes(content)
    done = airloom(verb, path)
    assert done.returncode == 2
    assert done.stderr.startswith("airloom: ")
    assert str(path) in done.stderr
    assert not done.stdout


def test_weight_files_are_found_from_the_working_dir(airloom: Run, relu: Callable[..., Path], tmp_path: Path) -> None:
    dtype = block(10, attr("dtype", integer(15, 0)))
    shape = block(10, attr("shape", block(1, block(3, bytes([2, 3])) + integer(20, 2))))
    path = relu()
    constant = (
        block(1, "w") + block(2, "FileConstant") + dtype + shape + block(10, attr("file_path", block(2, "weights/w")))
    )
    constant += block(10, attr("_output_name_key", block(1, block(2, "y") + integer(20, 1))))
    constant += block(10, attr("_output_name_value", block(1, integer(3, 0) + integer(20, 2))))
    constant += block(34, block(1, "y") + integer(2, 1) + block(3, block(1, bytes([2, 3]))) + block(4, "ND"))
    path = relu(first=constant)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "weights").mkdir(parents=True)
    (elsewhere / "weights" / "w").write_bytes(bytes(24))

    assert "[file-constant-path]" in airloom("validate", path).stdout
    done = airloom("validate", path, "--working-dir", elsewhere)
    assert (done.returncode, done.stdout) == (0, f"{path}: valid, 4 nodes, 1 input, 1 output\n")
    assert airloom("validate", path, cwd=elsewhere).returncode == 0
    assert json.loads(airloom("inspect", "--json", path).stdout)["external_files"] == ["weights/w"]


def test_inspect_json(airloom: Run, relu: Callable[..., Path]) -> None:
    done = airloom("inspect", relu(), "--json")
    assert done.returncode == 0
    tensor = {"dtype": "float32", "shape": [2, 3]}
    assert json.loads(done.stdout) == {
        "inputs": [{"name": "x", **tensor, "index": 0}],
        "outputs": [{"name": "act:0", "source": "act:0", **tensor}],
        "nodes": [
            {"name": "x", "type": "Data", "inputs": [], "attrs": {"index": 0}},
            {"name": "act", "type": "Relu", "inputs": ["x:0"], "attrs": {}},
            {"name": "out", "type": "NetOutput", "inputs": ["act:0"], "attrs": {}},
        ],
        "op_counts": {"Data": 1, "NetOutput": 1, "Relu": 1},
        "weight_bytes": 0,
        "external_files": [],
    }
    assert done.stdout == airloom("inspect", relu(), "--json").stdout


def test_inspect_table(airloom: Run, relu: Callable[..., Path]) -> None:
    done = airloom("inspect", relu())
    assert done.returncode == 0
    assert "relu: 3 nodes in 1 graph" in done.stdout
    assert "x  float32[2, 3]" in done.stdout
