"""Errors that say what went wrong, where, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypedDict

    from airloom.verify import VerifyReport

    class UnsupportedRow(TypedDict):
        """One operator without a converter."""

        target: str
        count: int
        module: str
        source: str
        reason: str


class AirloomError(Exception):
    """Base of all errors raised by airloom.

    Attributes:
        what: What is wrong, one sentence.
        where: Source line, module path or file; empty when there is none.
        hint: What to do; may be empty.
    """

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        """Render the non-empty parts, one a line."""
        lines = [self.what]
        if self.where:
            lines.append(f"  at: {self.where}")
        if self.hint:
            lines.append(f"  do: {self.hint}")
        return "\n".join(lines)


class ExportError(AirloomError):
    """The export cannot be done; the model itself may be fine."""


class ArgumentError(ExportError):
    """An argument of the call is wrong."""


class CaptureError(ExportError):
    """The model cannot be traced."""


class ArtifactError(ExportError):
    """A file or folder cannot be used or written."""


class InternalError(ExportError):
    """The core refused what the front handed to it: a defect in airloom."""


class RunError(AirloomError, RuntimeError):
    """A graph cannot be loaded or run here."""


class MissingPackageError(AirloomError, ModuleNotFoundError):
    """A Python package that is not installed with airloom itself is needed; `name` is the package's."""

    def __init__(self, what: str, where: str = "", hint: str = "", name: str | None = None) -> None:
        super().__init__(what, where, hint)
        self.name = name


class MismatchError(AirloomError):
    """A written file computes something else than the model; `report` is the whole comparison."""

    def __init__(self, what: str, where: str = "", hint: str = "", report: VerifyReport | None = None) -> None:
        super().__init__(what, where, hint)
        self.report = report


class ConfigError(AirloomError, AttributeError):
    """An unknown or unusable setting."""


class UnsupportedOperators(ExportError):  # noqa: N818 (the name users catch)
    """Operators without a converter, all of them at once."""

    def __init__(self, rows: Sequence[UnsupportedRow]) -> None:
        self.rows = list(rows)
        kinds = len({row["target"] for row in self.rows})
        what = (
            f"{kinds} operator{'s' if kinds != 1 else ''} of the model cannot be converted:\n{format_table(self.rows)}"
        )
        super().__init__(
            what, "", "rewrite those lines with other operators, or run them outside of the exported model"
        )

    def __reduce__(self) -> tuple[type[UnsupportedOperators], tuple[list[UnsupportedRow]]]:
        """Pickle by the rows, as the constructor takes them."""
        return type(self), (self.rows,)


def format_table(rows: Sequence[UnsupportedRow]) -> str:
    """Align name, count, module, source and reason in columns."""
    cells = [("operator", "count", "module", "source", "reason")]
    cells += [(r["target"], str(r["count"]), r["module"] or "-", r["source"] or "-", r["reason"] or "-") for r in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    return "\n".join(
        "  " + "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in cells
    )
