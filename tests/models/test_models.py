"""Whole models, static and dynamic: exported, validated, and their graphs as compact as they should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import zoo

import airloom
from airloom import _core


def export(name: str, dynamic: bool, folder: Path) -> dict[str, object]:
    model, args, kwargs = zoo.make(name)
    result = airloom.dynamo_export(*args, model=model, export_path=str(folder), dynamic=dynamic, **kwargs)
    assert _core.validate(str(result.air), str(folder.parent)) == []
    graph: dict[str, object] = json.loads(_core.inspect_json(str(result.air)))
    return graph


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", list(zoo.MODELS))
def test_export(name: str, dynamic: bool, tmp_path: Path) -> None:
    graph = export(name, dynamic, tmp_path / "out")
    symbolic = any(-1 in port["shape"] for port in graph["inputs"])  # type: ignore[attr-defined]
    assert symbolic == dynamic
    assert graph["external_files"] == []
    model, args, kwargs = zoo.make(name)
    with torch.no_grad():
        outputs = [t for t in torch.utils._pytree.tree_leaves(model(*args, **kwargs)) if isinstance(t, torch.Tensor)]
    written = [(port["dtype"], len(port["shape"])) for port in graph["outputs"]]  # type: ignore[attr-defined]
    assert written == [(str(t.dtype).removeprefix("torch."), t.dim()) for t in outputs]
    if not dynamic:
        assert [port["shape"] for port in graph["outputs"]] == [list(t.shape) for t in outputs]  # type: ignore[attr-defined]


def test_bert_layer_is_compact(tmp_path: Path) -> None:
    counts = export("bert", False, tmp_path / "out")["op_counts"]
    assert isinstance(counts, dict)
    # Two layers, each: 6 linears (q k v out up down) as one node, two products and a softmax of attention; the pooler.
    assert counts["MatMulV2"] + counts["BatchMatMulV2"] == 2 * (6 + 2) + 1
    assert counts["SoftmaxV2"] == 2
    assert counts["LayerNormV4"] == 5
    assert counts["GeluV2"] == 2
    assert "Identity" not in counts
