"""What an export did, for people and programs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Report:
    """Counts, timings and warnings of one export.

    Attributes:
        nodes: Number of nodes in the graph.
        op_counts: Nodes per operator type.
        timings: Seconds per stage, in the order they ran.
        weight_bytes: Bytes of all weights.
        warnings: Sentences about what may not be as meant.
    """

    nodes: int = 0
    op_counts: dict[str, int] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    weight_bytes: int = 0
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Render a few lines."""
        ops = ", ".join(
            f"{name} {count}" for name, count in sorted(self.op_counts.items(), key=lambda p: (-p[1], p[0]))
        )
        times = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in self.timings.items())
        lines = [f"{self.nodes} nodes: {ops}", f"{self.weight_bytes} bytes of weights", times]
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])


@dataclass(frozen=True)
class ExportResult:
    """The files of one export, as absolute or relative as `export_path` was, and the report."""

    air: str
    pbtxt: str
    weight_files: list[str]
    json_files: list[str]
    report: Report
