"""Exports PyTorch models to offline Ascend graphs (.air), checks what it wrote and runs it, without an NPU."""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from airloom.config import CompilerConfig
from airloom.errors import (
    AirloomError,
    ArgumentError,
    ArtifactError,
    CaptureError,
    ConfigError,
    ExportError,
    InternalError,
    MismatchError,
    MissingPackageError,
    RunError,
    UnsupportedOperators,
)
from airloom.report import ExportResult, Report

if TYPE_CHECKING:
    from airloom.capture import Program, capture
    from airloom.export import dynamo_export, unsupported
    from airloom.runtime import Session, load
    from airloom.verify import VerifyReport, verify

# Imported when first asked for: running a graph does not need PyTorch, exporting one does not need the runtime.
_HOMES = {
    "Program": "airloom.capture",
    "Session": "airloom.runtime",
    "VerifyReport": "airloom.verify",
    "capture": "airloom.capture",
    "dynamo_export": "airloom.export",
    "load": "airloom.runtime",
    "unsupported": "airloom.export",
    "verify": "airloom.verify",
}

__all__ = [
    "AirloomError",
    "ArgumentError",
    "ArtifactError",
    "CaptureError",
    "CompilerConfig",
    "ConfigError",
    "ExportError",
    "ExportResult",
    "InternalError",
    "MismatchError",
    "MissingPackageError",
    "Program",
    "Report",
    "RunError",
    "Session",
    "UnsupportedOperators",
    "VerifyReport",
    "capture",
    "dynamo_export",
    "load",
    "unsupported",
    "verify",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(home), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        # No AttributeError: `from airloom import ...` would replace its text.
        raise MissingPackageError(
            f"airloom.{name} needs PyTorch, which is not installed", "", "pip install 'airloom[torch]'", "torch"
        ) from error
    globals()[name] = value
    return value


class _Package(ModuleType):
    """Two functions have the name of the module they live in: here the name is the function."""

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and _HOMES.get(name) == value.__name__:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
