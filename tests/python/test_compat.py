"""Scripts written for TorchAir run unchanged."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import airloom
from airloom import _core

SEED = Path(__file__).resolve().parents[1] / "seed"


def compat(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "airloom.compat", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def inspect(path: Path) -> dict[str, object]:
    out = json.loads(_core.inspect_json(str(path)))
    assert isinstance(out, dict)
    return out


def test_first_example(workdir: Path) -> None:
    result = compat(workdir, str(SEED / "example1.py"))
    assert result.returncode == 0, result.stderr
    assert tree(workdir) == {"export_file/dynamo.pbtxt", "export_file/export.air"}
    found = inspect(workdir / "export_file/export.air")
    assert [entry["name"] for entry in found["inputs"]] == ["x", "y"]
    counts = found["op_counts"]
    # linear = one MatMulV2 with its bias, which TorchAir makes of five nodes.
    assert counts == {"Data": 2, "Const": 4, "MatMulV2": 2, "Add": 1, "NetOutput": 1}
    assert "atc --model=export_file/export.air --framework=1" in result.stderr
    # Every parameter of the script's two layers is 1.
    x, y = torch.randn(2, 2), torch.randn(2, 2)
    layer = torch.nn.Linear(2, 2)
    with torch.no_grad():
        for parameter in layer.parameters():
            torch.nn.init.ones_(parameter)
        expected = layer(x) + layer(y)
    torch.testing.assert_close(airloom.load(workdir / "export_file/export.air")(x, y), (expected,))


def second_example(workdir: Path, old: str, new: str) -> None:
    """Copy the script with one edit, on a port of its own: that cannot be shared with other runs on this machine."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    text = (SEED / "example2.py").read_text()
    assert old in text
    text = text.replace(old, new) if old else text
    (workdir / "example2.py").write_text(text.replace("29505", str(port)))


def test_second_example(workdir: Path) -> None:
    second_example(workdir, "", "")
    result = compat(workdir, "example2.py")
    assert result.returncode == 0, result.stderr
    assert tree(workdir / "mp") == {
        "model_relation_config.json",
        "numa_config.json",
        "mp_rank0.air",
        "mp_rank1.air",
        "rank_0/dynamo.pbtxt",
        "rank_1/dynamo.pbtxt",
    }
    for rank in (0, 1):
        found = inspect(workdir / f"mp/mp_rank{rank}.air")
        assert [entry["name"] for entry in found["inputs"]] == ["x", "y"]
        assert found["op_counts"]["HcomAllReduce"] == 1
        assert "nn_module_stack" in (workdir / f"mp/rank_{rank}/dynamo.pbtxt").read_text()
    relation = json.loads((workdir / "mp/model_relation_config.json").read_text())
    assert [group["group_rank_list"] for group in relation["comm_group"]] == ["[0, 1]"]
    assert [row["submodel_name"] for row in relation["deploy_config"]] == ["mp_rank0.air", "mp_rank1.air"]


def test_second_example_with_weights_outside(workdir: Path) -> None:
    setting = "config = CompilerConfig()"
    second_example(workdir, setting, f'{setting}; config.export.external_weights = "always"')
    result = compat(workdir, "example2.py")
    assert result.returncode == 0, result.stderr
    weights = {f"rank_{rank}/{name}" for rank in (0, 1) for name in ("p1", "p2")}
    assert {path for path in tree(workdir / "mp") if path.startswith("rank_")} == weights | {
        "rank_0/dynamo.pbtxt",
        "rank_1/dynamo.pbtxt",
    }
    assert (workdir / "mp/rank_1/p1").read_bytes() == b"\xcd\xcc\x8c\x3f" * 4  # 1.1 four times, float32


def test_script_sees_what_python_would_give_it(workdir: Path) -> None:
    (workdir / "sub").mkdir()
    (workdir / "sub/helper.py").write_text("VALUE = 7\n")
    (workdir / "sub/script.py").write_text(
        "import sys, helper, torchair, torch_npu\n"
        "from torchair.configs.compiler_config import CompilerConfig\n"
        "from torchair import CompilerConfig as Same\n"
        "import airloom\n"
        "assert Same is CompilerConfig is airloom.CompilerConfig is torchair.configs.compiler_config.CompilerConfig\n"
        "print(__name__, helper.VALUE, sys.argv)\n"
        "for module, name in ((torchair, 'get_npu_backend'), (torch_npu, 'npu_fusion_attention')):\n"
        "    try:\n"
        "        getattr(module, name)\n"
        "    except AttributeError as error:\n"
        "        print(error)\n"
        "sys.exit(5)\n"
    )
    result = compat(workdir, "sub/script.py", "--flag", "a b")
    assert result.returncode == 5, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "__main__ 7 ['sub/script.py', '--flag', 'a b']"
    assert "torchair.get_npu_backend is not provided" in lines[1]
    assert "dynamo_export" in lines[1]
    assert "torch_npu.npu_fusion_attention is not provided" in lines[2]


def test_installed_packages_win(workdir: Path) -> None:
    (workdir / "torch_npu.py").write_text("WHO = 'the real one'\n")
    (workdir / "script.py").write_text("import torch_npu; print(torch_npu.WHO)\n")
    result = compat(workdir, "script.py")
    assert result.stdout == "the real one\n", result.stderr


@pytest.mark.parametrize("words", [[], ["missing.py"]])
def test_wrong_command_lines(workdir: Path, words: list[str]) -> None:
    result = compat(workdir, *words)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_shims_are_not_visible_without_compat() -> None:
    shims = str(Path(airloom.__file__).parent / "compat/shims")
    code = f"import sys, airloom; sys.exit(any(p == {shims!r} for p in sys.path) or 'torchair' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], check=False)
    assert result.returncode == 0
