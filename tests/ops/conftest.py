"""Options of the operator tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are rewritten instead of compared only."""
    return bool(request.config.getoption("--update-golden"))
