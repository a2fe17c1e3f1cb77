"""Settings of an export, under the attribute paths that TorchAir's users know."""

from __future__ import annotations

import difflib
from typing import Any, ClassVar

from airloom.errors import ConfigError

EXTERNAL_WEIGHTS = ("auto", "always", "never")


class _Section:
    """A group of settings: fixed names, checked values."""

    _path: ClassVar[str]
    _defaults: ClassVar[dict[str, object]]

    def __init__(self) -> None:
        for name, value in self._defaults.items():
            section = isinstance(value, type) and issubclass(value, _Section)
            object.__setattr__(self, name, value() if section else value)  # type: ignore[operator]

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self._defaults:
            raise self._unknown(name)
        if isinstance(self.__dict__[name], _Section):
            raise ConfigError(
                f"{self._path}.{name} is a group of settings and cannot be replaced", "", "set a setting in it"
            )
        self._check(name, value)
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._unknown(name)

    def __repr__(self) -> str:
        """Show the settings."""
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__dict__.items())})"

    def _check(self, name: str, value: object) -> None:
        """Raise ConfigError when `value` does not fit the setting `name`."""
        if isinstance(self._defaults[name], bool) and not isinstance(value, bool):
            raise ConfigError(f"{self._path}.{name} = {value!r}: a bool is needed", "", "use True or False")

    def _unknown(self, name: str) -> ConfigError:
        close = difflib.get_close_matches(name, self._defaults, n=1)
        hint = f"did you mean {self._path}.{close[0]}?" if close else f"{self._path} has: {', '.join(self._defaults)}"
        return ConfigError(f"unknown setting {self._path}.{name}", "", hint)


class _ExportExperimental(_Section):
    """Settings of the export that may change."""

    _path = "config.export.experimental"
    _defaults: ClassVar[dict[str, object]] = {
        "auto_atc_config_generated": False,
        "enable_record_nn_module_stack": False,
    }
    auto_atc_config_generated: bool
    enable_record_nn_module_stack: bool


class _Export(_Section):
    """Settings of the export."""

    _path = "config.export"
    _defaults: ClassVar[dict[str, object]] = {"experimental": _ExportExperimental, "external_weights": "auto"}
    experimental: _ExportExperimental
    external_weights: str

    def _check(self, name: str, value: object) -> None:
        if name == "external_weights" and value not in EXTERNAL_WEIGHTS:
            raise ConfigError(
                f"{self._path}.external_weights = {value!r}", "", f"use one of {', '.join(EXTERNAL_WEIGHTS)}"
            )


class _Experimental(_Section):
    """TorchAir's settings for running a model; only what does not change an export is accepted."""

    _path = "config.experimental_config"
    _defaults: ClassVar[dict[str, object]] = {"frozen_parameter": False}
    frozen_parameter: bool

    def _check(self, name: str, value: object) -> None:
        super()._check(name, value)
        if name == "frozen_parameter" and value:
            raise ConfigError(
                f"{self._path}.frozen_parameter is not supported together with export",
                "",
                "leave it out: weights are always in the file",
            )


class CompilerConfig(_Section):
    """All settings. Unknown names raise `ConfigError` (an `AttributeError`) with the nearest known one."""

    _path = "config"
    _defaults: ClassVar[dict[str, object]] = {"export": _Export, "experimental_config": _Experimental}
    export: _Export
    experimental_config: _Experimental
