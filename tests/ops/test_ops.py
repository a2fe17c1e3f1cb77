"""Every converter: the nodes it emits (tests/golden/ops, `--update-golden` rewrites them)."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from rows import ROWS, UNREACHED, Row

import airloom
from airloom import _core

GOLDEN = Path(__file__).parents[1] / "golden" / "ops"


class Call(torch.nn.Module):
    """Calls one overload; the row's tensors are forward's arguments."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.row = row

    def forward(self, *tensors: torch.Tensor) -> Any:
        """Put the tensors back in their places."""
        rest = iter(tensors)

        def place(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return next(rest)
            if isinstance(value, list):
                return [place(v) for v in value]
            return value

        args = [place(v) for v in self.row.args]
        return self.row.overload(*args, **self.row.kwargs)


def tensors_of(row: Row) -> tuple[torch.Tensor, ...]:
    """The row's inputs, in order."""
    found: list[torch.Tensor] = []
    for value in row.args:
        found += [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, torch.Tensor)]
    return tuple(found)


def capture(row: Row) -> airloom.Program:
    """Trace the row's call."""
    return airloom.capture(Call(row), tensors_of(row), dynamic=row.dynamic)


def nodes_of(text: str) -> str:
    """Keep the node lines of a graph's text, without the comments that name this file's lines."""
    lines = [re.sub(r"  // .*", "", line)[2:] for line in text.splitlines() if line.startswith("  %")]
    return "\n".join(lines) + "\n"


def describe(row: Row) -> str:
    """Write the call as a line."""

    def text(value: Any) -> str:
        if isinstance(value, torch.Tensor):
            return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
        if isinstance(value, list):
            return f"[{', '.join(text(v) for v in value)}]"
        return str(value)

    parts = [text(v) for v in row.args] + [f"{k}={v}" for k, v in row.kwargs.items()]
    return f"{row.target}({', '.join(parts)}){' dynamic' if row.dynamic else ''}"


def _by_target() -> dict[str, list[Row]]:
    out: dict[str, list[Row]] = defaultdict(list)
    for row in ROWS:
        out[row.target].append(row)
    return dict(sorted(out.items()))


ROWS_BY_TARGET = _by_target()


@pytest.mark.parametrize("target", ROWS_BY_TARGET)
def test_emitted_nodes(target: str, update_golden: bool) -> None:
    sections = []
    for row in ROWS_BY_TARGET[target]:
        program = capture(row)
        captured = {node["target"] for node in json.loads(program.message)["nodes"]}
        assert target in captured, f"the capture took {target} apart into {sorted(captured)}"
        sections.append(f"# {describe(row)}\n{nodes_of(_core.convert_text(program.message, program.weights, {}))}")
    text = "\n".join(sections)
    path = GOLDEN / f"{target}.txt"
    if update_golden:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def test_every_converter_has_a_row() -> None:
    reached = set(ROWS_BY_TARGET)
    converters = set(_core.converted_ops())
    assert converters - reached - set(UNREACHED) == set()
    assert reached - converters == set(), "rows without a converter"
    assert set(UNREACHED) & reached == set(), "rows exist for operators that are listed as unreached"


def test_no_golden_file_is_stale() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(ROWS_BY_TARGET)
