"""Writes a benchmark's table between its two marks in the project's README."""

from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def replace(mark: str, text: str) -> None:
    """Replaces what stands between <!-- MARK:begin --> and <!-- MARK:end -->."""
    marks = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
    readme = README.read_text(encoding="utf-8")
    begin, end = (readme.find(text) for text in marks)
    if not 0 <= begin < end:
        raise SystemExit(f"bench: README.md does not have the marks {marks[0]} and {marks[1]} in this order")
    README.write_text(f"{readme[: begin + len(marks[0])]}\n{text}\n{readme[end:]}", encoding="utf-8")
