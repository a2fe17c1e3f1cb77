"""Cost of an export, next to its two yardsticks: torch.export alone, and a plain copy of the bytes that were written.

Every number of a run is measured in a fresh process on the same machine, one after the other. See bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import readme

MODELS = {"bert": "BERT-base, fp32, 110 M", "llama": "Llama, fp16, 0.3 B"}
TRACING = ("trace", "decompose")  # the stages that are torch's own work, as in trace_alone
MEMORY_BOUND_MB = 150
MB = 1e6


def build(name: str) -> tuple[Any, dict[str, Any]]:
    """A model with random weights and its sample inputs (keyword arguments)."""
    import torch
    from models import FirstOutput
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    ids = torch.randint(0, 30000, (1, 128))
    model: Any
    if name == "bert":
        model = BertModel(BertConfig())
    else:
        config = LlamaConfig(
            hidden_size=1024,
            intermediate_size=2816,
            num_hidden_layers=16,
            num_attention_heads=16,
            num_key_value_heads=16,
            vocab_size=32000,
            use_cache=False,
        )
        model = LlamaForCausalLM(config).half()
    return FirstOutput(model).eval(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def peak_mb() -> float:
    """Highest resident memory since the last reset, in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / MB
    raise RuntimeError("/proc/self/status has no VmHWM line")


def measured(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result of `work` with its CPU seconds (user + system, all threads), wall seconds and peak memory."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak restarts at what is resident now
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    result = work()
    wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return result, {"cpu": cpu, "wall": wall, "peak_mb": peak_mb()}


def trace_alone(model: Any, inputs: dict[str, Any]) -> Any:
    """What airloom asks of torch, and nothing else: export and the limited decomposition table."""
    import torch

    from airloom import _core

    kept = set(_core.converted_ops())
    with torch.no_grad():
        program = torch.export.export(model, (), inputs, strict=False)
        table = torch.export.default_decompositions()
        for op in [op for op in table if str(op) in kept]:
            del table[op]
        return program.run_decompositions(table)


def child(step: str, name: str, folder: Path, result_file: Path) -> None:
    """One measurement, in a process of its own."""
    import airloom

    model, inputs = build(name)
    if step == "trace":
        _, row = measured(lambda: trace_alone(model, inputs))
        report: dict[str, Any] = dict(row)
    else:
        exported, row = measured(
            lambda: airloom.dynamo_export(model=model, export_path=str(folder), export_name="bench", **inputs)
        )
        report = {**row, "timings": dict(exported.report.timings)}
    result_file.write_text(json.dumps(report), encoding="utf-8")


def copy_cost(folder: Path, target: Path) -> dict[str, float]:
    """`cp` of the written files and `sync` of their file system, in the same units."""
    os.sync()  # so that the copy does not pay for older dirty pages
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(["cp", "-r", str(folder), str(target)], check=True)
    subprocess.run(["sync", "-f", str(target)], check=True)
    wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"cpu": after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, "wall": wall}


def run_model(name: str, scratch: Path) -> dict[str, Any]:
    """All measurements of one model."""
    folder = scratch / name
    rows: dict[str, Any] = {}
    for step in ("trace", "airloom"):
        result_file = scratch / f"{name}.{step}.json"
        words = ["--child", step, "--model", name, "--folder", str(folder), "--result", str(result_file)]
        subprocess.run([sys.executable, __file__, *words], check=True, stdout=sys.stderr)
        rows[step] = json.loads(result_file.read_text(encoding="utf-8"))
    rows["bytes"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    rows["copy"] = copy_cost(folder, scratch / f"{name}.copy")
    return rows


def table(results: dict[str, dict[str, Any]]) -> str:
    """The Markdown that goes into the README."""
    lines = [
        "| model | step | CPU s | wall s | peak RSS MB |",
        "|---|---|---:|---:|---:|",
    ]
    notes = []
    for name, rows in results.items():
        trace, whole, copy = rows["trace"], rows["airloom"], rows["copy"]
        title, size = MODELS[name], f"{rows['bytes'] / MB:,.0f} MB"
        for label, row in (("torch.export alone", trace), ("airloom, whole export", whole)):
            lines.append(f"| {title} | {label} | {row['cpu']:.1f} | {row['wall']:.1f} | {row['peak_mb']:,.0f} |")
        lines.append(f"| {title} | cp + sync of the {size} written | {copy['cpu']:.1f} | {copy['wall']:.1f} | |")
        tracing = sum(seconds for stage, seconds in whole["timings"].items() if stage in TRACING)
        rest = sum(seconds for stage, seconds in whole["timings"].items() if stage not in TRACING)
        bound = 0.15 * tracing + 1.5 * copy["wall"]
        growth = whole["peak_mb"] - trace["peak_mb"]
        notes.append(
            f"- {title}: after tracing {rest:.2f} s = {100 * rest / tracing:.0f} % of tracing ({tracing:.2f} s); bound "
            f"15 % of tracing + 1.5 x copy = {bound:.2f} s: {'met' if rest <= bound else 'MISSED'}. Peak memory above "
            f"tracing alone {growth:,.0f} MB; bound {MEMORY_BOUND_MB} MB: "
            f"{'met' if growth <= MEMORY_BOUND_MB else 'MISSED'}."
        )
        stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in whole["timings"].items())
        notes.append(f"  Stages (wall s): {stages}.")
    return "\n".join([*lines, "", *notes])


def main() -> int:
    """Runs the benchmark; exit code 1 when a bound is missed and --strict is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, help="only this model")
    parser.add_argument("--scratch", type=Path, help="where the files are written (default: a temporary folder)")
    parser.add_argument("--write-readme", action="store_true", help="put the table into README.md")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bound is missed")
    parser.add_argument("--child", choices=["trace", "airloom"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.model, options.folder, options.result)
        return 0
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        names = [options.model] if options.model else list(MODELS)
        text = table({name: run_model(name, Path(scratch)) for name in names})
    print(text)
    if options.write_readme:
        readme.replace("bench", text)
    return 1 if options.strict and "MISSED" in text else 0


if __name__ == "__main__":
    sys.exit(main())
