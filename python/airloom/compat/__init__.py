"""Runs scripts that are written for TorchAir where torch_npu and torchair are not installed.

`python -m airloom.compat script.py ...` runs the script as Python itself would, with the modules `torchair` and
`torch_npu` provided from airloom unless the real ones are installed.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_HERE = Path(__file__).resolve().parent
SHIMS = str(_HERE / "shims")


def run(script: str, arguments: Sequence[str] = ()) -> None:
    """Run `script` as `__main__` with `sys.argv[1:]` = arguments; sys.argv and sys.path are put back afterwards.

    The shims are the last entry of sys.path, so installed packages win, and spawned processes, which take over sys.path
    before they import the script again, find them as well.
    """
    saved_argv, saved_path = sys.argv, list(sys.path)
    package_root = str(_HERE.parents[1])
    try:
        sys.argv = [script, *arguments]
        sys.path[0] = str(Path(script).resolve().parent)
        sys.path += [entry for entry in (package_root, SHIMS) if entry not in sys.path]
        runpy.run_path(script, run_name="__main__")
    finally:
        sys.argv, sys.path[:] = saved_argv, saved_path
