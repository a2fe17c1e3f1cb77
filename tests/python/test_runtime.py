"""airloom.load: running exported files from Python."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import airloom
from airloom.errors import ArgumentError, ArtifactError, RunError


class TwoInputs(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + 2 * y, (x * y).sum(-1)


class Counter(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.add_(x)
        return self.total * 1.0


class Typed(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + x


def export(folder: Path, model: torch.nn.Module, *args: Any, **options: Any) -> str:
    return airloom.dynamo_export(*args, model=model.eval(), export_path=str(folder / "out"), **options).air


@pytest.fixture
def two(tmp_path: Path) -> airloom.Session:
    return airloom.load(export(tmp_path, TwoInputs(), torch.randn(2, 3), torch.randn(2, 3), dynamic=True))


def test_signature(two: airloom.Session) -> None:
    assert two.inputs == (("x", "float32", (-1, -1), False), ("y", "float32", (-1, -1), False))
    assert two.outputs == (("output0", "float32", (-1, -1), False), ("output1", "float32", (-1,), False))
    inputs, outputs = "x: float32[-1, -1], y: float32[-1, -1]", "output0: float32[-1, -1], output1: float32[-1]"
    assert repr(two) == f"Session({inputs}) -> ({outputs})"


@pytest.mark.parametrize("shape", [(2, 3), (5, 1), (1, 7)])
def test_torch_in_torch_out(two: airloom.Session, shape: tuple[int, int]) -> None:
    x, y = torch.randn(shape), torch.randn(shape)
    for out in (two(x, y), two(y=y, x=x), two(x, y=y)):
        assert isinstance(out, tuple)
        torch.testing.assert_close(out, TwoInputs()(x, y))


def test_numpy_in_numpy_out(two: airloom.Session) -> None:
    x, y = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)
    first, second = two(x, y)
    assert isinstance(first, np.ndarray)
    assert isinstance(second, np.ndarray)
    np.testing.assert_array_equal(first, x + 2)
    np.testing.assert_array_equal(second, [3, 12])


def test_strided_inputs(two: airloom.Session) -> None:
    x, y = torch.randn(3, 2).t(), torch.randn(4, 6)[::2, ::2]
    torch.testing.assert_close(two(x, y), TwoInputs()(x, y))
    torch.testing.assert_close(torch.from_numpy(two(x.numpy(), y.numpy())[0]), x + 2 * y)


def test_outputs_own_their_memory(tmp_path: Path) -> None:
    session = airloom.load(export(tmp_path, Typed(), torch.zeros(4)))
    x = np.ones(4, np.float32)
    (first,) = session(x)
    (second,) = session(x * 2)
    first[:] = 7
    del session
    np.testing.assert_array_equal(second, np.full(4, 4, np.float32))
    np.testing.assert_array_equal(first, np.full(4, 7, np.float32))
    np.testing.assert_array_equal(x, np.ones(4, np.float32))


DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "int64"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype: str, tmp_path: Path) -> None:
    kind = getattr(torch, dtype)
    x = torch.tensor([1, 2, 60]).to(kind)
    session = airloom.load(export(tmp_path, Typed(), x))
    (out,) = session(x)
    assert out.dtype is kind
    assert torch.equal(out, x + x)
    raw = x.view(torch.int16).numpy().view(np.uint16) if dtype == "bfloat16" else x.numpy()
    (array,) = session(raw)
    assert array.dtype == raw.dtype
    assert array.tobytes() == (x + x).view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("value", [2**40 + 1, -(2**62)])
def test_large_integers(value: int, tmp_path: Path) -> None:
    session = airloom.load(export(tmp_path, Typed(), torch.tensor([1, 2])))
    assert session(torch.tensor([value, 1]))[0].tolist() == [2 * value, 2]


def test_empty_and_scalar(tmp_path: Path) -> None:
    session = airloom.load(export(tmp_path / "e", Typed(), torch.zeros(0, 3)))
    assert session(torch.zeros(0, 3))[0].shape == (0, 3)
    assert session(np.zeros((0, 3), np.float32))[0].shape == (0, 3)
    scalar = airloom.load(export(tmp_path / "s", Typed(), torch.tensor(1.5)))
    assert scalar(torch.tensor(1.5))[0].shape == ()
    assert scalar(2)[0] == 4
    assert scalar(np.float32(3))[0] == 6
    with pytest.raises(ArgumentError, match="not a float32"):
        scalar(True)


def test_state(tmp_path: Path) -> None:
    session = airloom.load(export(tmp_path, Counter(), torch.ones(3)))
    assert [port.state for port in session.inputs] == [False, True]
    x = torch.ones(3)
    with pytest.raises(ArgumentError, match="no value yet"):
        session(x)
    zeros = torch.zeros(3)
    assert session(x, zeros)[0].tolist() == [1, 1, 1]
    assert session(x)[0].tolist() == [2, 2, 2]
    assert session.states()["total"].tolist() == [2, 2, 2]
    assert zeros.tolist() == [0, 0, 0]
    session.reset()
    assert session.states() == {}
    assert session(x, torch.full((3,), 5.0))[0].tolist() == [6, 6, 6]


def test_profile(tmp_path: Path) -> None:
    air = export(tmp_path, TwoInputs(), torch.randn(2, 3), torch.randn(2, 3))
    session = airloom.load(air, profile=True)
    session(torch.randn(2, 3), torch.randn(2, 3))
    times = session.profile()
    assert {row.type for row in times} & {"Add", "Mul", "ReduceSum", "Axpy", "AxpyV2"}
    assert all(row.microseconds >= 0 for row in times)
    plain = airloom.load(air)
    assert plain.profile() == []


def test_watch(tmp_path: Path) -> None:
    class Chain(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(x).exp()

    air = export(tmp_path, Chain(), torch.zeros(2))
    session = airloom.load(air, watch=["tanh", "nowhere"])
    assert [port.name for port in session.outputs] == ["output0", "tanh:0"]
    out, inner = session(torch.ones(2))
    torch.testing.assert_close(inner, torch.tanh(torch.ones(2)))
    torch.testing.assert_close(out, inner.exp())


def test_reference_and_precision(tmp_path: Path) -> None:
    x = torch.randn(4, 8)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.GELU())
    air = export(tmp_path, model, x)
    for options in ({"reference": True}, {"precision": "file"}, {"threads": 1}):
        torch.testing.assert_close(airloom.load(air, **options)(x)[0], model(x).detach(), rtol=1e-4, atol=1e-5)


def test_threads_share_a_session(two: airloom.Session) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        for i in range(20):
            x = np.full((2, 3), seed * 100 + i, np.float32)
            if not np.array_equal(two(x, x)[0], 3 * x):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


X = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "no value for x, y"),
        ((X,), {}, "no value for y"),
        ((X, X, X), {}, "3 inputs given, the graph takes 2"),
        ((X, X), {"x": X}, "given twice"),
        ((X,), {"z": X}, 'no input "z"'),
        ((X.double(), X), {}, "float64"),
        ((X.numpy().astype(np.int32), X), {}, "int32"),
        ((torch.ones(3), X), {}, "shape"),
        ((X, "text"), {}, "the value is a str"),
        ((X, [1.0]), {}, "the value is a list"),
        ((X, np.array(["a"])), {}, "cannot be used"),
        ((X, np.array([object()])), {}, "cannot be used"),
        ((X, X.numpy().astype(">f4")), {}, "cannot be used"),
        ((X, X.to_sparse()), {}, "no dense elements"),
        ((X, X.to("meta")), {}, "no dense elements"),
    ],
)
def test_bad_inputs(two: airloom.Session, args: tuple[Any, ...], kwargs: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        two(*args, **kwargs)
    torch.testing.assert_close(two(X, X)[0], 3 * X)


def test_sizes_that_do_not_fit_each_other(two: airloom.Session) -> None:
    with pytest.raises((RunError, ArgumentError)):
        two(torch.ones(2, 3), torch.ones(4, 5))
    torch.testing.assert_close(two(X, X)[0], 3 * X)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        airloom.load(tmp_path / "missing.air")
    with pytest.raises(ArtifactError):
        airloom.load(tmp_path)
    junk = tmp_path / "junk.air"
    junk.write_bytes(bytes(range(256)) * 8)
    with pytest.raises(ArtifactError):
        airloom.load(junk)


@pytest.mark.parametrize(
    "options", [{"precision": "half"}, {"threads": -1}, {"threads": "two"}, {"working_dir": 3}, {"watch": [1]}]
)
def test_bad_options(options: dict[str, Any], tmp_path: Path) -> None:
    air = export(tmp_path, Typed(), torch.zeros(2))
    with pytest.raises((ArgumentError, TypeError)):
        airloom.load(air, **options)


def test_external_weights(tmp_path: Path) -> None:
    config = airloom.CompilerConfig()
    config.export.external_weights = "always"
    model = torch.nn.Linear(4, 3)
    air = export(tmp_path, model, torch.zeros(2, 4), config=config)
    x = torch.randn(2, 4)
    torch.testing.assert_close(airloom.load(air)(x)[0], model(x).detach())
    weights = [path for path in Path(air).parent.rglob("*") if path.is_file() and path.suffix not in (".air", ".pbtxt")]
    weights[0].unlink()
    with pytest.raises(ArtifactError):
        airloom.load(air)


def test_without_torch(tmp_path: Path) -> None:
    air = export(tmp_path, Typed(), torch.zeros(2))
    code = f"""
