"""Settings: known paths work, everything else is an error that helps."""

from __future__ import annotations

import copy
import pickle

import pytest

from airloom import AirloomError, CompilerConfig, ConfigError, UnsupportedOperators


def test_defaults_and_settings() -> None:
    config = CompilerConfig()
    assert config.export.experimental.auto_atc_config_generated is False
    assert config.export.experimental.enable_record_nn_module_stack is False
    assert config.export.external_weights == "auto"
    config.export.experimental.auto_atc_config_generated = True
    config.export.experimental.enable_record_nn_module_stack = True
    config.export.external_weights = "always"
    assert config.export.experimental.auto_atc_config_generated is True
    assert config.export.external_weights == "always"
    assert CompilerConfig().export.external_weights == "auto"


def test_unknown_names_are_told_with_the_nearest() -> None:
    config = CompilerConfig()
    with pytest.raises(ConfigError, match=r"did you mean config\.export\.experimental\.auto_atc_config_generated\?"):
        config.export.experimental.auto_atc_config_generate = True
    with pytest.raises(AttributeError, match=r"unknown setting config\.exprot[\s\S]*did you mean config\.export\?"):
        _ = config.exprot
    with pytest.raises(ConfigError, match=r"config\.export has: experimental, external_weights"):
        config.export.zzz = 1
    assert not hasattr(config, "zzz")


def test_values_are_checked() -> None:
    config = CompilerConfig()
    with pytest.raises(ConfigError, match="a bool is needed"):
        config.export.experimental.auto_atc_config_generated = "yes"
    with pytest.raises(ConfigError, match="auto, always, never"):
        config.export.external_weights = "sometimes"
    with pytest.raises(ConfigError, match="group of settings"):
        config.export = None
    assert config.export.external_weights == "auto"


def test_frozen_parameters_are_refused() -> None:
    config = CompilerConfig()
    config.experimental_config.frozen_parameter = False
    with pytest.raises(ConfigError, match="not supported together with export"):
        config.experimental_config.frozen_parameter = True
    assert config.experimental_config.frozen_parameter is False


def test_copies_and_pickles() -> None:
    config = CompilerConfig()
    config.export.external_weights = "never"
    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other.export.external_weights == "never"
        other.export.external_weights = "always"
        assert config.export.external_weights == "never"


def test_unsupported_table() -> None:
    rows = [
        {
            "target": "aten.fft_fft.default",
            "count": 2,
            "module": "enc.0",
            "source": "m.py:3: fft(x)",
            "reason": "no converter",
        },
        {"target": "aten.x", "count": 11, "module": "", "source": "", "reason": ""},
    ]
    error = UnsupportedOperators(rows)
    lines = str(error).splitlines()
    assert lines[0] == "2 operators of the model cannot be converted:"
    assert lines[1].split() == ["operator", "count", "module", "source", "reason"]
    assert lines[2].split() == ["aten.fft_fft.default", "2", "enc.0", "m.py:3:", "fft(x)", "no", "converter"]
    assert lines[3].split() == ["aten.x", "11", "-", "-", "-"]
    assert pickle.loads(pickle.dumps(error)).rows == rows


def test_errors_say_what_where_and_what_to_do() -> None:
    error = AirloomError("it broke", "m.py:3", "mend it")
    assert str(error) == "it broke\n  at: m.py:3\n  do: mend it"
    again = pickle.loads(pickle.dumps(error))
    assert (again.what, again.where, again.hint) == ("it broke", "m.py:3", "mend it")
