"""The same model and inputs give the same bytes, in any process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys, torch, airloom
from torch import nn
torch.manual_seed(0)
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 8)
        self.b = nn.Linear(8, 8)
        self.b.weight = self.a.weight
        self.register_buffer("count", torch.zeros(()))
    def forward(self, x, state):
        self.count += 1
        y = torch.relu(self.a(x)) + self.b(state["h"]) * self.count
        return {"y": y, "h": y[1:], "rows": x.shape[0]}
if sys.argv[1] == "second":
    extra = [object() for _ in range(1000)]
    nn.Linear(3, 3)(torch.ones(2, 3))
    torch.manual_seed(0)
config = airloom.CompilerConfig()
config.export.experimental.enable_record_nn_module_stack = True
config.export.external_weights = sys.argv[3]
airloom.dynamo_export(torch.randn(4, 8), {"h": torch.randn(4, 8)}, model=Model().eval(), dynamic=sys.argv[2] == "True",
                      config=config)
"""


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("external", ["never", "always"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_two_processes_write_the_same_bytes(tmp_path: Path, dynamic: bool, external: str) -> None:
    found = []
    for number, name in enumerate(("first", "second")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "script.py").write_text(SCRIPT)
        environment = {**os.environ, "PYTHONHASHSEED": str(number + 1)}
        command = [sys.executable, "script.py", name, str(dynamic), external]
        subprocess.run(command, cwd=folder, env=environment, check=True, timeout=600)
        found.append(digests(folder / "export_file"))
    assert "export.air" in found[0]
    assert (len(found[0]) > 2) is (external == "always")
    assert found[0] == found[1]
