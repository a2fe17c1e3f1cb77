"""`airloom run --ranks`: the second example's files on two processes, and ranks that do not play along."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(os.environ.get("AIRLOOM_CLI", Path(sys.executable).parent / "airloom"))
LIMIT = 60
LAUNCHER = ("AIRLOOM_", "OMPI_", "PMI_")
ENDLESS = ("--random", "--repeat", "1000000")

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


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the second example and write inputs that differ by rank."""
    folder = tmp_path_factory.mktemp("example2")
    script = ROOT / "tests" / "seed" / "example2.py"
    done = subprocess.run(
        [sys.executable, "-m", "airloom.compat", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        rows = np.arange(4, dtype=np.int32).reshape(2, 2)
        np.savez(folder / f"in{rank}.npz", rows * (rank + 1), rows - 7 * rank)
    return folder


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Ours without a launcher's variables, temporary files in `folder`."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHER)} | {"TMPDIR": str(temporary)} | more


def start(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    command = [COMMAND, "run", "mp/mp_rank{}.air", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment(folder, **more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


def children(process: subprocess.Popen[str], count: int) -> list[int]:
    """Process numbers of the ranks, in rank order, once they compute."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        pids = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        # A rank that has met the others holds a connection: its listener and the link.
        if len(pids) == count and all(sockets(pid) >= 1 for pid in pids):
            time.sleep(0.3)
            return sorted(pids, key=rank_of)
        time.sleep(0.02)
    raise AssertionError(f"no {count} ranks: {finish(process)}")


def sockets(pid: int) -> int:
    links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    return sum(str(link).startswith("socket:") for link in links)


def rank_of(pid: int) -> int:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(int(e.split(b"=")[1]) for e in entries if e.startswith(b"AIRLOOM_RANK="))


def nothing_left(folder: Path) -> bool:
    return not any((folder / "tmp").iterdir())


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


def test_both_ranks_equal_eager_pytorch_over_gloo(exported: Path, tmp_path: Path) -> None:
    for rank in range(2):
        (tmp_path / f"in{rank}.npz").write_bytes((exported / f"in{rank}.npz").read_bytes())
    eager = [subprocess.Popen([sys.executable, "-c", EAGER, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait(timeout=LIMIT) for process in eager] == [0, 0]
    code, out, err = finish(
        start(exported, "--ranks", "2", "--inputs", "in{}.npz", "--outputs", f"{tmp_path}/out{{}}.npz")
    )
    assert (code, err) == (0, "")
    assert out.index("rank 0:") < out.index("rank 1:")
    for rank in range(2):
        (ours,) = np.load(tmp_path / f"out{rank}.npz").values()
        expected = np.load(tmp_path / f"eager{rank}.npy")
        assert ours.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(ours, expected, rtol=1e-6)
    assert nothing_left(exported)


def test_under_a_launcher(exported: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    arguments = ("--inputs", "in{}.npz", "--outputs", f"{tmp_path}/out{{}}.npz")
    names = [("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE")]
    ranks = [
        start(exported, *arguments, AIRLOOM_STORE=str(store), **{names[r][0]: str(r), names[r][1]: "2"})
        for r in range(2)
    ]
    for process in ranks:
        code, out, err = finish(process)
        assert (code, err) == (0, "")
        assert "float32 [2, 2]" in out
    first, second = (next(iter(np.load(tmp_path / f"out{r}.npz").values())) for r in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_folder_of_an_earlier_run_is_refused(exported: Path, tmp_path: Path) -> None:
    launcher = {"AIRLOOM_STORE": str(tmp_path), "PMI_RANK": "0", "PMI_SIZE": "2"}
    for expected in ("rank 1 did not come within 1 s", "give every run an empty rendezvous folder"):
        code, _, err = finish(start(exported, "--random", "--timeout", "1", **launcher))
        assert code == 2
        assert expected in err


def test_a_rank_that_fails_ends_the_run(exported: Path) -> None:
    begin = time.monotonic()
    (exported / "only0.npz").write_bytes((exported / "in0.npz").read_bytes())
    code, _, err = finish(start(exported, "--ranks", "2", "--inputs", "only{}.npz"))
    assert code == 2
    assert "rank 1 failed with exit code 2: cannot open only1.npz" in err
    assert time.monotonic() - begin < LIMIT / 2
    assert nothing_left(exported)


def test_a_killed_rank_ends_the_run(exported: Path) -> None:
    process = start(exported, "--ranks", "2", *ENDLESS)
    pids = children(process, 2)
    os.kill(pids[1], signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 2
    assert err.startswith("airloom: rank 1 was ended by signal 9 (Killed)")
    assert all(gone(pid) for pid in pids)
    assert nothing_left(exported)


def test_a_stopped_rank_is_not_waited_for_without_end(exported: Path) -> None:
    process = start(exported, "--ranks", "2", "--timeout", "2", *ENDLESS)
    pids = children(process, 2)
    os.kill(pids[1], signal.SIGSTOP)
    code, _, err = finish(process)
    assert code == 2
    assert "rank 0 failed with exit code 2" in err
    assert "did not answer within 2 s" in err
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_ranks_end_with_their_starter(exported: Path, sent: signal.Signals) -> None:
    process = start(exported, "--ranks", "2", *ENDLESS)
    pids = children(process, 2)
    process.send_signal(sent)
    code, _, err = finish(process)
    if sent != signal.SIGKILL:
        assert code == 2
        assert f"ended by signal {sent.value}" in err
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--ranks", "2", "--random", "--outputs", "out.npz"), "all ranks would write this file"),
        (("--ranks", "3", "--random"), "mp/mp_rank2.air"),
        (("--ranks", "2", "--random", "--timeout", "0"), "--timeout"),
    ],
)
def test_wrong_usage(exported: Path, arguments: tuple[str, ...], expected: str) -> None:
    code, _, err = finish(start(exported, *arguments))
    assert code == 2
    assert expected in err


def test_one_process_is_not_enough_for_collectives(exported: Path) -> None:
    command = [COMMAND, "run", "mp/mp_rank0.air", "--random"]
    done = subprocess.run(
        command, cwd=exported, env=environment(exported), capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 2
    assert "airloom run --ranks N starts all ranks" in done.stderr
