"""Which operators PyTorch takes apart before the core sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any


def table(converted: Collection[str]) -> dict[torch._ops.OperatorBase, Callable[..., Any]]:
    """PyTorch's default decompositions, less the operators in `converted` ("aten.linear.default"): these stay whole."""
    keep = frozenset(converted)
    out = torch.export.default_decompositions()
    for op in list(out):
        if str(op) in keep:
            del out[op]
    return out
