"""Tracing: from a module and sample inputs to the program message that the core reads."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import tempfile
import time
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch._export.passes import lift_constants_pass
from torch.export import _trace as export_trace
from torch.export import dynamic_shapes as export_shapes
from torch.fx.experimental.symbolic_shapes import ConstraintViolationError, GuardOnDataDependentSymNode
from torch.utils import _pytree as pytree

from airloom import collectives, decompositions, labels, sources, walk, weights
from airloom.errors import AirloomError, ArgumentError, ArtifactError, CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from torch.export import ExportedProgram

    ProgressFunction = Callable[[str, int, int], None]

_LOG = logging.getLogger("airloom")
T = TypeVar("T")
# Where PyTorch's messages go on to things that do not help here.
_BOILERPLATE = re.compile(r"\n\s*(?:While executing|The error above occurred|For more information about this error)")


@dataclass(frozen=True)
class Program:
    """A captured model: the message and the memory of its weights.

    Attributes:
        message: The program as JSON text (docs/program-message.md).
        weights: (address of element 0, owner that keeps it alive) in the order of the message's weight table.
        warnings: Sentences about what may not be as meant.
        timings: Seconds per stage.
    """

    message: bytes
    weights: list[tuple[int, object]]
    warnings: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the message with all weight bytes in it, so that the file stands alone."""
        out = json.loads(self.message)
        for row, (_, owner) in zip(out["weights"], self.weights, strict=True):
            assert isinstance(owner, torch.Tensor)
            row["data"] = weights.dense_bytes(owner).hex()
        target = Path(path)
        temporary = None
        try:
            with tempfile.NamedTemporaryFile(
                "w", dir=target.parent, prefix=".airloom-", delete=False, encoding="ascii"
            ) as file:
                temporary = Path(file.name)
                json.dump(out, file, separators=(",", ":"))
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
        except OSError as error:
            raise ArtifactError(
                f"the program cannot be written: {error.strerror}", str(target), "choose a writable place"
            ) from error
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def capture(
    model: torch.nn.Module,
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
    dynamic: bool = False,
    dynamic_shapes: Any = None,
    *,
    name: str = "export",
    record_module_stack: bool = False,
    converted_ops: Collection[str] | None = None,
    progress: ProgressFunction | None = None,
) -> Program:
    """Trace `model(*args, **kwargs)`.

    Args:
        model: The module; its mode and its state are left as they are.
        args: Positional sample inputs.
        kwargs: Named sample inputs.
        dynamic: Make every dimension symbolic that can be.
        dynamic_shapes: torch.export's own form; wins over `dynamic`.
        name: Name of the graph.
        record_module_stack: Put PyTorch's nn_module_stack on every node.
        converted_ops: Operators to keep whole; those that the core converts when not given.
        progress: Called with (stage, done, total).

    Raises:
        ArgumentError: The model is no module, or the inputs do not fit its forward.
        CaptureError: The model cannot be traced.
    """
    if converted_ops is None:
        from airloom import _core

        converted_ops = _core.converted_ops()
    _check_model(model)
    if not isinstance(args, (tuple, list)):
        raise ArgumentError(f"args is a {type(args).__name__}", "", "pass a tuple of positional inputs: (x, y)")
    tracer = _Tracer(model, tuple(args), dict(kwargs or {}), dynamic, dynamic_shapes, progress)
    return tracer.run(name, record_module_stack, converted_ops)


