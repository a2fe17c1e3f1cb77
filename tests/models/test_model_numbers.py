"""Whole models by execution: the exported file computes what PyTorch does, in the sample's sizes and in others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import zoo
from torch.utils import _pytree as pytree

import airloom
from airloom.verify import compare, tolerance


def disagreements(
    model: torch.nn.Module, session: airloom.Session, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[str]:
    with torch.no_grad():
        expected = [v for v in pytree.tree_leaves(model(*args, **kwargs)) if isinstance(v, torch.Tensor)]
    actual = session(*args, **kwargs)
    assert len(actual) == len(expected)
    found = [compare(want, got, tolerance(want.dtype)) for want, got in zip(expected, actual, strict=True)]
    return [
        f"{port.name}: {difference}"
        for port, difference in zip(session.outputs, found, strict=True)
        if not difference.ok
    ]


def resized(value: torch.Tensor, sizes: dict[int, int]) -> torch.Tensor:
    """Repeat or cut the dimensions that may change."""
    for dim, size in sizes.items():
        value = value.index_select(dim, torch.arange(size) % value.shape[dim])
    return value


def export(
    name: str, dynamic: bool, folder: Path
) -> tuple[torch.nn.Module, tuple[Any, ...], dict[str, Any], airloom.Session]:
    model, args, kwargs = zoo.make(name)
    result = airloom.dynamo_export(*args, model=model, export_path=str(folder / "out"), dynamic=dynamic, **kwargs)
    return model, args, kwargs, airloom.load(result.air)


@pytest.mark.parametrize("name", list(zoo.MODELS))
def test_static(name: str, tmp_path: Path) -> None:
    model, args, kwargs, session = export(name, False, tmp_path)
    assert disagreements(model, session, args, kwargs) == []


@pytest.mark.parametrize("name", list(zoo.MODELS))
def test_dynamic(name: str, tmp_path: Path) -> None:
    model, args, kwargs, session = export(name, True, tmp_path)
    assert disagreements(model, session, args, kwargs) == []
    for batch, length in ((3, 5), (1, 9), (5, 1), (1, 1), (2, 16)):
        ports = iter(session.inputs)

        def other(leaf: Any, batch: int = batch, length: int = length, ports: Any = ports) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            shape = next(ports).shape
            sizes = {dim: (batch if dim == 0 else length) for dim in range(2) if shape[dim] == -1}
            return resized(leaf, sizes)

        new_args, new_kwargs = pytree.tree_map(other, (args, kwargs))
        assert disagreements(model, session, new_args, new_kwargs) == [], f"batch {batch}, length {length}"