import pickle, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
import numpy, airloom
out, = airloom.load({air!r})(numpy.ones(2, numpy.float32))
assert out.tolist() == [2, 2], out
assert "torch" not in sys.modules
try:
    airloom.dynamo_export
except airloom.MissingPackageError as error:
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, ModuleNotFoundError) and again.name == "torch" and str(again) == str(error)
    assert again.hint == "pip install 'airloom[torch]'"
    print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout.strip(), done.returncode) == ("done", 0), done.stderr


def test_names_of_functions_win_over_modules() -> None:
    code = """
import airloom
from airloom.capture import Program
import airloom.verify, airloom.export
assert callable(airloom.capture) and callable(airloom.verify) and callable(airloom.dynamo_export)
assert airloom.Program is Program
assert set(airloom.__all__) <= set(dir(airloom)) | set(airloom._HOMES)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_damaged_files(tmp_path: Path) -> None:
    """In a process of its own: a crash there is a failure here."""
    x = torch.randn(2, 3)
    air = export(tmp_path, torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GELU()), x, dynamic=True)
    code = f"""
import random, sys
import numpy, airloom
from airloom.errors import ArgumentError, ArtifactError, RunError
whole = open({air!r}, "rb").read()
path = {str(tmp_path / "damaged.air")!r}
draw = random.Random(11)
seen = set()
def attempt(content, **options):
    with open(path, "wb") as file:
        file.write(content)
    try:
        airloom.load(path, threads=1, **options)(numpy.ones((2, 3), numpy.float32))
    except (ArtifactError, RunError, ArgumentError) as error:
        assert len(str(error)) > 10, error
        seen.add(type(error).__name__)
        return True
    return False
