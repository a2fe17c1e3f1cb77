"""The second example, exported and in eager PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import EAGER, LIMIT, ROOT, Array


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the second example and write inputs that differ by rank."""
    folder = tmp_path_factory.mktemp("example2")
    script = ROOT / "tests" / "seed" / "example2.py"
    done = subprocess.run(
        [sys.executable, "-m", "airloom.compat", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        rows = np.arange(4, dtype=np.int32).reshape(2, 2)
        np.savez(folder / f"in{rank}.npz", rows * (rank + 1), rows - 7 * rank)
    return folder


@pytest.fixture(scope="session")
def eager(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Array]:
    """Return each rank's output of the same module and inputs in eager PyTorch over gloo."""
    folder = tmp_path_factory.mktemp("eager")
    for rank in range(2):
        (folder / f"in{rank}.npz").write_bytes((exported / f"in{rank}.npz").read_bytes())
    ranks = [subprocess.Popen([sys.executable, "-c", EAGER, str(rank), str(folder)]) for rank in range(2)]
    assert [process.wait(timeout=LIMIT) for process in ranks] == [0, 0]
    return [np.load(folder / f"eager{rank}.npy") for rank in range(2)]
