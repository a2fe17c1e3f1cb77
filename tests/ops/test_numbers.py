"""Every converter by execution: the exported file computes what PyTorch does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from expectations import EXPECTED_FAILURES
from rows import ROWS
from test_ops import Call, describe, tensors_of
from torch.utils import _pytree as pytree

import airloom
from airloom.verify import compare, tolerance

CASES: dict[str, Any] = {describe(row): row for row in ROWS}


def larger(value: torch.Tensor) -> torch.Tensor:
    """The same elements over again in every dimension of two or more."""
    for dim, size in enumerate(value.shape):
        if size > 1:
            value = value.index_select(dim, torch.arange(size * 2) % size)
    return value


def accepts(port: Any, value: torch.Tensor) -> bool:
    """Whether the graph takes a tensor of this shape."""
    sizes = port.shape
    return len(sizes) == value.dim() and all(want in (-1, have) for want, have in zip(sizes, value.shape, strict=True))


def differences(session: airloom.Session, row: Any, tensors: tuple[torch.Tensor, ...]) -> list[str]:
    """What the file computes otherwise than PyTorch."""
    with torch.no_grad():
        leaves = pytree.tree_leaves(Call(row)(*[t.clone() for t in tensors]))
    expected = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    actual = [torch.as_tensor(v) for v in session(*tensors)]
    assert len(actual) == len(expected)
    types = [t.dtype for t in tensors]
    found = [compare(want, got, tolerance(want.dtype, types)) for want, got in zip(expected, actual, strict=True)]
    return [
        f"output {i}: {difference}\n  expected {expected[i]}\n  computed {actual[i]}"
        for i, difference in enumerate(found)
        if not difference.ok
    ]


def check(row: Any, folder: Path) -> list[str]:
    """Export, run, compare; dynamic rows with other sizes as well."""
    tensors = tensors_of(row)
    result = airloom.dynamo_export(*tensors, model=Call(row), export_path=str(folder / "out"), dynamic=row.dynamic)
    session = airloom.load(result.air)
    found = differences(session, row, tensors)
    if row.dynamic:
        grown = tuple(larger(t) for t in tensors)
        if all(accepts(port, t) for port, t in zip(session.inputs, grown, strict=True)):
            try:
                Call(row)(*grown)
            except (RuntimeError, IndexError):
                return found  # the call itself fixes the sizes
            found += [f"sizes {[list(t.shape) for t in grown]}: {text}" for text in differences(session, row, grown)]
    return found


@pytest.mark.parametrize("name", CASES)
def test_numbers(name: str, tmp_path: Path) -> None:
    found = check(CASES[name], tmp_path)
    if name in EXPECTED_FAILURES:
        assert found, "agrees now: remove it from expectations.py"
    else:
        assert not found, "\n".join(found)


def test_expectations_name_rows() -> None:
    assert set(EXPECTED_FAILURES) - set(CASES) == set()


def test_rows_are_told_apart() -> None:
    assert len(CASES) >= len(ROWS) * 0.97, "rows with the same description run once"
