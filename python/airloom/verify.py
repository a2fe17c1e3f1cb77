"""Compares a written `.air` file with the PyTorch model that it came from, and finds the first node that differs."""

from __future__ import annotations

import copy
import functools
import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils import _pytree as pytree

from airloom import _core, labels, runtime, sources
from airloom.capture import _check_model, _Tracer
from airloom.errors import AirloomError, ArgumentError, MismatchError
from airloom.walk import Walker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch.export import ExportedProgram


class Tolerance(NamedTuple):
    """|difference| <= relative * |expected| + scaled * largest |expected| + least."""

    relative: float
    scaled: float
    least: float


# By element type of the output, or of the narrowest floating type among inputs and weights when that is wider here.
# Complex numbers count as their parts; everything else must be equal.
TOLERANCES: dict[torch.dtype, Tolerance] = {
    torch.float64: Tolerance(1e-9, 1e-10, 1e-14),
    torch.float32: Tolerance(1e-4, 1e-5, 1e-7),
    torch.float16: Tolerance(2e-3, 2e-3, 1e-6),
    torch.bfloat16: Tolerance(2e-2, 2e-2, 1e-6),
    torch.float8_e4m3fn: Tolerance(0.13, 0.13, 1e-3),
    torch.float8_e5m2: Tolerance(0.26, 0.26, 1e-3),
}
_PARTS = {
    torch.complex64: torch.float32,
    torch.complex128: torch.float64,
    torch.complex32: torch.float16,
}
_EXACT = Tolerance(0.0, 0.0, 0.0)
# Fewer random numbers than this say nothing about their distribution.
_ENOUGH = 16


class Difference(NamedTuple):
    """How far two tensors are apart."""

    max_abs: float
    max_rel: float
    ok: bool
    note: str = ""


class Row(NamedTuple):
    """The comparison of one output.

    Attributes:
        case: "sample", or the sizes that were used instead of the sample's.
        output: Name of the output.
        dtype: PyTorch's name of its element type.
        shape: Its shape.
        max_abs: Largest absolute difference; nan where it cannot be told.
        max_rel: Largest difference relative to the expected value.
        ok: Within tolerance.
        note: What else there is to say.
    """

    case: str
    output: str
    dtype: str
    shape: tuple[int, ...]
    max_abs: float
    max_rel: float
    ok: bool
    note: str


class Divergence(NamedTuple):
    """The first node, in execution order, whose value differs while its inputs do not."""

    node: str
    target: str
    module: str
    source: str
    max_abs: float
    max_rel: float


