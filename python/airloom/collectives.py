"""Process groups under names that all ranks agree on, and collectives in a form that can be traced."""

from __future__ import annotations

import hashlib
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist

from airloom.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_SPELT_RANKS = 8


def initialized() -> bool:
    """Whether torch.distributed runs in this process."""
    return dist.is_available() and dist.is_initialized()


def rank_and_size() -> tuple[int, int]:
    """Rank and world size; (0, 1) without torch.distributed."""
    return (dist.get_rank(), dist.get_world_size()) if initialized() else (0, 1)


def group_ranks(group: Any) -> list[int]:
    """Global ranks of a process group, given as the object or by its process-local name."""
    if isinstance(group, str):
        resolve: Any = torch._C._distributed_c10d._resolve_process_group
        group = resolve(group)
    return [int(rank) for rank in dist.get_process_group_ranks(group)]


def canonical_name(ranks: list[int]) -> str:
    """Derive a name from the ranks alone, so that every member derives the same one."""
    text = "_".join(map(str, ranks))
    if len(ranks) <= _MAX_SPELT_RANKS:
        return f"group_{text}"
    return f"group_{len(ranks)}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


class _Done:
    """The handle of a traced collective: its result is ready as soon as it is used."""

    def wait(self, timeout: object = None) -> bool:
        del timeout
        return True

    def is_completed(self) -> bool:
        return True


def _untraceable(name: str) -> Callable[..., Any]:
    def refuse(*args: object, **kwargs: object) -> None:
        del args, kwargs
        raise CaptureError(
            f"torch.distributed.{name} has no form that can be exported",
            "",
            "use broadcast, all_gather or all_to_all instead",
        )

    return refuse


def _synchronous(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a traceable form: async_op and the reduction as torch.distributed's users spell them."""
    from torch.distributed._functional_collectives import REDUCE_OP_TO_STR

    signature = inspect.signature(function)

    def call(*args: Any, **kwargs: Any) -> _Done | None:
        bound = signature.bind(*args, **kwargs)
        async_op = bool(bound.arguments.pop("async_op", False))
        op = bound.arguments.get("op")
        if op is not None and not isinstance(op, str):
            if op not in REDUCE_OP_TO_STR:
                raise CaptureError(f"the reduction {op} cannot be exported", "", "use SUM, PRODUCT, MIN, MAX or AVG")
            bound.arguments["op"] = REDUCE_OP_TO_STR[op]
        function(**bound.arguments)
        return _Done() if async_op else None

    return call


def _broadcast(
    tensor: torch.Tensor,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> _Done | None:
    from torch.distributed import _functional_collectives as functional

    group = group if group is not None else dist.group.WORLD
    if group_src is None:
        if src is None:
            raise ValueError("broadcast needs src or group_src")
        group_src = dist.get_group_rank(group, src)
    tensor.copy_(functional.broadcast(tensor, group_src, group))
    return _Done() if async_op else None


def _all_to_all(
    output_tensor_list: list[torch.Tensor],
    input_tensor_list: list[torch.Tensor],
    group: Any = None,
    async_op: bool = False,
) -> _Done | None:
    from torch.distributed import _functional_collectives as functional

    sent, received = list(input_tensor_list), list(output_tensor_list)
    flat = functional.all_to_all_single(
        torch.cat([t.reshape(-1) for t in sent]),
        [t.numel() for t in received],
        [t.numel() for t in sent],
        cast("Any", group if group is not None else dist.group.WORLD),
    )
    for target, part in zip(received, torch.split(flat, [t.numel() for t in received]), strict=True):
        target.copy_(part.reshape(target.shape))
    return _Done() if async_op else None


def _reduce_scatter(
    output: torch.Tensor, input_list: list[torch.Tensor], op: str = "sum", group: Any = None, async_op: bool = False
) -> None:
    from torch.distributed import _functional_collectives as functional

    del async_op
    parts = torch.stack(list(input_list)).reshape(-1)
    functional.reduce_scatter_tensor_inplace(output.reshape(-1), parts, op, group)


@contextmanager
def traceable() -> Iterator[None]:
    """Replace those functions of torch.distributed that cannot be traced, while tracing only."""
    if not initialized():
        yield
        return
    from torch.distributed import _functional_collectives as functional

    gather = _synchronous(functional.all_gather_tensor_inplace)
    scatter = _synchronous(functional.reduce_scatter_tensor_inplace)
    replaced: dict[str, Callable[..., Any]] = {
        "all_reduce": _synchronous(functional.all_reduce_inplace),
        "all_gather": _synchronous(functional.all_gather_inplace),
        "all_gather_into_tensor": gather,
        "all_gather_single": gather,
        "reduce_scatter": _synchronous(_reduce_scatter),
        "reduce_scatter_tensor": scatter,
        "reduce_scatter_single": scatter,
        "all_to_all_single": _synchronous(functional.all_to_all_inplace),
        "all_to_all": _all_to_all,
        "broadcast": _broadcast,
        **{name: _untraceable(name) for name in ("send", "recv", "isend", "irecv", "reduce", "gather", "scatter")},
    }
    places: list[Any] = [dist, dist.distributed_c10d]
    saved = [(place, name, getattr(place, name)) for place in places for name in replaced]
    try:
        for place, name, _ in saved:
            setattr(place, name, replaced[name])
        yield
    finally:
        for place, name, function in saved:
            setattr(place, name, function)
