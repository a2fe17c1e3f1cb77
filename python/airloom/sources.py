"""Where in the user's code something came from, in a form that is the same on every machine."""

from __future__ import annotations

import linecache
import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

_OWN = str(Path(__file__).parent) + "/"
_TORCH = str(Path(torch.__file__).parent) + "/"
_FRAME = re.compile(r'File "([^"\n]+)", line (\d+), in [^\n]*(?:\n(?!\s*File ")[ \t]*([^\n]*))?')


def is_user_file(path: str) -> bool:
    """Whether a frame of this file belongs to the model rather than to PyTorch, airloom or generated code."""
    return not path.startswith(("<", "torch/", _OWN, _TORCH))


def short_path(path: str) -> str:
    """Below site-packages or the working directory: relative to it; else the bare name. Never absolute."""
    _, found, rest = path.rpartition("/site-packages/")
    if found:
        return rest
    file = Path(path)
    if not file.is_absolute():
        return path
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else file.name


def _last(frames: Iterable[tuple[str, int, str]]) -> str:
    for path, line, text in frames:
        if is_user_file(path):
            return f"{short_path(path)}:{line}: {text}" if text else f"{short_path(path)}:{line}"
    return ""


def from_stack_trace(text: str | None) -> str:
    """`file.py:line: source` of the innermost user frame in a stack trace that PyTorch recorded as text; "" if none."""
    if not text:
        return ""
    found = [(path, int(line), (source or "").strip()) for path, line, source in _FRAME.findall(text)]
    return _last(reversed(found))


def from_traceback(trace: TracebackType | None) -> str:
    """`file.py:line: source` of the innermost user frame of an exception; "" if none."""
    frames = [(f.f_code.co_filename, line) for f, line in traceback.walk_tb(trace)]
    return _last((path, line, linecache.getline(path, line).strip()) for path, line in reversed(frames))


def raised_by_user(trace: TracebackType | None) -> bool:
    """Whether the frame that raised belongs to the model."""
    frames = list(traceback.walk_tb(trace))
    return bool(frames) and is_user_file(frames[-1][0].f_code.co_filename)
