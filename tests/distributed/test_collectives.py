"""Every collective, exported on two gloo ranks and run from the files: the numbers of the eager module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

COMMAND = Path(os.environ.get("AIRLOOM_CLI", Path(sys.executable).parent / "airloom"))

# Exports on each rank, then computes the same module eagerly.
SCRIPT = """
import sys
import numpy as np
import torch
import torch.distributed as dist
import airloom


class Collectives(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(8.0).reshape(4, 2))

    def forward(self, x):
        y = x * self.weight
        total, top, low, product, mean = (y.clone() for _ in range(5))
        dist.all_reduce(total)
        dist.all_reduce(top, op=dist.ReduceOp.MAX)
        dist.all_reduce(low, op=dist.ReduceOp.MIN)
        dist.all_reduce(product, op=dist.ReduceOp.PRODUCT)
        dist.all_reduce(mean, op=dist.ReduceOp.SUM if eager else dist.ReduceOp.AVG)  # gloo itself has no average
        if eager:
            mean = mean / 2
        gathered = torch.empty(8, 2)
        dist.all_gather_into_tensor(gathered, y)
        scattered = torch.empty(2, 2)
        dist.reduce_scatter_tensor(scattered, y)
        exchanged = torch.empty(4, 2)
        dist.all_to_all_single(exchanged, y)
        rank = dist.get_rank()
        uneven = torch.empty(2 if rank == 0 else 6, 2)  # rank 0 gets 1 row from each, rank 1 gets 3
        dist.all_to_all_single(uneven, y, [1, 1] if rank == 0 else [3, 3], [1, 3])
        sent = y.clone()
        dist.broadcast(sent, src=1)
        return total, top, low, product, mean, gathered, scattered, exchanged, uneven, sent


rank = int(sys.argv[1])
dist.init_process_group("gloo", rank=rank, world_size=2, init_method="file://" + sys.argv[2] + "/meet")
config = airloom.CompilerConfig()
config.export.experimental.auto_atc_config_generated = True
config.export.external_weights = "always"
x = torch.arange(8.0).reshape(4, 2) * (rank + 1) - 3
eager = False
airloom.dynamo_export(x, model=Collectives().eval(), export_path="mp", export_name="all", config=config)
np.savez(f"in{rank}.npz", x.numpy())
eager = True
with torch.no_grad():
    np.savez(f"eager{rank}.npz", *(t.numpy() for t in Collectives()(x)))
"""


def test_files_compute_what_the_eager_module_does(tmp_path: Path) -> None:
    ranks = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, str(rank), str(tmp_path)], cwd=tmp_path, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=240)[1].decode() for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], "\n".join(errors)

    # TorchAir's layout with weights outside; one group, named alike in the files and the JSON
    tree = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "mp").rglob("*") if path.is_file())
    assert tree == [
        "mp/all0.air",
        "mp/all1.air",
        "mp/model_relation_config.json",
        "mp/numa_config.json",
        "mp/rank_0/dynamo.pbtxt",
        "mp/rank_0/weight",
        "mp/rank_1/dynamo.pbtxt",
        "mp/rank_1/weight",
    ]
    relation = json.loads((tmp_path / "mp" / "model_relation_config.json").read_text())
    (group,) = relation["comm_group"]
    assert group["group_rank_list"] == "[0, 1]"
    for rank in range(2):
        done = subprocess.run(
            [COMMAND, "inspect", f"mp/all{rank}.air", "--json"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        nodes = [node for node in json.loads(done.stdout)["nodes"] if node["type"].startswith("Hcom")]
        assert {node["attrs"]["group"] for node in nodes} == {group["group_name"]}
        reductions = [node["attrs"]["reduction"] for node in nodes if node["type"] == "HcomAllReduce"]
        assert sorted(reductions) == ["max", "min", "prod", "sum", "sum"]  # an average is a sum, divided

    run = [COMMAND, "run", "--ranks", "2", "mp/all{}.air", "--inputs", "in{}.npz", "--outputs", "out{}.npz"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        ours = list(np.load(tmp_path / f"out{rank}.npz").values())
        eager = list(np.load(tmp_path / f"eager{rank}.npz").values())
        assert len(ours) == len(eager) == 10
        for ours_array, eager_array in zip(ours, eager, strict=True):
            np.testing.assert_allclose(ours_array, eager_array, rtol=1e-6)
