"""The place of `compiler_config`."""

from . import compiler_config

__all__ = ["compiler_config"]
