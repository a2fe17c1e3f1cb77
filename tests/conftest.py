"""Options that must be known before any folder is collected."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register our options."""
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden instead of only comparing")
