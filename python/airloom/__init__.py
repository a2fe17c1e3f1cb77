"""Exports PyTorch models to offline Ascend graphs (.air), and checks what it wrote, without an NPU."""

from airloom.capture import Program, capture
from airloom.config import CompilerConfig
from airloom.errors import (
    AirloomError,
    ArgumentError,
    ArtifactError,
    CaptureError,
    ConfigError,
    ExportError,
    InternalError,
    UnsupportedOperators,
)
from airloom.export import dynamo_export, unsupported
from airloom.report import ExportResult, Report

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
    "Program",
    "Report",
    "UnsupportedOperators",
    "capture",
    "dynamo_export",
    "unsupported",
]