@dataclass(frozen=True)
class VerifyReport:
    """The result of `verify`.

    Attributes:
        rows: One per output and case.
        nondeterministic: Operators that draw random numbers ("node: operator"), when they matter to an output.
        divergence: The first node that differs; None when all is well or when no named intermediate value differs.
        notes: What could not be checked.
    """

    rows: list[Row]
    nondeterministic: list[str] = field(default_factory=list)
    divergence: Divergence | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every output is within tolerance."""
        return all(row.ok for row in self.rows)

    def __str__(self) -> str:
        """Render a table."""
        cells = [("case", "output", "type", "max abs", "max rel", "", "")]
        cells += [
            (
                row.case,
                row.output,
                f"{row.dtype}{list(row.shape)}",
                f"{row.max_abs:.2e}",
                f"{row.max_rel:.2e}",
                "ok" if row.ok else "DIFFERS",
                row.note,
            )
            for row in self.rows
        ]
        widths = [max(len(row[i]) for row in cells) for i in range(7)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        lines += [f"random: {text}" for text in self.nondeterministic]
        if self.divergence is not None:
            found = self.divergence
            lines.append(
                f"first difference: {found.node} ({found.target}) in module {found.module or '(top)'} "
                f"at {found.source or '?'}: max abs {found.max_abs:.2e}, max rel {found.max_rel:.2e}"
            )
        elif not self.ok:
            lines.append("no intermediate value that has a name in both graphs differs before the outputs do")
        return "\n".join([*lines, *(f"note: {text}" for text in self.notes)])


def verify(
    model: torch.nn.Module,
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
    *,
    air: str | os.PathLike[str],
    dynamic: bool = False,
    dynamic_shapes: Any = None,
    precision: str = "exact",
    working_dir: str | os.PathLike[str] = ".",
    raise_on_mismatch: bool = False,
) -> VerifyReport:
    """Run the model and the file on the same inputs and compare.

    Args:
        model: The module that was exported; its buffers are put back when it writes them.
        args: Positional inputs.
        kwargs: Named inputs.
        air: The file.
        dynamic: As at export. Other sizes than the sample's are tried too.
        dynamic_shapes: As at export.
        precision: As in `airloom.load`.
        working_dir: As in `airloom.load`.
        raise_on_mismatch: Raise instead of returning a report that is not ok.

    Raises:
        ArgumentError: The inputs do not fit the file.
        ArtifactError, RunError: The file cannot be loaded or run.
        MismatchError: With raise_on_mismatch, the file computes something else; `report` is in it.
    """
    loaded = runtime.load(air, precision, working_dir=working_dir)
    reload = functools.partial(runtime.load, air, precision, working_dir=working_dir)
    report = _Check(model, tuple(args), dict(kwargs or {}), dynamic, dynamic_shapes, loaded, reload).run()
    if raise_on_mismatch and not report.ok:
        bad = [row.output for row in report.rows if not row.ok]
        raise MismatchError(
            f"{os.fspath(air)} computes something else than the model: {', '.join(dict.fromkeys(bad))}\n{report}",
            report.divergence.source if report.divergence else "",
            "this is a defect of airloom: please report it with the model",
            report,
        )
    return report


def tolerance(dtype: torch.dtype, others: Sequence[torch.dtype] = ()) -> Tolerance:
    """Return what is allowed for a value of this type computed from values of the `others`."""
    dtype = _PARTS.get(dtype, dtype)
    if dtype not in TOLERANCES:
        return _EXACT
    kinds = [dtype, *(kind for kind in (_PARTS.get(other, other) for other in others) if kind in TOLERANCES)]
    return max(TOLERANCES[kind] for kind in kinds)


def compare(expected: torch.Tensor, actual: torch.Tensor, allowed: Tolerance) -> Difference:
    """Compare type, shape and elements; NaN equals NaN and infinities equal themselves."""
    if expected.dtype != actual.dtype or expected.shape != actual.shape:
        text = f"{_name(actual.dtype)}{list(actual.shape)} instead of {_name(expected.dtype)}{list(expected.shape)}"
        return Difference(math.nan, math.nan, False, text)
    if expected.numel() == 0:
        return Difference(0.0, 0.0, True)
    expected, actual = expected.detach().cpu(), actual.detach().cpu()
    if not (expected.is_floating_point() or expected.is_complex()):
        differs = expected != actual
        if not differs.any():
            return Difference(0.0, 0.0, True)
        pairs = zip(expected[differs].tolist(), actual[differs].tolist(), strict=True)
        farthest = max(abs(int(a) - int(e)) for e, a in pairs)
        return Difference(float(farthest), math.nan, False, f"{int(differs.sum())} of {differs.numel()} elements")
    if expected.is_complex():
        expected, actual = (torch.view_as_real(t.to(torch.complex128).resolve_conj()) for t in (expected, actual))
    e, a = expected.double().flatten(), actual.double().flatten()
    same = (e == a) | (e.isnan() & a.isnan())
    e, a = e[~same], a[~same]
    if not e.numel():
        return Difference(0.0, 0.0, True)
    both = e.isfinite() & a.isfinite()
    if not both.all():
        return Difference(math.inf, math.inf, False, f"{int((~both).sum())} elements are not finite in one of them")
    finite = expected.double()[expected.double().isfinite()]
    largest = float(finite.abs().max()) if finite.numel() else 0.0
    gap = (e - a).abs()
    ok = bool((gap <= allowed.relative * e.abs() + allowed.scaled * largest + allowed.least).all())
    relative = gap / e.abs()  # infinite where 0 is expected: gap is not 0 here
    return Difference(float(gap.max()), float(relative.max()), ok)


def compare_moments(expected: torch.Tensor, actual: torch.Tensor) -> Difference:
    """Compare type and shape, and mean and deviation where there are enough elements."""
    if expected.dtype != actual.dtype or expected.shape != actual.shape:
        return compare(expected, actual, _EXACT)
    count = expected.numel()
    if count < _ENOUGH or expected.is_complex():
        return Difference(math.nan, math.nan, True, "random: type and shape compared")
    e, a = expected.detach().cpu().double(), actual.detach().cpu().double()
    spread = float(torch.maximum(e.std(), a.std()))
    # Six standard errors of a difference of two means; of deviations with heavy tails.
    mean, deviation = abs(float(e.mean() - a.mean())), abs(float(e.std() - a.std()))
    least = 1e-6 + 1e-3 * float(e.abs().max())
    ok = mean <= 9 * spread / math.sqrt(count) + least and deviation <= 15 * spread / math.sqrt(count) + least
    return Difference(mean, math.nan, ok, "random: moments compared")


class _Case(NamedTuple):
    """Inputs, and what the model makes of them."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    expected: list[tuple[str, torch.Tensor]]
    numbers: set[str]  # outputs that are numbers in Python: the file may hold them in another type


