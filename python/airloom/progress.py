"""One line on a terminal that tells a waiting person what is being done."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

QUIET_SECONDS = 2.0


class Progress:
    """Shows `stage done/total` on standard error when that is a terminal and the work takes longer than 2 seconds."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._last = self._start
        self._width = 0
        self._shown = sys.stderr is not None and sys.stderr.isatty()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that `done` of `total` steps (0: unknown) of `stage` are finished."""
        now = time.monotonic()
        if not self._shown or now - self._start < QUIET_SECONDS or (now - self._last < 0.1 and done < total):
            return
        self._last = now
        text = f"airloom: {stage} {done}/{total}" if total else f"airloom: {stage} ..."
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)

    def __enter__(self) -> Self:
        """Start with nothing shown."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the line."""
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
