"""Runs `.air` files on the CPU, with torch tensors or numpy arrays. Works without PyTorch."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from airloom.errors import AirloomError, ArgumentError, ArtifactError, RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from airloom import _core, _runtime

# Types that numpy lacks, and what holds their bits there.
_RAW: dict[str, str] = {
    "bfloat16": "uint16",
    "float8_e5m2": "uint8",
    "float8_e4m3fn": "uint8",
    "float8_e8m0fnu": "uint8",
    "complex32": "uint32",
}


class Port(NamedTuple):
    """One input or output.

    Attributes:
        name: As in the file.
        dtype: PyTorch's name of the element type ("float32").
        shape: Sizes, -1 where any size goes; None when the rank is unknown.
        state: Keeps its value between calls: needed in the first call only.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None
    state: bool = False


class NodeTime(NamedTuple):
    """Time spent in one node, summed over the calls so far."""

    name: str
    type: str
    microseconds: float


class Session:
    """A loaded graph. Made by `airloom.load`; may be shared by threads, whose calls wait for each other."""

    def __init__(self, core: _runtime.Session) -> None:
        self._core = core
        self.inputs = _ports(core.inputs)
        self.outputs = _ports(core.outputs)
        self._places = {port.name: place for place, port in enumerate(self.inputs)}

    def __call__(self, *args: object, **kwargs: object) -> tuple[Any, ...]:
        """Run the graph.

        Args:
            *args: Inputs in the order of `inputs`: tensors, arrays, or numbers where the graph takes a scalar.
            **kwargs: Inputs by name.

        Returns:
            One value per output, as torch tensors when any input is one, else as numpy arrays (without inputs: torch
            tensors when PyTorch is loaded). Types that numpy lacks (bfloat16, float8) are unsigned integers of the same
            bits there, in and out. Contiguous inputs are read in place.

        Raises:
            ArgumentError: An input is missing, unknown, or of another type or shape than the graph takes.
            RunError: An operator cannot compute these values.
        """
        try:
            # The short way, for what needs no conversion; all else, and what does not fit, goes the long way.
            done = None if kwargs else self._core.call(args)
        except _core_error() as error:
            raise translated(error) from error
        if done is not None:
            return done
        values = self._arrange(args, kwargs)
        views = [None if value is None else _view(port, value) for port, value in zip(self.inputs, values, strict=True)]
        try:
            results = self._core.run([None if view is None else view[0] for view in views])
        except _core_error() as error:
            raise translated(error) from error
        torch = sys.modules.get("torch")
        kinds = [value for value in values if value is not None]
        as_torch = torch is not None and (not kinds or any(isinstance(value, torch.Tensor) for value in kinds))
        if not as_torch:
            return tuple(results)
        return tuple(to_torch(array, port.dtype) for array, port in zip(results, self.outputs, strict=True))

    def states(self) -> dict[str, Any]:
        """Copies of the values that inputs with `state` keep now, as numpy arrays."""
        return dict(self._core.states())

    def reset(self) -> None:
        """Forget what inputs with `state` keep."""
        self._core.reset()

    def profile(self) -> list[NodeTime]:
        """Times by node, in graph order; empty unless loaded with profile=True."""
        return [NodeTime(*row) for row in self._core.profile()]

    def __repr__(self) -> str:
        """Show the signature."""

        def text(port: Port) -> str:
            return f"{port.name}: {port.dtype}{'[?]' if port.shape is None else list(port.shape)}"

        return f"Session({', '.join(map(text, self.inputs))}) -> ({', '.join(map(text, self.outputs))})"

    def _arrange(self, args: tuple[object, ...], kwargs: dict[str, object]) -> list[object]:
        names = ", ".join(port.name for port in self.inputs)
        if len(args) > len(self.inputs):
            raise ArgumentError(
                f"{len(args)} inputs given, the graph takes {len(self.inputs)}", "", f"the inputs are: {names}"
            )
        values: list[object] = [*args, *[None] * (len(self.inputs) - len(args))]
        for name, value in kwargs.items():
            place = self._places.get(name)
            if place is None:
                raise ArgumentError(f'there is no input "{name}"', "", f"the inputs are: {names}")
            if place < len(args):
                raise ArgumentError("the input is given twice", name, "pass it by place or by name")
            values[place] = value
        missing = [p.name for p, value in zip(self.inputs, values, strict=True) if value is None and not p.state]
        if missing:
            raise ArgumentError(f"no value for {', '.join(missing)}", "", f"the inputs are: {names}")
        return values