def _check_model(model: object) -> None:
    if isinstance(model, torch.jit.ScriptModule):
        raise ArgumentError(
            "model is a TorchScript module", type(model).__name__, "pass the nn.Module it was made from"
        )
    if isinstance(model, torch._dynamo.eval_frame.OptimizedModule):
        raise ArgumentError(
            "model is compiled by torch.compile", type(model).__name__, "pass the module inside: model._orig_mod"
        )
    if isinstance(model, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
        raise ArgumentError(
            "model is wrapped for training", type(model).__name__, "pass the module inside: model.module"
        )
    if isinstance(model, torch.export.ExportedProgram):
        raise ArgumentError("model is an ExportedProgram", "", "pass model.module()")
    if isinstance(model, type) or not isinstance(model, torch.nn.Module):
        kind = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        raise ArgumentError(f"model is {kind}, not a torch.nn.Module", "", "pass a torch.nn.Module object")


class _Tracer:
    """One capture."""

    def __init__(
        self,
        model: torch.nn.Module,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        dynamic: bool,
        dynamic_shapes: Any,
        progress: ProgressFunction | None,
    ) -> None:
        self._model = model
        self._dynamic = dynamic
        self._shapes = dynamic_shapes
        self._progress = progress or (lambda *_: None)
        self._warnings: list[str] = []
        self._timings: dict[str, float] = {}
        self._parameters = self._bind(args, kwargs)
        labels.register_containers((args, kwargs))
        self._args, self._kwargs = _without_aliases(model, args, kwargs)

    def run(self, name: str, record_module_stack: bool, converted_ops: Collection[str]) -> Program:
        """Trace, take apart, walk."""
        if self._model.training:
            self._warnings.append(
                "the model is in training mode: dropout and batch statistics are exported as they are; see model.eval()"
            )
        leaves, spec = pytree.tree_flatten((self._args, self._kwargs))
        input_labels = labels.input_labels(spec, self._parameters)
        with torch.no_grad(), warnings.catch_warnings():
            # PyTorch's own copies of its tree specs set this off.
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
            program = self._timed("trace", self._trace)
            guards = list(getattr(program, "_guards_code", None) or [])
            program = self._timed("decompose", lambda: self._decompose(program, converted_ops))
        walker = walk.Walker(program, input_labels, record_module_stack)
        message = self._timed("walk", lambda: walker.message(name))
        self._warnings += walker.warnings
        if self._dynamic or self._shapes is not None:
            self._warnings += walk.guard_warnings(guards)
        if self._dynamic and self._shapes is None:
            self._warn_small_sizes(program, leaves, input_labels)
        return Program(message, walker.weights.memory(), self._warnings, self._timings)

    def _timed(self, stage: str, work: Callable[[], T]) -> T:
        self._progress(stage, 0, 0)
        start = time.perf_counter()
        out = work()
        self._timings[stage] = time.perf_counter() - start
        return out

    def _bind(self, args: tuple[object, ...], kwargs: dict[str, object]) -> list[str]:
        """Check the inputs against forward's signature; return a name for each positional input."""
        signature = inspect.signature(self._model.forward)
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(
                f"the sample inputs do not fit forward{signature}: {error}",
                type(self._model).__name__,
                "pass what forward takes",
            ) from error
        names: list[str] = []
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                names += [f"{parameter.name}_{i}" for i in range(len(args) - len(names))]
            elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                names.append(parameter.name)
        return names[: len(args)]

    def _trace(self) -> ExportedProgram:
        try:
            return self._export(strict=False)
        except AirloomError:
            raise
        except Exception as error:  # whatever tracing raises is told in one form
            # Some models trace only with the stricter tracer. Not worth a try where the user's own code is at fault.
            if not _is_final(error):
                try:
                    return self._export(strict=True)
                except AirloomError:
                    raise
                except Exception as second:
                    _LOG.debug("the strict trace failed too: %s", second)
            raise self._capture_error(error) from error

    def _export(self, strict: bool) -> ExportedProgram:
        shapes = self._shapes
        with ExitStack() as stack:
            stack.enter_context(collectives.traceable())
            stack.enter_context(_quiet_size_hints())
            if shapes is None and self._dynamic:
                stack.enter_context(_named_keywords(self._model, self._args, self._kwargs))
                shapes = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]
                for leaf in pytree.tree_leaves((self._args, self._kwargs)):
                    if isinstance(leaf, torch.Tensor) and leaf.dim():
                        shapes[leaf] = dict.fromkeys(range(leaf.dim()), torch.export.Dim.AUTO)
                if not len(shapes):
                    shapes = None
            program = torch.export.export(self._model, self._args, self._kwargs, dynamic_shapes=shapes, strict=strict)
        if isinstance(self._shapes, (dict, tuple, list)):
            self._check_dimensions()
        return program

    def _check_dimensions(self) -> None:
        """Refuse dimensions that a tensor does not have: PyTorch passes over them without a word."""
        inputs: Any = export_shapes._combine_args(self._model, self._args, self._kwargs)

        def check(path: Any, value: object, shape: object) -> None:
            if not isinstance(value, torch.Tensor) or not isinstance(shape, dict):
                return
            for dim in shape:
                if not isinstance(dim, int) or not 0 <= dim < value.dim():
                    raise CaptureError(
                        f"dynamic_shapes names dimension {dim!r} of a tensor of {value.dim()} dimensions",
                        f"dynamic_shapes{pytree.keystr(path)}",
                        "dimensions count from 0",
                    )

        if not isinstance(self._shapes, dict):
            inputs = type(self._shapes)(inputs.values())
        export_shapes._tree_map_with_path(check, inputs, self._shapes, tree_name="inputs")

    def _decompose(self, program: ExportedProgram, converted_ops: Collection[str]) -> ExportedProgram:
        try:
            with _kept_constants(program):
                out: ExportedProgram = program.run_decompositions(decompositions.table(converted_ops))
                return out
        except Exception as error:
            raise self._capture_error(error) from error

    def _capture_error(self, error: Exception) -> CaptureError:
        full = str(error).strip()
        where = sources.from_traceback(error.__traceback__) or sources.from_stack_trace(full)
        text = _BOILERPLATE.split(full, maxsplit=1)[0].strip()
        first = text.split("\n", 1)[0].strip()
        if _is_data_dependent(error):
            where = sources.from_stack_trace(full) or where
            return CaptureError(
                f"the model decides by the data of a tensor: {first}",
                where,
                "use torch.cond or torch.where for a choice by data; torch._check(...) to bound a size read from data",
            )
        if _is_about_shapes(error, text):
            return CaptureError(
                f"dynamic_shapes does not fit the model or the inputs: {text}",
                where,
                "relax the dimensions named above, or use dynamic=True",
            )
        unknown = re.search(r"<class '([^']+)'> in output, which is not a known type", text)
        if unknown:
            return CaptureError(
                f"the model returns a {unknown[1]}, which PyTorch cannot take apart",
                where,
                "return tensors in tuples, lists or dicts, or register the class with torch.export.register_dataclass",
            )
        if isinstance(error, AirloomError):
            return CaptureError(error.what, error.where or where, error.hint)
        own = sources.raised_by_user(error.__traceback__)
        what = (
            f"forward raised {type(error).__name__}: {text}"
            if own
            else f"tracing failed with {type(error).__name__}: {text}"
        )
        return CaptureError(
            what,
            where,
            "call model(*args, **kwargs) directly: when that works, the line above uses what cannot be traced",
        )

    def _warn_small_sizes(self, program: ExportedProgram, leaves: list[Any], input_labels: list[str]) -> None:
        """Sizes 0 and 1 in the sample are always fixed; that is rarely meant."""
        names = list(program.graph_signature.user_inputs)
        values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
        for leaf, label, name in zip(leaves, input_labels, names, strict=True):
            value = values.get(name) if isinstance(name, str) else None
            if not isinstance(leaf, torch.Tensor) or not isinstance(value, torch.Tensor):
                continue
            for dim, (size, traced) in enumerate(zip(leaf.shape, value.shape, strict=True)):
                if size in (0, 1) and isinstance(traced, int):
                    self._warnings.append(
                        f"dimension {dim} of {label} has size {size} in the sample, so it is fixed; "
                        "give a sample with 2 or more to make it dynamic"
                    )


