"""One walk over the traced graph that writes the program message."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import sympy  # type: ignore[import-untyped]
import torch
from torch.export.graph_signature import (
    ConstantArgument,
    InputKind,
    OutputKind,
    SymBoolArgument,
    SymFloatArgument,
    SymIntArgument,
    TensorArgument,
)

from airloom import collectives, labels, sources, weights
from airloom.errors import CaptureError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_SYMBOLIC = (torch.SymInt, torch.SymFloat, torch.SymBool)
_WEIGHTS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
_MUTATIONS = (OutputKind.BUFFER_MUTATION, OutputKind.USER_INPUT_MUTATION, OutputKind.PARAMETER_MUTATION)
# Operators that only check or annotate: they compute nothing.
_CHECKS = re.compile(
    r"aten\.(_?sym_constrain_range\w*|_assert\w*|_functional_sym_constrain_range\w*|_functional_assert\w*|_print)\."
)
# Wrappers that change how gradients or types are tracked while tracing: their body is the computation.
_TRANSPARENT = (
    "wrap_with_set_grad_enabled",
    "wrap_with_autocast",
    "tag_activation_checkpoint",
    "wrap_activation_checkpoint",
    "wrap",
)
# An operation that PyTorch could not keep symbolic shows as a guard with more than a plain size on its left.
_BAKED = re.compile(r"(.*[*/+%-].*|.*(?:trunc|floor|ceil|round|sqrt).*) == (-?\d+)$")
_GUARD_SIZE = re.compile(r"L(\[.+?\])\.size\(\)\[(\d+)\]")


class _Unusable:
    """A symbolic float or bool: legal as long as no operator or output takes it."""

    def __init__(self, text: str) -> None:
        self.text = text


def guard_warnings(guards: list[str]) -> list[str]:
    """Tell which values that depend on a symbolic size were turned into constants while tracing."""
    out = []
    for guard in guards:
        match = _BAKED.match(guard)
        sizes = _GUARD_SIZE.findall(guard)
        if not match or not sizes:
            continue
        names = []
        for path, dim in sizes:
            keys = re.findall(r"\['?([^'\]]+)'?\]", path)
            names.append(f"dimension {dim} of {labels.sanitize('_'.join(keys))}")
        formula = _GUARD_SIZE.sub(
            lambda m: f"{'_'.join(re.findall(r'[^][]+', m[1].replace(chr(39), '')))}.size({m[2]})", match[1]
        )
        named = " and ".join(dict.fromkeys(names))
        out.append(
            f"a value computed from {named} is fixed to {match[2]} ({formula}); only sizes giving the same value work"
        )
    return out


class Walker:
    """Builds the message of one traced program."""

    def __init__(self, program: ExportedProgram, input_labels: list[str], record_stack: bool) -> None:
        self._program = program
        self._input_labels = input_labels
        self._record_stack = record_stack
        self._env: dict[torch.fx.Node, Any] = {}
        self._taken: set[str] = set()
        self._groups: dict[str, list[int]] = {}
        self._inputs: list[dict[str, Any]] = []
        self._nodes: list[dict[str, Any]] = []
        self._outputs: list[dict[str, Any]] = []
        self.weights = weights.Weights()
        self.warnings: list[str] = []

    def message(self, name: str) -> bytes:
        """Walk, and return the message as JSON text."""
        placeholders = [node for node in self._program.graph.nodes if node.op == "placeholder"]
        self._read_inputs(placeholders)
        self._walk(self._program.graph_module, "")
        self._read_outputs()
        rank, size = collectives.rank_and_size()
        out = {
            "version": 1,
            "name": name,
            "rank": rank,
            "world_size": size,
            "groups": [{"name": group, "ranks": ranks} for group, ranks in sorted(self._groups.items())],
            "symbols": self._symbols(),
            "weights": self.weights.rows,
            "inputs": self._inputs,
            "nodes": self._nodes,
            "outputs": self._outputs,
        }
        return json.dumps(out, allow_nan=False, separators=(",", ":")).encode()

    # -- inputs

    def _read_inputs(self, placeholders: list[torch.fx.Node]) -> None:
        specs = self._program.graph_signature.input_specs
        mutated = {s.target for s in self._program.graph_signature.output_specs if s.kind in _MUTATIONS}
        user = iter(self._input_labels)
        for node, spec in zip(placeholders, specs, strict=True):
            self._taken.add(node.name)
            value = node.meta.get("val")
            if spec.kind in _WEIGHTS:
                target = str(spec.target)
                # A weight that no operator reads would only make the file bigger.
                if node.users or target in mutated:
                    tensor = weights.find(target, self._program.constants, self._program.state_dict)
                    self._inputs.append(
                        {"name": node.name, "kind": "weight", "weight": self.weights.add(target, tensor)}
                    )
                self._env[node] = {"v": node.name}
            elif spec.kind is InputKind.USER_INPUT:
                self._user_input(node, value, next(user))
            else:
                raise CaptureError(
                    f'the model holds "{spec.target}", which is not a tensor ({spec.kind.name.lower()})',
                    "",
                    "remove it from forward",
                )

    def _user_input(self, node: torch.fx.Node, value: object, label: str) -> None:
        if isinstance(value, torch.Tensor):
            self._inputs.append({"name": node.name, "kind": "user", "label": label, **self._tensor_type(value)})
            self._env[node] = {"v": node.name}
        elif isinstance(value, torch.SymInt):
            expr = self._expr(value)
            self._env[node] = expr if isinstance(expr, int) else {"e": expr}
            if not isinstance(expr, int):
                self._inputs.append({"name": node.name, "kind": "symint", "label": label, "symbol": expr})
        elif isinstance(value, _SYMBOLIC):
            self._env[node] = _Unusable(str(value))
        else:
            self._env[node] = value
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self.warnings.append(f"the number {label} = {value} is part of the graph, not an input of it")

    # -- nodes

    def _walk(self, module: torch.fx.GraphModule, prefix: str) -> Any:
        for node in module.graph.nodes:
            if node.op == "output":
                return node.args[0]
            if node.op == "get_attr":
                self._attribute(module, node)
            elif node.op == "call_function":
                self._call(node, prefix)
            elif node.op != "placeholder":
                raise CaptureError(f"the traced graph holds a {node.op} node", self._source(node), "")
        raise CaptureError("the traced graph has no output")

    def _attribute(self, module: torch.fx.GraphModule, node: torch.fx.Node) -> None:
        value: Any = module
        for part in str(node.target).split("."):
            value = getattr(value, part)
        if isinstance(value, torch.Tensor):
            name = self._unique(node.name)
            self._inputs.append({"name": name, "kind": "weight", "weight": self.weights.add(f"{node.target}", value)})
            self._env[node] = {"v": name}
        else:
            self._env[node] = value

    def _call(self, node: torch.fx.Node, prefix: str) -> None:
        target: Any = node.target
        if getattr(target, "__name__", "") == "getitem" and target.__module__ == "_operator":
            source, index = node.args
            self._env[node] = self._env[source][index]  # type: ignore[index]
            return
        value = node.meta.get("val")
        is_op = isinstance(target, torch._ops.OpOverload)
        if isinstance(value, _SYMBOLIC):
            self._env[node] = self._symbolic(value)
            if not isinstance(self._env[node], dict) or not self._reads_data(node):
                return
        if is_op and _CHECKS.match(str(target)):
            self._env[node] = self._env[node.args[0]] if isinstance(value, torch.Tensor) else None  # type: ignore[index]
            return
        if not is_op and not isinstance(target, torch._ops.HigherOrderOperator) and value is None:
            return  # torch._check and the like
        if str(target) in _TRANSPARENT and self._inline(node, prefix):
            return
        self._emit(node, value, prefix)

    @staticmethod
    def _reads_data(node: torch.fx.Node) -> bool:
        """Whether a symbolic result comes out of a tensor's data rather than out of its shape."""
        target = node.target
        if not isinstance(target, torch._ops.OpOverload) or target._schema.name.split("::")[1].startswith("sym_"):
            return False
        return any(
            isinstance(arg, torch.fx.Node) and isinstance(arg.meta.get("val"), torch.Tensor) for arg in node.args
        )

    def _inline(self, node: torch.fx.Node, prefix: str) -> bool:
        """Put the body of a transparent wrapper in its place."""
        values: list[Any] = [self._env[a] if isinstance(a, torch.fx.Node) else a for a in node.args]
        place = next((i for i, value in enumerate(values) if isinstance(value, torch.fx.GraphModule)), None)
        if place is None:
            return False
        body = values[place]
        inner = [n for n in body.graph.nodes if n.op == "placeholder"]
        if len(inner) != len(values) - place - 1:
            return False
        for placeholder, value in zip(inner, values[place + 1 :], strict=True):
            self._env[placeholder] = value
        result = self._walk(body, f"{prefix}{node.name}_")
        self._env[node] = self._lookup(result)
        return True

    def _lookup(self, value: Any) -> Any:
        if isinstance(value, torch.fx.Node):
            return self._env[value]
        if isinstance(value, (list, tuple)):
            return [self._lookup(item) for item in value]
        return value

    def _emit(self, node: torch.fx.Node, value: object, prefix: str) -> None:
        name = self._unique(prefix + node.name)
        target: Any = node.target
        row: dict[str, Any] = {"name": name}
        if isinstance(target, torch._ops.OpOverload):
            row["target"] = str(target)
            row["args"] = self._schema_args(node, target._schema)
        else:
            higher = isinstance(target, torch._ops.HigherOrderOperator)
            row["target"] = f"higher_order.{target}" if higher else f"{target.__module__}.{target.__name__}"
            row["args"] = [self._argument(a, node, "") for a in (*node.args, *node.kwargs.values())]
        if isinstance(value, (list, tuple)):
            row["outputs"] = [self._output_type(item) for item in value]
            self._env[node] = [
                {"v": name, "i": i} if isinstance(item, torch.Tensor) else self._symbolic(item)
                for i, item in enumerate(value)
            ]
        else:
            returns = isinstance(target, torch._ops.OpOverload) and not target._schema.returns
            row["outputs"] = [] if returns else [self._output_type(value)]
            self._env[node] = {"v": name} if isinstance(value, torch.Tensor) else self._symbolic(value)
        stack = node.meta.get("nn_module_stack") or {}
        row["module"] = self._module_path(stack)
        row["source"] = self._source(node)
        if self._record_stack and stack:
            row["stack"] = str(stack)
        self._nodes.append(row)

    def _schema_args(self, node: torch.fx.Node, schema: Any) -> list[Any]:
        out = []
        for place, argument in enumerate(schema.arguments):
            if place < len(node.args):
                value: Any = node.args[place]
            elif argument.name in node.kwargs:
                value = node.kwargs[argument.name]
            else:
                value = argument.default_value
            kind = str(argument.real_type)
            if argument.name == "group_name" or kind.endswith("ProcessGroup"):
                out.append({"str": self._group(value)})
            else:
                out.append(self._argument(value, node, kind))
        return out

    def _argument(self, value: Any, node: torch.fx.Node, kind: str) -> Any:
        if isinstance(value, torch.fx.Node):
            value = self._env[value]
        if isinstance(value, _Unusable):
            raise CaptureError(
                f"{node.target} takes {value.text}, a float or bool computed from a symbolic size or from data",
                self._source(node),
                "compute it with tensor operators, or export with dynamic=False",
            )
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, _SYMBOLIC):
            return self._argument(self._symbolic(value), node, kind)
        if isinstance(value, int):
            if "ScalarType" in kind:
                raise CaptureError(f"{node.target} has a numbered dtype", self._source(node), "")
            return (
                self._float(float(value))
                if kind in ("float", "Optional[float]", "List[float]", "Optional[List[float]]")
                else int(value)
            )
        if isinstance(value, float):
            return self._float(value)
        if isinstance(value, complex):
            return {"complex": f"{value.real!r} {value.imag!r}"}
        if isinstance(value, str):
            return {"str": value}
        for type_, key in _WORDS:
            if isinstance(value, type_):
                return {key: str(value).removeprefix("torch.")}
        if isinstance(value, dict):
            return value  # a reference or an expression of the environment
        if isinstance(value, (list, tuple)):
            return [self._argument(item, node, kind) for item in value]
        return {"object": getattr(value, "__name__", type(value).__name__)}

    @staticmethod
    def _float(value: float) -> float | dict[str, str]:
        if math.isfinite(value):
            return value
        return {"f": "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"}

    def _group(self, group: Any) -> str:
        ranks = collectives.group_ranks(group)
        name = collectives.canonical_name(ranks)
        self._groups[name] = ranks
        return name

    # -- types and expressions

    @staticmethod
    def _expr(value: int | torch.SymInt) -> int | str:
        if isinstance(value, int):
            return value
        expr = value.node.expr
        return int(expr) if isinstance(expr, sympy.Integer) else str(expr)

    def _symbolic(self, value: object) -> Any:
        if isinstance(value, torch.SymInt):
            expr = self._expr(value)
            return expr if isinstance(expr, int) else {"e": expr}
        if isinstance(value, torch.SymFloat):
            expr = value.node.expr
            return float(expr) if expr.is_number else _Unusable(str(expr))
        if isinstance(value, torch.SymBool):
            expr = value.node.expr
            return bool(expr) if expr in (sympy.true, sympy.false) else _Unusable(str(expr))
        return value

    def _tensor_type(self, value: torch.Tensor) -> dict[str, Any]:
        return {"dtype": weights.dtype_name(value.dtype), "shape": [self._expr(size) for size in value.shape]}

    def _output_type(self, value: object) -> dict[str, Any] | None:
        if isinstance(value, torch.Tensor):
            return self._tensor_type(value)
        if isinstance(value, (int, torch.SymInt)) and not isinstance(value, bool):
            return {"e": str(self._expr(value))}
        return None

    def _symbols(self) -> dict[str, dict[str, int]]:
        out: dict[str, dict[str, int]] = {}
        limit = 2**63 - 1
        for symbol, bounds in sorted(self._program.range_constraints.items(), key=lambda item: str(item[0])):
            row = {}
            for key, bound in (("lower", bounds.lower), ("upper", bounds.upper)):
                if bound.is_finite and isinstance(bound, sympy.Integer) and abs(int(bound)) < limit:
                    row[key] = int(bound)
            out[str(symbol)] = row
        return out

    # -- outputs

    def _read_outputs(self) -> None:
        signature = self._program.graph_signature
        node = next(n for n in self._program.graph.nodes if n.op == "output")
        inputs_by_target = {s.target: s.arg.name for s in signature.input_specs if s.kind in _WEIGHTS}
        names = iter(labels.output_labels(self._program.call_spec.out_spec))
        mutations = []
        for arg, spec in zip(node.args[0], signature.output_specs, strict=True):
            if spec.kind in _MUTATIONS:
                mutates = spec.target if spec.kind is OutputKind.USER_INPUT_MUTATION else inputs_by_target[spec.target]
                mutations.append({**self._env[arg], "mutates": mutates, **self._tensor_type(arg.meta["val"])})
            elif spec.kind is OutputKind.USER_OUTPUT:
                self._outputs.append({"label": next(names), **self._user_output(arg, spec.arg)})
            else:
                raise CaptureError(f"the traced graph has an output of kind {spec.kind.name.lower()}")
        self._outputs += mutations

    def _user_output(self, arg: Any, spec: Any) -> dict[str, Any]:
        value = self._env[arg] if isinstance(arg, torch.fx.Node) else arg
        if isinstance(arg, torch.fx.Node) and isinstance(spec, TensorArgument):
            return {**value, **self._tensor_type(arg.meta["val"])}
        if isinstance(spec, (SymIntArgument, SymFloatArgument, SymBoolArgument, ConstantArgument)) or not isinstance(
            arg, torch.fx.Node
        ):
            if value is None:
                return {}
            if isinstance(value, dict):
                return value
            if isinstance(value, bool):
                return {"c": value}
            if isinstance(value, (int, float)):
                return {"c": self._float(value) if isinstance(value, float) else value}
            if isinstance(value, str):
                self.warnings.append(f'the text "{value}" in the returned value is not an output of the graph')
                return {}
        text = value.text if isinstance(value, _Unusable) else type(value).__name__
        raise CaptureError(
            f"the model returns {text}, which cannot be an output of a graph",
            "",
            "return tensors, sizes or constant numbers",
        )

    # -- helpers

    def _unique(self, name: str) -> str:
        out, number = name, 0
        while out in self._taken:
            number += 1
            out = f"{name}_{number}"
        self._taken.add(out)
        return out

    @staticmethod
    def _source(node: torch.fx.Node) -> str:
        return sources.from_stack_trace(node.meta.get("stack_trace"))

    @staticmethod
    def _module_path(stack: dict[str, Any]) -> str:
        if not stack:
            return ""
        path = str(next(reversed(list(stack.values())))[0])
        if path.startswith("_empty_nn_module_stack"):
            return ""
        # "L['self'].layer[0]" from a strict trace, "layer.0" otherwise; "@1" marks the second call of one module.
        path = re.sub(r"^L\['self'\]\.?", "", path)
        path = re.sub(r"\[['\"]?([^]'\"]+)['\"]?\]", r".\1", path)
        return re.sub(r"@\d+", "", path).lstrip(".")


_WORDS: tuple[tuple[type, str], ...] = (
    (torch.dtype, "dtype"),
    (torch.device, "device"),
    (torch.layout, "layout"),
    (torch.memory_format, "memory_format"),
)