for part in range(16):
    assert attempt(whole[: len(whole) * part // 16]), part
for size in (1, 64, 5000):
    assert attempt(draw.randbytes(size)), size
for turn in range(400):
    content = bytearray(whole)
    content[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
    attempt(bytes(content), reference=turn % 8 != 0)
for turn in range(100):
    start = draw.randrange(len(whole))
    attempt(whole[:start] + draw.randbytes(16) + whole[start + 16 :], reference=True)
assert not attempt(whole)
assert "ArtifactError" in seen, seen
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert (done.stdout.strip(), done.returncode) == ("done", 0), done.stderr


def test_bad_weight_files(tmp_path: Path) -> None:
    config = airloom.CompilerConfig()
    config.export.external_weights = "always"
    air = export(tmp_path, torch.nn.Linear(4, 3), torch.zeros(2, 4), config=config)
    weights = [path for path in Path(air).parent.rglob("*") if path.is_file() and path.stat().st_size == 48]
    assert len(weights) == 1
    whole = weights[0].read_bytes()
    for content, text in ((whole[:-1], "47 bytes"), (b"", "0 bytes")):
        weights[0].write_bytes(content)
        with pytest.raises(ArtifactError, match=text) as caught:
            airloom.load(air)
        assert weights[0].name in str(caught.value)
    weights[0].unlink()
    with pytest.raises(ArtifactError, match=weights[0].name):
        airloom.load(air)
    weights[0].mkdir()
    with pytest.raises(ArtifactError, match="not a regular file"):
        airloom.load(air)
    weights[0].rmdir()
    weights[0].write_bytes(whole)
    assert airloom.load(air)(torch.zeros(2, 4))[0].shape == (2, 3)
