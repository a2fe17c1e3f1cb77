"""TorchAir's path to the settings."""

from airloom import CompilerConfig

__all__ = ["CompilerConfig"]
