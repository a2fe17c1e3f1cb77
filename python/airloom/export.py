"""The main call: trace a model and have the core write the files."""

from __future__ import annotations

import logging
import os
import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airloom import collectives
from airloom.capture import Program, capture
from airloom.config import CompilerConfig
from airloom.errors import ArgumentError, ArtifactError, ConfigError, ExportError, InternalError, UnsupportedOperators
from airloom.progress import Progress
from airloom.report import ExportResult, Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from airloom import _core
    from airloom.errors import UnsupportedRow

_LOG = logging.getLogger("airloom")
_UNSAFE = re.compile(r"[^A-Za-z0-9._/\u4E00-\u9FA5-]")
_NAME_BYTES = 255


def dynamo_export(
    *args: object,
    model: torch.nn.Module,
    export_path: str | os.PathLike[str] = "export_file",
    export_name: str = "export",
    dynamic: bool = False,
    config: CompilerConfig | None = None,
    dynamic_shapes: Any = None,
    verify: bool = False,
    **kwargs: object,
) -> ExportResult:
    """Export `model` to an offline graph.

    Args:
        *args: Sample inputs for model.forward.
        model: The module.
        export_path: Folder for the files, made if missing. Paths of external weights are recorded below it as given:
            when it is relative, run ATC from the current folder.
        export_name: Base name of the `.air`; only the last path component counts.
        dynamic: Make every dimension symbolic that can be.
        config: Settings.
        dynamic_shapes: torch.export's own form; wins over `dynamic`.
        verify: Run the written file and compare it with the model, as airloom.verify does; the table is logged.
        **kwargs: Named sample inputs for model.forward.

    Returns:
        The files written, and a report.

    Raises:
        ArgumentError, ArtifactError, CaptureError, ConfigError, UnsupportedOperators: nothing is written then.
        MismatchError: With `verify`, the file computes something else than the model; it stays for inspection.
        RunError: With `verify`, the file is written but cannot be run here.
    """
    if config is None:
        config = CompilerConfig()
    elif not isinstance(config, CompilerConfig):
        raise ConfigError(f"config is a {type(config).__name__}", "", "pass an airloom.CompilerConfig")
    target = _Target(export_path, export_name)
    record = config.export.experimental.enable_record_nn_module_stack
    made: list[Path] = []
    try:
        made = target.make_folders()
        with Progress() as progress:
            program = capture(
                model,
                args,
                kwargs,
                dynamic,
                dynamic_shapes,
                name=target.graph_name,
                record_module_stack=record,
                progress=progress,
            )
            written = _write(program, target.options(config), progress)
    except BaseException:
        _remove_empty(made)
        raise
    timings = {**program.timings, **written["timings"]}
    if verify:
        timings["verify"] = _verify(model, args, kwargs, written["air"], dynamic, dynamic_shapes)
    report = Report(
        nodes=written["nodes"],
        op_counts=dict(written["op_counts"]),
        timings=timings,
        weight_bytes=written["weight_bytes"],
        warnings=[*target.warnings, *program.warnings, *written["warnings"]],
    )
    for text in report.warnings:
        _LOG.warning("%s", text)
    result = ExportResult(
        written["air"], written["pbtxt"], list(written["weight_files"]), list(written["json_files"]), report
    )
    _LOG.info("%s", atc_command(result, relative=not target.path.is_absolute()))
    return result


def _verify(
    model: torch.nn.Module,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    air: str,
    dynamic: bool,
    dynamic_shapes: Any,
) -> float:
    """Compare the file with the model; return the seconds it took."""
    from airloom.verify import verify as compare

    start = time.perf_counter()
    report = compare(
        model, args, kwargs, air=air, dynamic=dynamic, dynamic_shapes=dynamic_shapes, raise_on_mismatch=True
    )
    _LOG.info("%s", report)
    return time.perf_counter() - start


def unsupported(
    model: torch.nn.Module,
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
    dynamic: bool = False,
    dynamic_shapes: Any = None,
) -> list[UnsupportedRow]:
    """List every operator of the model that cannot be converted; writes nothing."""
    return _unsupported_rows(capture(model, args, kwargs, dynamic, dynamic_shapes))


def atc_command(result: ExportResult, *, relative: bool) -> str:
    """Return the next command: the graph's own number types, full precision, inputs as they are."""
    name = Path(result.air).name.removesuffix(".air")
    words = [
        "atc",
        f"--model={shlex.quote(result.air)}",
        "--framework=1",
        f"--output={shlex.quote(name)}",
        "--soc_version=<soc_version>",
        "--input_format=ND",
        "--precision_mode_v2=origin",
        "--op_select_implmode=high_precision",
    ]
    if result.weight_files:
        words.append("--external_weight=1")
    text = " ".join(words)
    note = (
        " (run it in the current folder: the weight paths are relative to it)"
        if result.weight_files and relative
        else ""
    )
    return f"next: {text}{note}"


