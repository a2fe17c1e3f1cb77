from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Port = tuple[str, str, list[int] | None, bool]

class Session:
    def __init__(
        self,
        path: str,
        precision: str,
        threads: int,
        working_dir: str,
        profile: bool,
        reference: bool,
        watch: Sequence[str],
    ) -> None: ...
    @property
    def inputs(self) -> list[Port]: ...
    @property
    def outputs(self) -> list[Port]: ...
    def run(
        self, inputs: Sequence[tuple[int, str, Sequence[int], int] | None]
    ) -> list[npt.NDArray[np.generic[Any]]]: ...
    def call(self, inputs: tuple[object, ...]) -> tuple[Any, ...] | None: ...
    def states(self) -> dict[str, npt.NDArray[np.generic[Any]]]: ...
    def reset(self) -> None: ...
    def profile(self) -> list[tuple[str, str, float]]: ...
    def layout(self) -> tuple[int, int, int, int]: ...
