"""airloom.verify and dynamo_export(verify=True)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

import airloom
from airloom.errors import ArgumentError, MismatchError
from airloom.verify import TOLERANCES, Tolerance, compare, compare_moments, tolerance

EXACT = Tolerance(0, 0, 0)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(4, 4)
        self.scale = 1.0

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = torch.tanh(self.inner(x))
        scaled = torch.sigmoid(hidden) * self.scale
        return {"sum": scaled.sum(-1), "top": scaled.argmax(-1)}


def export(folder: Path, model: torch.nn.Module, *args: Any, **options: Any) -> str:
    return airloom.dynamo_export(*args, model=model, export_path=str(folder / "out"), **options).air


def test_equal(tmp_path: Path) -> None:
    model, x = Net().eval(), torch.randn(2, 4)
    report = airloom.verify(model, (x,), air=export(tmp_path, model, x))
    assert report.ok
    assert [(row.case, row.output, row.dtype, row.shape) for row in report.rows] == [
        ("sample", "sum", "float32", (2,)),
        ("sample", "top", "int64", (2,)),
    ]
    assert report.divergence is None
    assert "DIFFERS" not in str(report)
    assert "float32[2]" in str(report)


def test_dynamic_tries_other_sizes(tmp_path: Path) -> None:
    model, x = Net().eval(), torch.randn(2, 4)
    report = airloom.verify(model, (x,), air=export(tmp_path, model, x, dynamic=True), dynamic=True)
    assert report.ok
    assert [row.shape for row in report.rows] == [(2,), (2,), (3,), (3,)]
    assert [row.case for row in report.rows] == ["sample", "sample", "x[0]=3", "x[0]=3"]
    assert report.notes == []


def test_other_sizes_keep_to_the_relations_of_the_model(tmp_path: Path) -> None:
    class Pairs(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            return (x.reshape(-1, 2).sum(-1) + y)[index]

    args = (torch.randn(8), torch.randn(4), torch.tensor([0, 3, 1]))
    model = Pairs()
    report = airloom.verify(model, args, air=export(tmp_path, model, *args, dynamic=True), dynamic=True)
    assert report.ok, report
    assert len(report.rows) == 2, report
    assert report.rows[1].shape != (3,)


def test_first_difference_is_named(tmp_path: Path) -> None:
    model, x = Net().eval(), torch.randn(2, 4)
    air = export(tmp_path, model, x)
    model.scale = 2.0
    report = airloom.verify(model, (x,), air=air)
    assert not report.ok
    found = report.divergence
    assert found is not None
    assert found.target == "aten.mul.Tensor"
    assert "test_verify.py" in found.source
    assert "scaled = torch.sigmoid(hidden) * self.scale" in found.source
    assert f"first difference: {found.node}" in str(report)


def test_module_of_the_first_difference(tmp_path: Path) -> None:
    model, x = Net().eval(), torch.randn(2, 4)
    air = export(tmp_path, model, x)
    with torch.no_grad():
        model.inner.bias += 0.5
    with pytest.raises(MismatchError) as caught:
        airloom.verify(model, (x,), air=air, raise_on_mismatch=True)
    assert caught.value.report is not None
    found = caught.value.report.divergence
    assert found is not None
    assert found.module == "inner"
    assert found.target == "aten.linear.default"
    assert "DIFFERS" in str(caught.value)


def test_random_operators_are_compared_by_their_moments(tmp_path: Path) -> None:
    class Noise(torch.nn.Module):
        random = False
        width = 1.0

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("fixed", torch.rand(64, 64))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x + (torch.rand_like(x) * self.width if self.random else self.fixed), x * 2

    model, x = Noise(), torch.ones(64, 64)
    air = export(tmp_path, model, x)  # the file holds one draw of the same distribution
    model.random = True
    report = airloom.verify(model, (x,), air=air)
    assert report.ok, report
    assert len(report.nondeterministic) == 1
    assert "rand" in report.nondeterministic[0]
    assert [row.note for row in report.rows] == ["random: moments compared", ""]
    model.width = 2.0
    assert [row.ok for row in airloom.verify(model, (x,), air=air).rows] == [False, True]


def test_attention_without_dropout_is_not_random(tmp_path: Path) -> None:
    class Attention(torch.nn.Module):
        offset = 0.0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(x, x, x) + self.offset

    model, x = Attention(), torch.randn(1, 2, 4, 8)
    air = export(tmp_path, model, x)
    model.offset = 0.001
    report = airloom.verify(model, (x,), air=air)
    assert not report.ok
    assert report.nondeterministic == []


def test_state_is_fed_and_buffers_are_put_back(tmp_path: Path) -> None:
    class Counter(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("total", torch.full((3,), 2.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.total.add_(x)
            return self.total * 3

    model, x = Counter(), torch.ones(3)
    air = export(tmp_path, model, x)
    for _ in range(2):
        report = airloom.verify(model, (x,), air=air)
        assert report.ok, report
    assert model.total.tolist() == [2, 2, 2]


def test_wrong_file(tmp_path: Path) -> None:
    x = torch.randn(2, 4)
    air = export(tmp_path, torch.nn.Linear(4, 4), x)
    with pytest.raises(ArgumentError):
        airloom.verify(Net(), (x,), air=air)


def test_export_with_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = Net().eval(), torch.randn(2, 4)
    result = airloom.dynamo_export(x, model=model, export_path=str(tmp_path / "a"), dynamic=True, verify=True)
    assert Path(result.air).exists()
    assert "verify" in result.report.timings
    calls: list[int] = []
    original = Net.forward

    def different(self: Net, x: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(1)
        out = original(self, x)
        return out if len(calls) == 1 else {**out, "sum": out["sum"] + 1}

    monkeypatch.setattr(Net, "forward", different)
    with pytest.raises(MismatchError, match="sum"):
        airloom.dynamo_export(x, model=model, export_path=str(tmp_path / "b"), verify=True)


def test_compare() -> None:
    nan, inf = math.nan, math.inf
    t = torch.tensor
    assert compare(t([1.0, nan, inf]), t([1.0, nan, inf]), EXACT) == (0.0, 0.0, True, "")
    assert not compare(t([1.0, nan]), t([1.0, 0.0]), TOLERANCES[torch.float32]).ok
    assert not compare(t([inf]), t([-inf]), TOLERANCES[torch.float32]).ok
    assert not compare(t([1.0]), t([1.0], dtype=torch.float64), EXACT).ok
    assert not compare(t([1.0]), t([[1.0]]), EXACT).ok
    assert compare(t([]), t([]), EXACT).ok
    assert compare(t([1000.0, 0.0]), t([1000.0, 0.009]), TOLERANCES[torch.float32]).ok
    assert not compare(t([1.0, 0.0]), t([1.0, 0.009]), TOLERANCES[torch.float32]).ok
    assert not compare(t([1e-6]), t([2e-6]), TOLERANCES[torch.float32]).ok
    assert compare(t([1 + 2j]), t([1 + 2j]), EXACT).ok
    assert not compare(t([1 + 2j]), t([1 - 2j]), tolerance(torch.complex64)).ok
    assert compare(t([2**62, 1]), t([2**62 + 1, 1]), EXACT)[:1] == (1.0,)
    assert not compare(t([True]), t([False]), EXACT).ok
    assert tolerance(torch.float32, [torch.bfloat16, torch.int64]) == TOLERANCES[torch.bfloat16]
    assert tolerance(torch.int64, [torch.bfloat16]) == EXACT


def test_compare_moments() -> None:
    a, b = torch.rand(1000), torch.rand(1000)
    assert compare_moments(a, b).ok
    assert not compare_moments(a, b + 1).ok
    assert not compare_moments(a, b * 3 - 1).ok
    assert not compare_moments(a, b.double()).ok
