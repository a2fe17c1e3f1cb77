"""The second example's files on several processes: starting them, watching them, comparing what they wrote."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(os.environ.get("AIRLOOM_CLI", Path(sys.executable).parent / "airloom"))
LIMIT = 60
LAUNCHER = ("AIRLOOM_", "OMPI_", "PMI_", "PMIX_", "MASTER_", "TORCHELASTIC_", "RANK", "WORLD_SIZE")
Array = npt.NDArray[np.float32]

# The example's module in eager PyTorch; the example itself runs only under TorchAir's names.
EAGER = """
import sys
import numpy as np
import torch

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", rank=rank, world_size=2, init_method=f"file://{folder}/meet")
inputs = [torch.from_numpy(a) for a in np.load(f"{folder}/in{rank}.npz").values()]
x = inputs[0] + inputs[1] + torch.tensor([[1.1, 1.1], [1.1, 1.1]]) + torch.tensor([[2.2, 2.2], [3.3, 3.3]])
torch.distributed.all_reduce(x)
np.save(f"{folder}/eager{rank}.npy", x.numpy())
"""


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Ours without a launcher's variables, temporary files in `folder`."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHER)} | {"TMPDIR": str(temporary)} | more


def spawn(folder: Path, command: Iterable[str | Path], **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        list(command),
        cwd=folder,
        env=environment(folder, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_command(*arguments: str) -> list[str]:
    return [str(COMMAND), "run", "mp/mp_rank{}.air", *arguments]


def start(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return spawn(folder, run_command(*arguments), **more)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


def children(process: subprocess.Popen[str], count: int, variable: str = "AIRLOOM_RANK") -> list[int]:
    """Process numbers of the ranks, in rank order, once they compute."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        pids = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        if len(pids) == count and all(connected(pid) for pid in pids):
            time.sleep(0.3)
            return sorted(pids, key=lambda pid: rank_of(pid, variable))
        time.sleep(0.02)
    raise AssertionError(f"no {count} ranks: {finish(process)}")


def connected(pid: int) -> bool:
    """Whether this rank has met the others: then it holds a connection."""
    links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    return any(str(link).startswith("socket:") for link in links)


def rank_of(pid: int, variable: str) -> int:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(int(e.split(b"=")[1]) for e in entries if e.startswith(f"{variable}=".encode()))


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{pid}/stat")
        try:
            if stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def expect_outputs(folder: Path, expected: list[Array]) -> None:
    """Compare `folder`/out<rank>.npz."""
    for rank, values in enumerate(expected):
        (ours,) = np.load(folder / f"out{rank}.npz").values()
        assert ours.dtype == values.dtype == np.float32
        np.testing.assert_allclose(ours, values, rtol=1e-6)
