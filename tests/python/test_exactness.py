"""What CPU inference engines compute in 32 bits comes out of an exported file exact: wide integers and float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import airloom

BIG = 2**31


class Hash(nn.Module):
    """Multiply, divide, fold, as hash embeddings do; wraps at 64 bits."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        mixed = ids * 6364136223846793005 + 1442695040888963407
        mixed = mixed.bitwise_xor(mixed // 2**29) * 2862933555777941757
        return torch.remainder(mixed, 1000003)


class Totals(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.cumsum(-1), x.sum(-1), x.max(-1).values, x * 3 - 1, x > 3 * BIG, x // 7


class Positions(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.arange(5 * BIG, 5 * BIG + 4, dtype=torch.int64) + x


class Double(nn.Module):
    """float64 all the way: products, normalisation, attention-like softmax, a solve by iteration."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 8)).double()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.layers(x)
        weights = torch.softmax(y @ y.transpose(-1, -2), -1)
        return weights @ y, torch.log1p(y.exp()).mean(-1)


class Ticks(nn.Module):
    """Times in nanoseconds as int64 and what float32 would make of them."""

    def forward(self, start: torch.Tensor, stop: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return stop - start, (stop - start).double() / 1e9


WIDE = torch.tensor([[BIG + 1, 7 * BIG, -5, 2**62, 2**53 + 1]])
CASES: dict[str, tuple[nn.Module, tuple[Any, ...]]] = {
    "hash": (Hash(), (torch.tensor([0, 1, -1, 2**40 + 12345, 2**63 - 1, -(2**63)]),)),
    "totals": (Totals(), (WIDE,)),
    "positions": (Positions(), (torch.arange(4),)),
    "ticks": (Ticks(), (torch.tensor([1_700_000_000_000_000_001]), torch.tensor([1_700_000_000_000_000_004]))),
}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", CASES)
def test_integers(name: str, dynamic: bool, tmp_path: Path) -> None:
    model, args = CASES[name]
    result = airloom.dynamo_export(*args, model=model, export_path=str(tmp_path / "out"), dynamic=dynamic)
    expected = model(*args)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for want, got in zip(expected, airloom.load(result.air)(*args), strict=True):
        assert got.dtype == want.dtype
        assert torch.equal(got, want)


def test_float64(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Double().eval(), torch.randn(2, 5, 8, dtype=torch.float64)
    result = airloom.dynamo_export(x, model=model, export_path=str(tmp_path / "out"), dynamic=True)
    with torch.no_grad():
        expected = model(x)
    for want, got in zip(expected, airloom.load(result.air)(x), strict=True):
        assert got.dtype == torch.float64
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-14)  # float32 would be off by 1e-7