def _unsupported_rows(program: Program) -> list[UnsupportedRow]:
    from airloom import _core

    try:
        return cast("list[UnsupportedRow]", _core.unsupported(program.message, program.weights))
    except _core.CoreError as error:
        raise _translated(error) from error


def _write(program: Program, options: dict[str, object], progress: Progress) -> dict[str, Any]:
    from airloom import _core

    try:
        return _core.export(program.message, program.weights, options, progress)
    except _core.UnsupportedError as error:
        raise UnsupportedOperators(cast("list[UnsupportedRow]", error.rows)) from error
    except _core.CoreError as error:
        raise _translated(error) from error


def _translated(error: _core.CoreError) -> ExportError:
    text = str(error.args[0]) if error.args else str(error)
    if error.code in ("io", "too_large", "not_found"):
        return ArtifactError(text, error.where, error.hint)
    if error.code in ("parse", "invalid_graph"):
        return InternalError(
            text, error.where, error.hint or "this is a defect of airloom: please report it with the model"
        )
    return ExportError(text, error.where, error.hint)


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders that this export made, innermost first; one that another rank has filled stays."""
    for folder in reversed(folders):
        try:
            folder.rmdir()
        except OSError:
            return


class _Target:
    """Where the files go. Construction checks everything that can be checked without writing."""

    def __init__(self, export_path: str | os.PathLike[str], export_name: str) -> None:
        try:
            given = os.fspath(export_path)
        except TypeError:
            given = None
        if not isinstance(given, str) or not given or "\0" in given:
            raise ArgumentError(f"export_path = {export_path!r} is not a path", "", "pass the name of a folder")
        if not isinstance(export_name, str) or "\0" in export_name:
            raise ArgumentError(f"export_name = {export_name!r} is not a name", "", "pass a text such as 'export'")
        self.path = Path(given)
        self.name = Path(export_name).name
        if not self.name or self.name == "..":
            raise ArgumentError(
                f"export_name = {export_name!r} has no last path component", "", "pass a text such as 'export'"
            )
        self.graph_name = self.name
        multi = collectives.initialized()
        self.rank, _ = collectives.rank_and_size()
        self.air = self.path / (f"{self.name}{self.rank}.air" if multi else f"{self.name}.air")
        self.folder = self.path / f"rank_{self.rank}" if multi else self.path
        self.multi = multi
        if len(os.fsencode(self.air.name)) > _NAME_BYTES:
            raise ArgumentError(
                f"the file name {self.air.name[:40]}... is longer than {_NAME_BYTES} bytes",
                "",
                "use a shorter export_name",
            )
        self.warnings = []
        unsafe = "".join(sorted(set(_UNSAFE.findall(str(self.air)))))
        if unsafe:
            self.warnings.append(
                f'the path "{self.air}" holds {unsafe!r}; '
                'ATC accepts only letters, digits, ".", "_", "-", "/" and Chinese characters'
            )
        self._check()

    def _check(self) -> None:
        for place in (self.folder, self.air, self.folder / "dynamo.pbtxt"):
            steps = [*reversed(place.parents), place]
            for step in steps:
                if step.is_symlink():
                    raise ArtifactError(
                        f'the path "{place}" passes through a symbolic link',
                        str(step),
                        "give the path of the real folder",
                    )
        for step in (self.path, self.folder):
            if step.exists() and not step.is_dir():
                raise ArtifactError(
                    "export_path is not a folder", str(step), "remove that file or choose another export_path"
                )
        for file in (self.air, self.folder / "dynamo.pbtxt"):
            if file.is_dir():
                raise ArtifactError(
                    "a folder stands where a file must go", str(file), "remove that folder or choose another name"
                )

    def make_folders(self) -> list[Path]:
        """Make the folders that are missing and return them, outermost first."""
        made: list[Path] = []
        missing = [step for step in [*reversed(self.folder.parents), self.folder] if not step.exists()]
        try:
            for step in missing:
                try:
                    step.mkdir()
                    made.append(step)
                except FileExistsError:
                    if not step.is_dir():  # another rank may have been faster, but a file is in the way
                        raise
        except OSError as error:
            _remove_empty(made)
            raise ArtifactError(
                f"the folder cannot be made: {error.strerror}", str(step), "choose a writable export_path"
            ) from error
        for folder in (self.path, self.folder):
            if not os.access(folder, os.W_OK | os.X_OK):
                _remove_empty(made)
                raise ArtifactError("the folder is not writable", str(folder), "choose a writable export_path")
        return made

    def options(self, config: CompilerConfig) -> dict[str, object]:
        """Return the core's options."""
        experimental = config.export.experimental
        write_json = experimental.auto_atc_config_generated and self.multi and self.rank == 0
        return {
            "directory": str(self.folder),
            "air_path": str(self.air),
            "pbtxt_path": str(self.folder / "dynamo.pbtxt"),
            "recorded_dir": str(self.folder),
            "external": config.export.external_weights,
            "record_module_stack": experimental.enable_record_nn_module_stack,
            "json_dir": str(self.path) if write_json else None,
            "json_name": self.name,
            "disabled_passes": [],
            "inline_limit": None,
        }
