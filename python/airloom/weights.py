"""The table of weights: what lies where in memory, without copying when it need not."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from airloom.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` for torch.float32."""
    return str(dtype).removeprefix("torch.")


class Weights:
    """Rows of the message's `weights` table and the tensors that keep their memory alive, in the same order."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.tensors: list[torch.Tensor] = []
        self._storages: dict[int, int] = {}
        self._on_cpu: dict[tuple[object, ...], torch.Tensor] = {}

    def add(self, name: str, tensor: torch.Tensor) -> int:
        """Add one parameter, buffer or constant; return its row."""
        plain = self._plain(name, tensor)
        storage = plain.untyped_storage()
        self.rows.append(
            {
                "name": name,
                "dtype": dtype_name(plain.dtype),
                "shape": list(plain.shape),
                "stride": list(plain.stride()),
                "storage": self._storages.setdefault(storage._cdata, len(self._storages)),
                "offset": plain.storage_offset(),
            }
        )
        self.tensors.append(plain)
        return len(self.rows) - 1

    def _plain(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Return a dense CPU tensor that has memory; ties survive a move from another device."""
        if isinstance(tensor, FakeTensor) or tensor.device.type == "meta":
            raise CaptureError(
                f'"{name}" has no data (a meta or fake tensor)', name, "load the weights before exporting"
            )
        if type(tensor) not in _PLAIN:
            raise CaptureError(
                f'"{name}" is a {type(tensor).__name__}, not a plain tensor',
                name,
                "turn it into a plain tensor before exporting",
            )
        if tensor.layout is not torch.strided or tensor.is_quantized:
            kind = "quantized" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")
            raise CaptureError(
                f'"{name}" is a {kind} tensor', name, "use dense tensors (tensor.to_dense(), tensor.dequantize())"
            )
        if tensor.device.type != "cpu" or tensor.is_conj() or tensor.is_neg():
            key = (
                tensor.untyped_storage()._cdata,
                tensor.storage_offset(),
                tuple(tensor.shape),
                tensor.stride(),
                tensor.dtype,
                tensor.is_conj(),
            )
            if key not in self._on_cpu:
                self._on_cpu[key] = tensor.detach().resolve_conj().resolve_neg().cpu()
            return self._on_cpu[key]
        return tensor.detach()

    def memory(self) -> list[tuple[int, object]]:
        """Return (address of element 0, owner) of each row."""
        return [(tensor.data_ptr(), tensor) for tensor in self.tensors]


def dense_bytes(tensor: torch.Tensor) -> bytes:
    """Elements in row-major order, as they lie in memory."""
    dense = tensor.contiguous()
    return ctypes.string_at(dense.data_ptr(), dense.numel() * dense.element_size()) if dense.numel() else b""


def find(name: str, *places: Mapping[str, object]) -> torch.Tensor:
    """Look a tensor up by its qualified name."""
    for place in places:
        tensor = place.get(name)
        if isinstance(tensor, torch.Tensor):
            return tensor
    raise CaptureError(
        f'"{name}" is used by the model but is not a tensor', name, "keep tensors in parameters or buffers"
    )
