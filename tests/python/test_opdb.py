"""The generated operator tables agree with the facts they are made from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/opdb/generate.py"
FILES = ("ops.gen.inc", "ge.gen.h")
SCHEMAS = ROOT / "src/opdb/schemas.gen.inc"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the generator."""
    return subprocess.run([sys.executable, str(TOOL), *arguments], capture_output=True, text=True, check=False)


def test_checked_in_tables_are_current() -> None:
    """Regeneration without torch changes nothing, and says what it left out."""
    result = run("--check")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "schemas.gen.inc: skipped" in result.stdout


def test_checked_in_schemas_are_current() -> None:
    """Schemas equal those of the torch release that the file names."""
    torch = pytest.importorskip("torch")
    release = str(torch.__version__).partition("+")[0]
    first_line = SCHEMAS.read_text().partition("\n")[0]
    if f"torch {release}." not in first_line:
        pytest.skip(f"installed torch is {release}; {first_line}")
    result = run("--check", "--schemas")
    assert result.returncode == 0, result.stdout + result.stderr


def test_check_reports_a_difference_and_writes_nothing(tmp_path: Path) -> None:
    """A changed file fails the check with its name and the changed line."""
    for name in FILES:
        shutil.copy(ROOT / "src/opdb" / name, tmp_path / name)
    changed = (tmp_path / "ge.gen.h").read_text().replace('kType = "Add";', 'kType = "Sub";', 1)
    (tmp_path / "ge.gen.h").write_text(changed)
    result = run("--check", "--out", str(tmp_path))
    assert result.returncode == 1
    assert "ge.gen.h differs" in result.stdout
    assert 'kType = "Sub";' in result.stdout
    assert "ops.gen.inc differs" not in result.stdout
    assert (tmp_path / "ge.gen.h").read_text() == changed


def test_regeneration_is_deterministic(tmp_path: Path) -> None:
    """Writing to an empty folder gives the checked-in bytes."""
    result = run("--out", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (ROOT / "src/opdb" / name).read_bytes()
