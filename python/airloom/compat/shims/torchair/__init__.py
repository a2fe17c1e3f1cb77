"""TorchAir's export under its own name, done by airloom."""

from __future__ import annotations

from typing import NoReturn

from airloom import CompilerConfig, dynamo_export

from . import configs

__all__ = ["CompilerConfig", "configs", "dynamo_export"]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"torchair.{name} is not provided: this torchair is airloom's stand-in for exporting without an NPU. "
        "It has dynamo_export, CompilerConfig and configs.compiler_config.CompilerConfig"
    )