def _without_aliases(
    model: torch.nn.Module, args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[tuple[object, ...], dict[str, object]]:
    """Clone tensors that share memory with an earlier one: tracing would take them for one input, with no guard."""
    seen = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers()) if t.layout is torch.strided}
    aliased = False
    for leaf in pytree.tree_leaves((args, kwargs)):
        if isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided:
            storage = leaf.untyped_storage()._cdata
            aliased |= storage in seen
            seen.add(storage)
    if not aliased:
        return args, kwargs
    seen = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers()) if t.layout is torch.strided}

    def separate(leaf: object) -> object:
        if not isinstance(leaf, torch.Tensor) or leaf.layout is not torch.strided:
            return leaf
        storage = leaf.untyped_storage()._cdata
        if storage in seen:
            return leaf.detach().clone()
        seen.add(storage)
        return leaf

    out_args, out_kwargs = pytree.tree_map(separate, (args, kwargs))
    return out_args, out_kwargs


@contextmanager
def _named_keywords(model: torch.nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> Iterator[None]:
    """Spell out what lands in forward's **kwargs while tracing: torch.export cannot make those inputs dynamic."""
    signature = inspect.signature(model.forward)
    catch_all = next((p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)
    extra = list(signature.bind(*args, **kwargs).arguments.get(catch_all.name, {})) if catch_all else []
    if catch_all is None or not extra:
        yield
        return
    original = model.forward

    def forward(*a: Any, **k: Any) -> Any:
        return original(*a, **k)

    parameters = [p for p in signature.parameters.values() if p is not catch_all]
    parameters += [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in extra]
    forward.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    own = model.__dict__.get("forward")
    model.__dict__["forward"] = forward
    try:
        yield
    finally:
        if own is None:
            del model.__dict__["forward"]
        else:
            model.__dict__["forward"] = own


@contextmanager
def _quiet_size_hints() -> Iterator[None]:
    """Keep PyTorch from logging the sizes 0 and 1 that are told as warnings of the capture."""
    logger = logging.getLogger("torch._export.non_strict_utils")

    def keep(record: logging.LogRecord) -> bool:
        return "specialized" not in record.getMessage()

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


@contextmanager
def _kept_constants(program: ExportedProgram) -> Iterator[None]:
    """Keep constants that come up while operators are taken apart: PyTorch makes them inputs and loses their data."""
    original = lift_constants_pass._materialize_and_lift_constants

    def lift(*args: Any) -> Any:
        found = original(*args)
        for name, value in found.items():
            program.constants.setdefault(name, value)
        return found

    places: tuple[Any, ...] = (lift_constants_pass, export_trace)
    for place in places:
        place._materialize_and_lift_constants = lift
    try:
        yield
    finally:
        for place in places:
            place._materialize_and_lift_constants = original


def _is_data_dependent(error: Exception) -> bool:
    text = str(error)
    return (
        isinstance(error, GuardOnDataDependentSymNode)
        or "data-dependent" in text.lower()
        or "Dynamic control flow is not supported" in text
    )


def _is_about_shapes(error: Exception, text: str) -> bool:
    return (
        isinstance(error, ConstraintViolationError)
        or "Constraints violated" in text
        or "dynamic_shapes" in text
        or ("dynamic" in text and "dim" in text and isinstance(error, torch._dynamo.exc.UserError))
    )


def _is_final(error: Exception) -> bool:
    return (
        _is_data_dependent(error) or _is_about_shapes(error, str(error)) or sources.raised_by_user(error.__traceback__)
    )
