"""Tensors and arrays into a session and out of it: read in place where they can be, and equal where they cannot."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import airloom
from airloom.errors import ArgumentError

TYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.bool,
    torch.complex64,
]


class Copy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clone()


def load(folder: Path, x: torch.Tensor) -> airloom.Session:
    return airloom.load(airloom.dynamo_export(x, model=Copy(), export_path=str(folder / "out"), dynamic=True).air)


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> airloom.Session:
    return load(tmp_path_factory.mktemp("floats"), torch.zeros(3, 5))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_types(tmp_path: Path, dtype: torch.dtype) -> None:
    x = (torch.arange(15).reshape(3, 5) - 7).to(dtype)
    session = load(tmp_path, torch.zeros_like(x))
    assert session._core.call((x,)) is not None, "the short way does not know the type"
    (out,) = session(x)
    assert out.dtype == dtype
    assert torch.equal(out, x)
    raw = x.view(torch.uint16).numpy() if dtype is torch.bfloat16 else x.numpy()
    assert session._core.call((raw,)) is not None
    (array,) = session(raw)
    assert isinstance(array, np.ndarray)
    assert array.dtype == raw.dtype
    assert np.array_equal(array, raw)
    assert array.flags.writeable


IMAGINARY = torch.complex(torch.zeros(3, 5), torch.arange(15.0).reshape(3, 5)).conj().imag


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(15.0).reshape(5, 3).t(),
        torch.arange(30.0).reshape(3, 10)[:, ::2],
        torch.arange(5.0).expand(3, 5),
        torch.nn.Parameter(torch.arange(15.0).reshape(3, 5)),
        torch.arange(15.0).reshape(3, 5).requires_grad_(),
        IMAGINARY,
        torch.ones(0, 5),
        torch.ones(1, 5),
        torch.arange(16.0)[1:].reshape(3, 5),
        np.arange(15, dtype=np.float32).reshape(5, 3).T,
        np.arange(30, dtype=np.float32).reshape(3, 10)[:, ::-2],
        np.broadcast_to(np.arange(5, dtype=np.float32), (3, 5)),
        np.frombuffer(bytes(61), np.uint8)[1:].view(np.float32).reshape(3, 5),
    ],
    ids=lambda value: f"{type(value).__name__}{list(value.shape)}",
)
def test_forms(floats: airloom.Session, value: Any) -> None:
    (out,) = floats(value)
    expected = value.detach().resolve_neg() if isinstance(value, torch.Tensor) else value
    assert type(out) is (torch.Tensor if isinstance(value, torch.Tensor) else np.ndarray)
    assert np.array_equal(np.asarray(out), np.asarray(expected))
    assert not getattr(out, "requires_grad", False)


def test_imaginary_parts_of_conjugates_have_the_sign_bit() -> None:
    assert IMAGINARY.is_neg(), "test_forms wants a tensor whose elements stand in memory with the other sign"


def test_mixed_inputs_give_tensors(tmp_path: Path) -> None:
    class Sum(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x + y

    x = torch.ones(2, 2)
    air = airloom.dynamo_export(x, x + 1, model=Sum(), export_path=str(tmp_path / "out")).air
    (out,) = airloom.load(air)(x.numpy(), x)
    assert torch.equal(out, x * 2)


def test_results_outlive_the_session_and_end_with_their_last_user(tmp_path: Path) -> None:
    x = torch.randn(3, 5)
    session = load(tmp_path, x)
    (out,) = session(x)
    (array,) = session(x.numpy())
    del session
    gc.collect()
    assert torch.equal(out, x)
    assert np.array_equal(array, x.numpy())
    kept = weakref.ref(out)
    del out
    assert kept() is None


def test_inputs_are_not_kept(floats: airloom.Session) -> None:
    x = torch.randn(3, 5)
    floats(x)
    kept = weakref.ref(x)
    del x
    assert kept() is None


def test_bad_values_are_explained(floats: airloom.Session) -> None:
    for value in (torch.zeros(3), torch.zeros(3, 5).double(), torch.zeros(3, 5, device="meta"), "text", object()):
        with pytest.raises(ArgumentError) as caught:
            floats(value)
        assert caught.value.where == "x"
