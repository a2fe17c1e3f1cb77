"""The models the exporter must handle, small and with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Sample = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]


def _ids(batch: int = 2, length: int = 7) -> torch.Tensor:
    return torch.randint(0, 98, (batch, length), generator=torch.Generator().manual_seed(1))


def _mask(batch: int = 2, length: int = 7) -> torch.Tensor:
    mask = torch.ones(batch, length, dtype=torch.int64)
    mask[0, length - 2 :] = 0
    return mask


def _image(batch: int = 2, size: int = 32) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(2))


def _small(**extra: Any) -> dict[str, Any]:
    return {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, **extra}


def bert() -> Sample:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(**_small(vocab_size=100))), (), {"input_ids": _ids(), "attention_mask": _mask()}


def distilbert() -> Sample:
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, vocab_size=100)
    return DistilBertModel(config), (), {"input_ids": _ids(), "attention_mask": _mask()}


def gpt2() -> Sample:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_embd=32,
        n_layer=2,
        n_head=4,
        vocab_size=100,
        n_positions=64,
        use_cache=False,
        bos_token_id=98,
        eos_token_id=99,
    )
    return GPT2LMHeadModel(config), (_ids(),), {}


def llama() -> Sample:
    from transformers import LlamaConfig, LlamaForCausalLM

    return (
        LlamaForCausalLM(LlamaConfig(**_small(num_key_value_heads=2, vocab_size=100, use_cache=False))),
        (_ids(),),
        {},
    )


def qwen2() -> Sample:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return (
        Qwen2ForCausalLM(Qwen2Config(**_small(num_key_value_heads=2, vocab_size=100, use_cache=False))),
        (_ids(),),
        {},
    )


def vit() -> Sample:
    from transformers import ViTConfig, ViTModel

    return ViTModel(ViTConfig(**_small(image_size=32, patch_size=8))), (_image(),), {}


def t5_encoder() -> Sample:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=100)
    return T5EncoderModel(config), (), {"input_ids": _ids(), "attention_mask": _mask()}


def clip() -> Sample:
    from transformers import CLIPConfig, CLIPModel

    text = _small(vocab_size=100, max_position_embeddings=16, bos_token_id=98, eos_token_id=99)
    vision = _small(image_size=32, patch_size=8)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    return model, (), {"input_ids": _ids(), "pixel_values": _image(), "attention_mask": _mask()}


class ResNet(nn.Module):
    """Convolutions, batch norm, a residual, three kinds of pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8))
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.pool(torch.relu(x + self.block(x)))
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


def resnet() -> Sample:
    model = ResNet()
    for norm in (model.stem[1], model.block[1]):
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return model, (_image(size=64),), {}


class ActivationMLP(nn.Module):
    """One linear layer for each common activation."""

    def __init__(self) -> None:
        super().__init__()
        self.activations = nn.ModuleList(
            [
                nn.ReLU(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Tanh(), nn.Sigmoid(), nn.ELU(), nn.SELU(),
                nn.CELU(), nn.LeakyReLU(), nn.PReLU(), nn.Softplus(), nn.Hardswish(), nn.Hardsigmoid(), nn.Hardtanh(),
                nn.ReLU6(), nn.Mish(), nn.Softsign(), nn.LogSigmoid(), nn.Softmax(-1), nn.LogSoftmax(-1),
                nn.Tanhshrink(), nn.Softshrink(), nn.Hardshrink(), nn.Threshold(0.1, 0.2), nn.GLU(), nn.Softmin(-1),
                nn.RReLU(),
            ]
        )  # fmt: skip
        self.layers = nn.ModuleList([nn.Linear(16, 16) for _ in self.activations])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(x.shape[0], 1)
        for activation, layer in zip(self.activations, self.layers, strict=True):
            out = out + activation(layer(x)).sum(-1, keepdim=True)
        return out


def activation_mlp() -> Sample:
    return ActivationMLP(), (torch.randn(4, 16, generator=torch.Generator().manual_seed(3)),), {}


def transformer_encoder() -> Sample:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return (
        nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        (torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(4)),),
        {},
    )


MODELS: dict[str, Callable[[], Sample]] = {
    f.__name__: f
    for f in (bert, distilbert, gpt2, llama, qwen2, vit, t5_encoder, clip, resnet, activation_mlp, transformer_encoder)
}


def make(name: str) -> Sample:
    """Build a model with the same weights every time, in evaluation mode."""
    torch.manual_seed(0)
    model, args, kwargs = MODELS[name]()
    return model.eval(), args, kwargs
