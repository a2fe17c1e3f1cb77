"""Every failure is a typed error that says what, where and what to do, and leaves nothing behind."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import airloom
from airloom import (
    AirloomError,
    ArgumentError,
    ArtifactError,
    CaptureError,
    ConfigError,
    UnsupportedOperators,
    dynamo_export,
)


class Fine(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class Raises(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 3:
            raise ValueError("three rows are too many")
        return x


class WrongShapes(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ torch.ones(7, 7)


class Decides(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:  # decides by data
            return x + 1
        return x - 1


class Meta(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2, device="meta")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner.weight.to("cpu") if x.device.type == "cpu" else x


class Opaque:
    def __init__(self, value: torch.Tensor) -> None:
        self.value = value


class ReturnsOpaque(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return Opaque(x + 1)


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("s", torch.eye(2).to_sparse())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.s.to_dense()


class FloatFromSize(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (x.shape[0] ** -0.5)


class ManyUnsupported(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.cond(x.sum() > 0, lambda a: a + 1, lambda a: a - 1, (x,))
        return torch.cond(y.sum() > 0, lambda a: a * 2, lambda a: a * 3, (y,))


def fails(kind: type[AirloomError], *args: Any, **kwargs: Any) -> AirloomError:
    """The call fails with exactly this kind, and the working directory is as it was."""
    before = snapshot(Path())
    kwargs.setdefault("model", Fine().eval())
    with pytest.raises(kind) as caught:
        dynamo_export(*(args or (torch.ones(3, 2),)), **kwargs)
    assert snapshot(Path()) == before
    assert caught.value.what
    return caught.value


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.mark.usefixtures("workdir")
def test_models_that_are_not_modules() -> None:
    assert "TorchScript" in str(fails(ArgumentError, model=torch.jit.script(Fine())))
    assert "_orig_mod" in str(fails(ArgumentError, model=torch.compile(Fine())))
    assert "model.module" in str(fails(ArgumentError, model=nn.DataParallel(Fine())))
    assert "the class Fine" in str(fails(ArgumentError, model=Fine))
    assert "a function" in str(fails(ArgumentError, model=lambda x: x))
    assert "a NoneType" in str(fails(ArgumentError, model=None))


@pytest.mark.usefixtures("workdir")
def test_inputs_that_do_not_fit() -> None:
    error = fails(ArgumentError, torch.ones(2), torch.ones(2))
    assert "do not fit forward(x" in str(error)
    assert "Fine" in error.where
    assert "unexpected keyword argument 'z'" in str(fails(ArgumentError, torch.ones(2), z=1))


@pytest.mark.usefixtures("workdir")
def test_forward_raises() -> None:
    error = fails(CaptureError, model=Raises().eval())
    assert "ValueError: three rows are too many" in error.what
    assert error.where.startswith("test_errors.py:")
    assert error.where.endswith('raise ValueError("three rows are too many")')
    assert isinstance(error.__cause__, ValueError)
    error = fails(CaptureError, model=WrongShapes().eval())
    assert error.where.endswith("return x @ torch.ones(7, 7)")
    assert error.__cause__ is not None


@pytest.mark.usefixtures("workdir")
@pytest.mark.parametrize("dynamic", [False, True])
def test_data_dependent_choice(dynamic: bool) -> None:
    error = fails(CaptureError, model=Decides().eval(), dynamic=dynamic)
    assert "decides by the data" in error.what
    assert error.where.endswith("if x.sum() > 0:  # decides by data")
    assert "torch.cond" in error.hint


@pytest.mark.usefixtures("workdir")
def test_weights_without_data() -> None:
    error = fails(CaptureError, torch.ones(2, 2, device="meta"), model=nn.Linear(2, 2, device="meta").eval())
    assert '"weight" has no data' in error.what
    assert "load the weights" in error.hint


@pytest.mark.usefixtures("workdir")
def test_values_that_no_graph_can_hold() -> None:
    error = fails(CaptureError, model=ReturnsOpaque().eval())
    assert "Opaque" in error.what
    assert "register" in error.hint
    assert "Opaque" in str(fails(CaptureError, Opaque(torch.ones(2))))
    assert '"s"' in str(fails(CaptureError, torch.ones(2, 2), model=Sparse().eval()))


@pytest.mark.usefixtures("workdir")
def test_float_from_a_symbolic_size() -> None:
    error = fails(CaptureError, model=FloatFromSize().eval(), dynamic=True)
    assert error.where.endswith("return x * (x.shape[0] ** -0.5)")
    assert "dynamic=False" in error.hint


@pytest.mark.usefixtures("workdir")
def test_wrong_dynamic_shapes() -> None:
    dim = torch.export.Dim
    for shapes in (
        {"nope": {0: dim("b")}},
        {"x": {0: dim("b", min=10, max=20)}},
        {"x": {5: dim("b")}},
        {"x": [dim("b"), None, None]},
        "x",
    ):
        error = fails(CaptureError, dynamic_shapes=shapes)
        assert "dynamic_shapes" in str(error), error


@pytest.mark.usefixtures("workdir")
def test_unsupported_operators_come_all_at_once() -> None:
    error = fails(UnsupportedOperators, model=ManyUnsupported().eval())
    assert isinstance(error, UnsupportedOperators)
    assert sum(row["count"] for row in error.rows if "cond" in row["target"]) == 2
    assert "higher_order.cond" in str(error)
    rows = airloom.unsupported(ManyUnsupported().eval(), (torch.ones(3, 2),))
    assert rows == error.rows
    assert airloom.unsupported(Fine().eval(), (torch.ones(2),)) == []


def test_export_path_is_a_file(workdir: Path) -> None:
    (workdir / "file").write_text("mine")
    assert "not a folder" in str(fails(ArtifactError, export_path="file"))
    fails(ArtifactError, export_path="file/below")


def test_symbolic_links_are_refused(workdir: Path) -> None:
    (workdir / "real").mkdir()
    (workdir / "link").symlink_to("real")
    for path in ("link", "link/below", str(workdir / "link")):
        assert "symbolic link" in str(fails(ArtifactError, export_path=path))
    (workdir / "real/export.air").symlink_to(workdir / "elsewhere")
    assert "symbolic link" in str(fails(ArtifactError, export_path="real"))


@pytest.mark.usefixtures("workdir")
def test_folder_cannot_be_made() -> None:
    assert "cannot be made" in str(fails(ArtifactError, export_path="/proc/airloom/out"))
    assert "cannot be made" in str(fails(ArtifactError, export_path="a/" + "x" * 300))


def test_folder_is_not_writable(workdir: Path) -> None:
    if os.geteuid() == 0:  # root may write everywhere but in the kernel's own folders
        fails(ArtifactError, export_path="/proc/self/fdinfo")
        return
    (workdir / "locked").mkdir(mode=0o555)
    assert "writable" in str(fails(ArtifactError, export_path="locked"))
    fails(ArtifactError, export_path="locked/below")


@pytest.mark.usefixtures("workdir")
def test_bad_names() -> None:
    for name in ("", "a/..", "/", "a\0b", None, "x" * 300):
        fails(ArgumentError, export_name=name)
    for path in ("", None, 3, "a\0b", b"bytes"):
        fails(ArgumentError, export_path=path)


@pytest.mark.usefixtures("workdir")
def test_bad_config() -> None:
    assert "pass an airloom.CompilerConfig" in str(fails(ConfigError, config={"export": 1}))


def test_made_folders_go_away_again(workdir: Path) -> None:
    (workdir / "kept").mkdir()
    fails(CaptureError, model=Raises().eval(), export_path="kept/new/newer")
    assert [p.name for p in workdir.iterdir()] == ["kept"]


def test_an_earlier_export_survives_a_failed_one(workdir: Path) -> None:
    dynamo_export(torch.ones(3, 2), model=Fine().eval())
    files = snapshot(workdir)
    assert files
    fails(UnsupportedOperators, model=ManyUnsupported().eval())
    fails(CaptureError, model=Raises().eval())
    assert snapshot(workdir) == files


def test_only_the_last_component_of_the_name_counts(workdir: Path) -> None:
    result = dynamo_export(torch.ones(3, 2), model=Fine().eval(), export_path="out", export_name="a/b/c")
    assert result.air == "out/c.air"
    assert {p.name for p in (workdir / "out").iterdir()} == {"c.air", "dynamo.pbtxt"}
    absolute = dynamo_export(torch.ones(3, 2), model=Fine().eval(), export_path=workdir / "abs")
    assert absolute.air == str(workdir / "abs/export.air")
    assert absolute.report.nodes > 0
    assert absolute.report.timings.keys() >= {"trace", "decompose", "walk"}


@pytest.mark.usefixtures("workdir")
def test_characters_that_atc_refuses_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "airloom"):
        result = dynamo_export(torch.ones(3, 2), model=Fine().eval(), export_path="a b", export_name="模型+1")
    assert any("' +'" in text for text in result.report.warnings)
    assert any("ATC accepts only" in record.getMessage() for record in caplog.records)
    assert any("--model='a b/模型+1.air'" in record.getMessage() for record in caplog.records)


FULL_DISK = """
import resource, signal, sys
import torch, airloom

class Big(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1000, 1000))
    def forward(self, x):
        return x @ self.weight

config = airloom.CompilerConfig()
config.export.external_weights = sys.argv[1]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails instead of ending the process
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    airloom.dynamo_export(torch.ones(1, 1000), model=Big(), config=config)
except airloom.ArtifactError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize("external", ["never", "always"])
def test_no_space_left(workdir: Path, external: str) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, external], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert "File too large" in done.stdout
    assert list(workdir.iterdir()) == []
