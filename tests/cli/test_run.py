"""`airloom run` on one process."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_values_from_an_archive(airloom: Run, relu: Callable[..., Path], tmp_path: Path) -> None:
    x = np.array([[-1, 2, -3], [4, -5, 6]], np.float32)
    np.savez_compressed(tmp_path / "in.npz", x=x)
    done = airloom("run", relu(), "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    assert (done.returncode, done.stderr) == (0, "")
    assert "float32 [2, 3]" in done.stdout
    (out,) = np.load(tmp_path / "out.npz").values()
    np.testing.assert_array_equal(out, np.maximum(x, 0))


def test_random_inputs_follow_the_seed(airloom: Run, relu: Callable[..., Path], tmp_path: Path) -> None:
    path = relu()
    outputs = []
    for number, seed in enumerate([(), ("--seed", "0"), ("--seed", "1")]):
        out = tmp_path / f"{number}.npz"
        done = airloom("run", path, "--random", *seed, "--outputs", out)
        assert (done.returncode, done.stderr) == (0, "")
        outputs.append(next(iter(np.load(out).values())))
    assert np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


def test_latencies_and_profile(airloom: Run, relu: Callable[..., Path]) -> None:
    done = airloom("run", relu(), "--random", "--repeat", "5", "--profile")
    assert (done.returncode, done.stderr) == (0, "")
    number = r"\d+\.\d{3}"
    rest = ", ".join(f"{name} {number}" for name in ("min", "median", "mean", "p90", "max"))
    assert re.search(rf"first call {number} ms; then 4 calls: {rest} ms", done.stdout)
    assert re.search(r"^Relu +1 +\d+\.\d +\d+\.\d%$", done.stdout, re.MULTILINE)
    assert re.search(r"^act +Relu +\d+\.\d$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "airloom: x: no value for this input (give it with --inputs, or use --random)"),
        (("--inputs", "missing.npz"), "missing.npz"),
        (("--inputs", "other.npz", "--random"), "the graph has no input z"),
        (("--inputs", "double.npz"), "element type is float64, the graph takes float32"),
        (("--inputs", "wide.npz"), "shape is [2, 4], the graph takes [2, 3]"),
        (("--random", "--outputs", "no/such/folder/out.npz"), "no/such/folder"),
        (("--random", "--repeat", "0"), "--repeat"),
        (("--random", "--precision", "half"), "--precision"),
    ],
)
def test_wrong_usage_is_said(
    airloom: Run, relu: Callable[..., Path], tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    np.savez(tmp_path / "other.npz", z=np.zeros((2, 3), np.float32))
    np.savez(tmp_path / "double.npz", x=np.zeros((2, 3)))
    np.savez(tmp_path / "wide.npz", x=np.zeros((2, 4), np.float32))
    done = airloom("run", relu(), *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr


def test_unknown_operators_are_listed(airloom: Run, relu: Callable[..., Path]) -> None:
    done = airloom("run", relu("Nonsense"), "--random")
    assert done.returncode == 2
    assert "act: Nonsense is not known to the runtime" in done.stderr
