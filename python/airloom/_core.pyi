from collections.abc import Callable, Sequence

class CoreError(Exception):
    code: str
    where: str
    hint: str

class UnsupportedError(CoreError):
    rows: list[dict[str, object]]

def converted_ops() -> list[str]: ...
def export(
    message: bytes,
    weights: Sequence[tuple[int, object]],
    options: dict[str, object],
    progress: Callable[[str, int, int], None] | None,
) -> dict[str, object]: ...
def unsupported(message: bytes, weights: Sequence[tuple[int, object]]) -> list[dict[str, object]]: ...
def convert_text(message: bytes, weights: Sequence[tuple[int, object]], options: dict[str, object]) -> str: ...
def validate(path: str, working_dir: str) -> list[dict[str, str]]: ...
def inspect_json(path: str) -> str: ...
