"""Names for the leaves of nested inputs and outputs, and registration of the containers they may sit in."""

from __future__ import annotations

import dataclasses
import re
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def sanitize(text: str) -> str:
    """Replace every run of characters outside [A-Za-z0-9_.-] by one underscore."""
    return _UNSAFE.sub("_", text) or "_"


def unique(labels: list[str]) -> list[str]:
    """Sanitise, then tell equal names apart by `_1`, `_2`, ... in order."""
    labels = [sanitize(label) for label in labels]
    taken = set(labels)
    seen: set[str] = set()
    out = []
    for label in labels:
        name, number = label, 0
        while name in seen or (number and name in taken):
            number += 1
            name = f"{label}_{number}"
        seen.add(name)
        out.append(name)
    return out


def _child_names(spec: pytree.TreeSpec, count: int) -> list[str]:
    """Keys of a container's children; their places when the container has no keys."""
    context = spec.context
    fields = getattr(context, "_fields", None)
    if fields is not None and len(fields) == count:
        return [str(name) for name in fields]
    # Plain dicts keep their keys as the context; dataclasses and caches keep [keys, something else].
    for keys in (context, context[0] if isinstance(context, (list, tuple)) and context else None):
        if (
            isinstance(keys, (list, tuple))
            and len(keys) == count
            and all(isinstance(k, (str, int, float)) for k in keys)
        ):
            return [str(key) for key in keys]
    return [str(i) for i in range(count)]


def leaf_paths(spec: pytree.TreeSpec, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all leaves, in flattening order."""
    if spec.is_leaf():
        yield path
        return
    children = spec.children()
    for name, child in zip(_child_names(spec, len(children)), children, strict=True):
        yield from leaf_paths(child, (*path, name))


def input_labels(in_spec: pytree.TreeSpec, parameters: list[str]) -> list[str]:
    """Label each leaf of `(args, kwargs)`; `parameters` names the positional arguments."""
    args, kwargs = in_spec.children()
    labels = []
    for name, child in zip(parameters, args.children(), strict=False):
        labels += ["_".join((name, *path)) for path in leaf_paths(child)]
    labels += ["_".join(path) for path in leaf_paths(kwargs)]
    return unique(labels)


def output_labels(out_spec: pytree.TreeSpec) -> list[str]:
    """Label each leaf of the returned value: `output0`, a key or field, or a path of them."""
    labels = []
    for path in leaf_paths(out_spec):
        text = "_".join(path) if path else "0"
        labels.append(f"output{text}" if text[0].isdigit() else text)
    return unique(labels)


def register_containers(tree: object) -> None:
    """Make dataclasses inside `tree`, and the caches of transformers when it is loaded, known to PyTorch's pytree."""
    _register_transformers_caches()
    pending: list[Any] = [tree]
    while pending:
        value = pending.pop()
        if (
            dataclasses.is_dataclass(value)
            and not isinstance(value, type)
            and type(value) not in pytree.SUPPORTED_NODES
        ):
            torch.export.register_dataclass(type(value))
        if isinstance(value, torch.Tensor):
            continue
        if type(value) in pytree.SUPPORTED_NODES or isinstance(value, tuple):
            pending.extend(pytree.SUPPORTED_NODES[pytree._get_node_type(value)].flatten_fn(value)[0])


def _register_transformers_caches() -> None:
    caches = sys.modules.get("transformers.cache_utils")
    if caches is None:
        return
    if caches.DynamicCache not in pytree.SUPPORTED_NODES:
        from transformers.integrations.executorch import register_dynamic_cache_export_support

        register_dynamic_cache_export_support()  # type: ignore[no-untyped-call]
    pair = getattr(caches, "EncoderDecoderCache", None)
    if pair is not None and pair not in pytree.SUPPORTED_NODES:
        names = ["self_attention_cache", "cross_attention_cache"]

        def flatten(cache: Any) -> tuple[list[Any], list[str]]:
            return [getattr(cache, name) for name in names], names

        def unflatten(values: Iterable[Any], context: Any) -> Any:
            del context
            return pair(*values)

        pytree.register_pytree_node(pair, flatten, unflatten, serialized_type_name=f"{pair.__module__}.{pair.__name__}")
