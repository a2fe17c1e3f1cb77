"""Executes a program message with PyTorch's own operators: what the message says, compared with what the model does."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from airloom.capture import Program

_MATH: dict[str, Any] = {
    "__builtins__": {},
    "Max": max,
    "Min": min,
    "FloorDiv": lambda a, b: a // b,
    "CleanDiv": lambda a, b: a // b,
    "CeilDiv": lambda a, b: -(-a // b),
    "Mod": lambda a, b: a % b,
    "PythonMod": lambda a, b: a % b,
    "IntTrueDiv": lambda a, b: a / b,
    "CeilToInt": math.ceil,
    "FloorToInt": math.floor,
    "TruncToInt": math.trunc,
    "ToFloat": float,
    "PowByNatural": pow,
    "Abs": abs,
    "Identity": lambda a: a,
}


class Interpreter:
    """Runs one program; `bindings` are the sizes that the inputs gave to the symbols."""

    def __init__(self, program: Program) -> None:
        self.message: dict[str, Any] = json.loads(program.message)
        self._weights = []
        for row, (address, owner) in zip(self.message["weights"], program.weights, strict=True):
            assert isinstance(owner, torch.Tensor)
            assert address == owner.data_ptr()
            assert list(owner.stride()) == row["stride"]
            assert owner.storage_offset() == row["offset"]
            assert str(owner.dtype) == f"torch.{row['dtype']}"
            self._weights.append(owner)
        self.bindings: dict[str, int] = {}
        self.mutated: dict[str, torch.Tensor] = {}
        self._values: dict[str, Any] = {}

    def run(self, *inputs: Any) -> list[Any]:
        """Take the tensors (and symbolic numbers) that the message calls inputs, in order; return its user outputs."""
        given = iter(inputs)
        for row in self.message["inputs"]:
            if row["kind"] == "weight":
                self._values[row["name"]] = self._weights[row["weight"]].clone()
            elif row["kind"] == "symint":
                self.bindings[row["symbol"]] = next(given)
            else:
                value = next(given)
                assert str(value.dtype) == f"torch.{row['dtype']}"
                self._values[row["name"]] = value
                for dim, size in zip(row["shape"], value.shape, strict=True):
                    if isinstance(dim, str) and dim.isidentifier():
                        bounds = self.message["symbols"][dim]
                        assert bounds.get("lower", 0) <= size <= bounds.get("upper", 2**62)
                        self.bindings.setdefault(dim, size)
        assert next(given, None) is None, "more inputs than the message has"
        for row in self.message["inputs"]:
            if row["kind"] == "user":
                assert [self._size(dim) for dim in row["shape"]] == list(self._values[row["name"]].shape)
        for node in self.message["nodes"]:
            self._node(node)
        out = []
        for row in self.message["outputs"]:
            if row.get("mutates"):
                self.mutated[row["mutates"]] = self._argument({k: row[k] for k in ("v", "i") if k in row})
            elif "v" in row:
                value = self._argument({k: row[k] for k in ("v", "i") if k in row})
                self._check(value, row)
                out.append(value)
            elif "e" in row:
                out.append(self._size(row["e"]))
            else:
                out.append(row.get("c"))
        return out

    def _size(self, dim: int | str) -> int:
        return dim if isinstance(dim, int) else int(eval(dim, dict(_MATH), dict(self.bindings)))

    def _check(self, value: Any, row: dict[str, Any]) -> None:
        assert str(value.dtype) == f"torch.{row['dtype']}", row
        for dim, size in zip(row["shape"], value.shape, strict=True):
            if isinstance(dim, str) and dim.isidentifier() and dim not in self.bindings:
                self.bindings[dim] = size  # a size that comes from data
        assert [self._size(dim) for dim in row["shape"]] == list(value.shape), row

    def _argument(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._argument(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "v" in value:
            out = self._values[value["v"]]
            return out[value["i"]] if "i" in value else out
        ((kind, text),) = value.items()
        if kind == "e":
            return self._size(text)
        if kind == "f":
            return float(text)
        if kind == "str":
            return text
        if kind == "device":
            return torch.device(text)
        if kind == "complex":
            return complex(*map(float, text.split()))
        assert kind in ("dtype", "layout", "memory_format"), kind
        return getattr(torch, text)

    def _node(self, node: dict[str, Any]) -> None:
        namespace, name, overload = node["target"].split(".")
        op = getattr(getattr(getattr(torch.ops, namespace), name), overload)
        arguments = op._schema.arguments
        assert len(node["args"]) == len(arguments), node
        values = [self._argument(a) for a in node["args"]]
        places = [v for v, a in zip(values, arguments, strict=True) if not a.kwarg_only]
        named = {a.name: v for v, a in zip(values, arguments, strict=True) if a.kwarg_only}
        result = op(*places, **named)
        self._values[node["name"]] = result
        many = isinstance(result, (tuple, list))
        results = list(result) if many else [result]
        assert len(results) == len(node["outputs"]), node
        for value, row in zip(results, node["outputs"], strict=True):
            if row is None:
                continue
            if "e" in row:
                self.bindings.setdefault(row["e"], int(value))
                assert self._size(row["e"]) == int(value)
            else:
                self._check(value, row)