def load(
    path: str | os.PathLike[str],
    precision: str = "exact",
    threads: int = 0,
    working_dir: str | os.PathLike[str] = ".",
    *,
    profile: bool = False,
    reference: bool = False,
    watch: Sequence[str] = (),
) -> Session:
    """Load a `.air` file.

    Args:
        path: The file.
        precision: "exact" widens float16 and bfloat16 to float32; "file" lets the processor compute in the file's
            own types where it has them.
        threads: How many; 0 for as many as the machine has.
        working_dir: Where relative paths of external weights start; the folder of the file and its parent come next.
        profile: Measure the time of each node.
        reference: Compute every node in the exact evaluator: slow, for comparison.
        watch: Names of nodes whose outputs become further outputs "<node>:<number>"; unknown names are passed over.

    Raises:
        ArtifactError: The file or one of its weight files is missing or damaged.
        RunError: The graph cannot run here; every reason is in the message.
    """
    try:
        from airloom import _runtime
    except ImportError as error:
        raise RunError(
            f"the CPU runtime is not available: {error}", "", "pip install 'airloom[run]' (it needs openvino)"
        ) from error
    try:
        return Session(
            _runtime.Session(
                os.fspath(path), precision, threads, os.fspath(working_dir), profile, reference, list(watch)
            )
        )
    except _core_error() as error:
        raise translated(error) from error
    except (TypeError, UnicodeEncodeError) as error:
        raise ArgumentError(f"load() got an argument of a wrong type: {error}", "", "see help(airloom.load)") from error


def translated(error: _core.CoreError) -> AirloomError:
    """Return the runtime's error as a class of airloom.errors."""
    text = str(error.args[0]) if error.args else str(error)
    if error.code == "invalid_argument":
        return ArgumentError(text, error.where, error.hint)
    if error.code in ("io", "not_found", "parse", "too_large", "invalid_graph"):
        return ArtifactError(text, error.where, error.hint)
    return RunError(text, error.where, error.hint)


def to_torch(array: Any, dtype: str) -> torch.Tensor:
    """Return a tensor over the array's memory; `dtype` says what the bits of a type that numpy lacks mean."""
    import torch

    out = torch.from_numpy(array)
    return out.view(cast("torch.dtype", getattr(torch, dtype))) if dtype in _RAW else out


def _core_error() -> type[_core.CoreError]:
    from airloom import _core

    return _core.CoreError


def _ports(rows: Sequence[_runtime.Port]) -> tuple[Port, ...]:
    return tuple(
        Port(name, dtype, None if shape is None else tuple(shape), state) for name, dtype, shape, state in rows
    )


def _view(port: Port, value: object) -> tuple[tuple[int, str, tuple[int, ...], int], object]:
    """Address, type, shape and size of an input's elements, and the object that keeps them alive."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _tensor_view(port, value)
    if isinstance(value, (bool, int, float)) and port.shape in ((), None):
        value = _number(port, value)
    if not isinstance(value, (np.ndarray, np.generic)):
        raise ArgumentError(f"the value is a {type(value).__name__}", port.name, "pass a torch tensor or a numpy array")
    array = np.asarray(value)
    name = array.dtype.name
    if _RAW.get(port.dtype) == name:
        name = port.dtype
    if not array.dtype.isnative or (array.dtype.kind not in "biufc" and name not in _RAW):
        raise ArgumentError(
            f"elements of type {array.dtype} cannot be used", port.name, f"the graph takes {port.dtype}"
        )
    shape = array.shape  # ascontiguousarray makes a scalar one-dimensional
    array = np.ascontiguousarray(array)
    return (array.ctypes.data, name, shape, array.nbytes), array


def _number(port: Port, value: float) -> object:
    kind = np.dtype(_RAW.get(port.dtype, port.dtype)).kind
    fits = (
        port.dtype not in _RAW
        and (kind in "fc" or not isinstance(value, float))
        and (kind == "b") == (value is True or value is False)
    )
    if not fits:
        raise ArgumentError(f"the number {value} is not a {port.dtype}", port.name, "pass a tensor or an array")
    try:
        return np.array(value, dtype=port.dtype)
    except OverflowError as error:
        raise ArgumentError(f"the number {value} does not fit {port.dtype}", port.name, "") from error


def _tensor_view(port: Port, value: Any) -> tuple[tuple[int, str, tuple[int, ...], int], object]:
    import torch

    if value.layout is not torch.strided or value.is_meta or value.is_quantized:
        raise ArgumentError("the tensor has no dense elements", port.name, "pass a dense tensor")
    dense = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
    try:
        address = dense.data_ptr()
    except RuntimeError as error:  # tensors of a trace
        raise ArgumentError("the tensor has no elements of its own", port.name, "pass a dense tensor") from error
    name = str(dense.dtype).removeprefix("torch.")
    return (address, name, tuple(dense.shape), dense.numel() * dense.element_size()), dense
