"""A torch_npu that can be imported where there is no NPU; it provides nothing."""

from __future__ import annotations

from typing import NoReturn


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"torch_npu.{name} is not provided: this torch_npu is airloom's stand-in for exporting without an NPU. "
        "Keep the model and its inputs on the CPU; operators of torch_npu cannot be exported"
    )