class _Check:
    """One verification."""

    def __init__(
        self,
        model: torch.nn.Module,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        dynamic: bool,
        dynamic_shapes: Any,
        session: runtime.Session,
        reload: Callable[..., runtime.Session],
    ) -> None:
        _check_model(model)
        labels.register_containers((args, kwargs))
        self._model = model
        self._args = args
        self._kwargs = kwargs
        self._session = session
        self._reload = reload
        self._symbolic = dynamic or dynamic_shapes is not None
        self._notes: list[str] = []
        self._types = [t.dtype for t in (*model.parameters(), *model.buffers())]
        self._types += [t.dtype for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        self._tracer = _Tracer(model, args, kwargs, dynamic, dynamic_shapes, None)
        self._traced: ExportedProgram | None = None
        self._flat: ExportedProgram | None = None

    def run(self) -> VerifyReport:
        """Compare all cases; look for the cause of the first mismatch."""
        rows: list[Row] = []
        random: list[str] = []
        divergence: Divergence | None = None
        for case in self._cases():
            found = self._compare(case)
            if not all(row.ok for row in found):
                random, touched = self._random()
                found = self._compare(case, touched)
                if divergence is None and not all(row.ok for row in found):
                    divergence = self._first_divergence(case)
            rows += found
        return VerifyReport(rows, random, divergence, self._notes)

    # -- inputs

    def _cases(self) -> Iterator[_Case]:
        yield self._case("sample", self._args, self._kwargs)
        if not self._symbolic:
            return
        other = self._other_sizes()
        if other is None:
            self._notes.append("no second set of sizes could be made: only the sample's were compared")
            return
        yield other

    def _case(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Case:
        kept_args, kept_kwargs = pytree.tree_map(_own, (args, kwargs))
        buffers = [(buffer, buffer.clone()) for buffer in self._model.buffers()]
        try:
            with torch.no_grad():
                value = self._model(*kept_args, **kept_kwargs)
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
        labels.register_containers(value)
        leaves, spec = pytree.tree_flatten(value)
        names = labels.output_labels(spec)
        pairs = [(n, v) for n, v in zip(names, leaves, strict=True) if not isinstance(v, (str, type(None)))]
        expected = [(n, v.detach() if isinstance(v, torch.Tensor) else torch.tensor(v)) for n, v in pairs]
        return _Case(name, args, kwargs, expected, {n for n, v in pairs if not isinstance(v, torch.Tensor)})

    def _other_sizes(self) -> _Case | None:
        program = self._program()
        leaves, spec = pytree.tree_flatten((self._args, self._kwargs))
        values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
        traced = [values.get(name) if isinstance(name, str) else None for name in program.graph_signature.user_inputs]
        if len(traced) != len(leaves):
            return None
        now = _sample_sizes(leaves, traced)
        if not now:
            return None
        places = _places(program.graph_signature.user_inputs, traced)
        checked: Any = program.module()
        for step in _STEPS:
            sizes = {}
            for symbol, size in now.items():
                bounds = program.range_constraints.get(symbol)
                low, high = (int(max(bounds.lower, 1)), bounds.upper) if bounds is not None else (1, math.inf)
                size = step(size)  # type: ignore[no-untyped-call]
                sizes[symbol] = max(low, int(min(size, high)) if high < 2**31 else size)
            if sizes == now:
                continue
            generator = torch.Generator().manual_seed(0)
            try:
                made = [_resized(leaf, value, sizes, generator) for leaf, value in zip(leaves, traced, strict=True)]
                args, kwargs = pytree.tree_unflatten(made, spec)
                name = ", ".join(sorted(f"{places.get(symbol, symbol)}={size}" for symbol, size in sizes.items()))
                case = self._case(name, args, kwargs)
                # The guards of the trace refuse sizes that the graph is not meant for.
                own_args, own_kwargs = pytree.tree_map(_own, (args, kwargs))
                with torch.no_grad():
                    checked(*own_args, **own_kwargs)
            except Exception:  # these sizes do not fit the model: whatever it raises, the next ones may
                continue
            return case
        return None

    # -- comparison

    def _feed(self, session: runtime.Session, case: _Case) -> dict[str, object]:
        """Inputs of the graph by name."""
        leaves, spec = pytree.tree_flatten((case.args, case.kwargs))
        given = dict(zip(labels.input_labels(spec, self._tracer._parameters), leaves, strict=True))
        state = {labels.sanitize(name): buffer for name, buffer in self._model.named_buffers()}
        state |= dict(self._model.named_buffers())
        feed: dict[str, object] = {}
        for port in session.inputs:
            value = given.get(port.name)
            if value is None and port.state:
                value = state.get(port.name)
            if value is None:
                raise ArgumentError(f"the file takes an input {port.name}, which the sample inputs lack", "", "")
            feed[port.name] = _own(value)
        return feed

    def _run(self, session: runtime.Session, case: _Case) -> list[torch.Tensor]:
        session.reset()
        values = session(**self._feed(session, case))
        return [value if isinstance(value, torch.Tensor) else torch.from_numpy(value) for value in values]

    def _compare(self, case: _Case, touched: Sequence[int] = ()) -> list[Row]:
        actual = self._run(self._session, case)
        if len(actual) != len(case.expected):
            raise ArgumentError(
                f"the file has {len(actual)} outputs, the model returns {len(case.expected)}",
                "",
                "was it exported from this model?",
            )
        rows = []
        for place, ((name, want), got) in enumerate(zip(case.expected, actual, strict=True)):
            if place in touched:
                found = compare_moments(want, got)
            else:
                if name in case.numbers:
                    want = want.to(got.dtype)
                found = compare(want, got, tolerance(want.dtype, self._types))
            rows.append(Row(case.name, name, _name(want.dtype), tuple(want.shape), *found))
        return rows

    # -- the graph

    def _program(self) -> ExportedProgram:
        if self._traced is None:
            with torch.no_grad():
                self._traced = self._tracer._trace()
        return self._traced

    def _decomposed(self) -> ExportedProgram:
        if self._flat is None:
            with torch.no_grad():
                self._flat = self._tracer._decompose(self._program(), _core.converted_ops())
        return self._flat

    def _random(self) -> tuple[list[str], list[int]]:
        """Operators that draw random numbers, and the places of the outputs that depend on them."""
        program = self._decomposed()
        tainted: set[torch.fx.Node] = set()
        named = []
        for node in program.graph.nodes:
            drawn = _draws(node)
            if drawn:
                named.append(f"{node.name}: {node.target}")
            if drawn or any(source in tainted for source in node.all_input_nodes):
                tainted.add(node)
        output = next(node for node in program.graph.nodes if node.op == "output")
        user = [
            arg
            for arg, spec in zip(output.args[0], program.graph_signature.output_specs, strict=True)
            if spec.kind is torch.export.graph_signature.OutputKind.USER_OUTPUT
            and arg is not None
            and not isinstance(arg, str)
        ]
        return named, [place for place, arg in enumerate(user) if arg in tainted]

    def _first_divergence(self, case: _Case) -> Divergence | None:
        program = self._decomposed()
        names = []
        for node in program.graph.nodes:
            if node.op == "call_function":
                value = node.meta.get("val")
                names += [f"{node.name}.{i}" for i in range(len(value))] if isinstance(value, (tuple, list)) else []
                names.append(node.name)
        session = self._reload(watch=names)
        try:
            values = self._run(session, case)
        except AirloomError as error:
            self._notes.append(f"the intermediate values cannot be had: {error.what}")
            return None
        seen = {port.name: value for port, value in zip(session.outputs, values, strict=True) if ":" in port.name}
        search = _Search(program, seen, self._types)
        leaves = pytree.tree_leaves(pytree.tree_map(_own, (case.args, case.kwargs)))
        try:
            with torch.no_grad():
                search.run(*_arguments(program, leaves))
        except _Found:
            pass  # the search is over
        return search.found


class _Found(Exception):  # noqa: N818 (ends the search)
    """The first divergence."""


class _Search(torch.fx.Interpreter):
    """Runs the captured graph until a value differs from what the file computed under the same name."""

    def __init__(self, program: ExportedProgram, seen: dict[str, torch.Tensor], types: Sequence[torch.dtype]) -> None:
        super().__init__(program.graph_module)
        self._seen = seen
        self._types = types
        self.found: Divergence | None = None

    def run_node(self, n: torch.fx.Node) -> Any:
        """Run, then compare."""
        value = super().run_node(n)
        if n.op != "call_function":
            return value
        if isinstance(value, torch.Tensor):
            self._check(n, value, (f"{n.name}:0",))
        elif isinstance(value, (tuple, list)):
            for i, item in enumerate(value):
                if isinstance(item, torch.Tensor):
                    self._check(n, item, (f"{n.name}.{i}:0", f"{n.name}:{i}"))
        return value

    def _check(self, node: torch.fx.Node, expected: torch.Tensor, names: tuple[str, ...]) -> None:
        if _draws(node):
            return
        for name in names:
            actual = self._seen.get(name)
            # Another shape or type under the same name: a rewritten node, which says nothing.
            if actual is None or actual.shape != expected.shape or actual.dtype != expected.dtype:
                continue
            found = compare(expected, actual, tolerance(expected.dtype, self._types))
            if not found.ok:
                self.found = Divergence(
                    node.name,
                    str(node.target),
                    Walker._module_path(node.meta.get("nn_module_stack") or {}),
                    sources.from_stack_trace(node.meta.get("stack_trace")),
                    found.max_abs,
                    found.max_rel,
                )
                raise _Found


def _draws(node: torch.fx.Node) -> bool:
    """Whether the node's result depends on random numbers: a dropout that is switched off draws none."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or torch.Tag.nondeterministic_seeded not in target.tags:
        return False
    for place, argument in enumerate(target._schema.arguments):
        value = node.args[place] if place < len(node.args) else node.kwargs.get(argument.name, argument.default_value)
        if argument.name in ("dropout_p", "p") and value == 0 and "bernoulli" not in str(target):
            return False
        if argument.name in ("train", "training") and value is False:
            return False
    return True


def _arguments(program: ExportedProgram, leaves: list[Any]) -> list[Any]:
    """Values of all placeholders."""
    user = iter(leaves)
    kind = torch.export.graph_signature.InputKind
    out: list[Any] = []
    for spec in program.graph_signature.input_specs:
        if spec.kind is kind.USER_INPUT:
            out.append(next(user))
            continue
        target = str(spec.target)
        value = program.state_dict.get(target)
        value = program.constants.get(target) if value is None else value
        out.append(value.detach().clone() if isinstance(value, torch.Tensor) else copy.copy(value))
    return out


# Ways to another size, tried in this order.
_STEPS = (lambda n: n + 1, lambda n: n * 2, lambda n: n + 2, lambda n: max(n - 1, 1), lambda n: n * 3)


def _sample_sizes(leaves: list[Any], traced: list[Any]) -> dict[Any, int]:
    """Size in the sample of each symbol that is an input dimension by itself."""
    out: dict[Any, int] = {}
    for leaf, value in zip(leaves, traced, strict=True):
        pairs = list(zip(leaf.shape, value.shape, strict=True)) if isinstance(value, torch.Tensor) else [(leaf, value)]
        for size, dim in pairs:
            if isinstance(dim, torch.SymInt):
                expr = dim.node.expr
                # "4*s0" gives s0 = size / 4
                symbols = sorted(expr.free_symbols, key=str)
                if len(symbols) == 1 and symbols[0] not in out:
                    slope = expr.subs(symbols[0], 1) - expr.subs(symbols[0], 0)
                    start = (int(size) - expr.subs(symbols[0], 0)) / slope if slope != 0 else None
                    if start is not None and start.is_integer and expr.subs(symbols[0], start) == int(size):
                        out[symbols[0]] = int(start)
    return out


def _places(names: Sequence[Any], traced: list[Any]) -> dict[Any, str]:
    """Where a user finds each symbol: "x[0]" for the first size of x that is just the symbol."""
    out: dict[Any, str] = {}
    for name, value in zip(names, traced, strict=True):
        dims = [(f"{name}[{i}]", dim) for i, dim in enumerate(value.shape)] if isinstance(value, torch.Tensor) else []
        for place, dim in [*dims, (str(name), value)]:
            if isinstance(dim, torch.SymInt):
                out.setdefault(dim.node.expr, place)
    return out


def _resized(leaf: Any, traced: Any, sizes: dict[Any, int], generator: torch.Generator) -> Any:
    """Make the input again in other sizes, of elements like the sample's."""

    def number(dim: Any) -> int:
        return int(dim.node.expr.subs(sizes)) if isinstance(dim, torch.SymInt) else int(dim)

    if isinstance(traced, torch.SymInt):
        return number(traced)
    if not isinstance(traced, torch.Tensor):
        return leaf
    out = leaf.detach()
    for dim, size in enumerate(number(d) for d in traced.shape):
        if size != out.shape[dim]:
            out = out.index_select(dim, torch.arange(size) % out.shape[dim])
    if out.shape == leaf.shape:
        return leaf.detach().clone()
    if out.is_floating_point() or out.is_complex():
        # Not the same rows again; zeros, signs, infinities and ranges stay.
        factor = torch.rand(out.shape, generator=generator, dtype=torch.float64) * 0.5 + 0.5
        return (out * factor).to(out.dtype)
    if out.dtype is not torch.bool and out.unique().numel() > 2:
        return out.flatten()[torch.randperm(out.numel(), generator=generator)].reshape(out.shape)
    return out.contiguous()


def _own(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
