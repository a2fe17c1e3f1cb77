"""What the benchmarks' models have in common. Imports PyTorch: only for the processes that hold a model."""

from typing import Any

import torch


class FirstOutput(torch.nn.Module):
    """The model's first output only, so that no output class is part of what is measured."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        """Calls the model."""
        return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]
