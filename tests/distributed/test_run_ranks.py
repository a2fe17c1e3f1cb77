"""`airloom run --ranks`: the second example's files on two processes, and ranks that do not play along."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from processes import COMMAND, LIMIT, Array, children, environment, expect_outputs, finish, gone, start

ENDLESS = ("--random", "--repeat", "1000000")


def nothing_left(folder: Path) -> bool:
    return not any((folder / "tmp").iterdir())


def test_both_ranks_equal_eager_pytorch_over_gloo(exported: Path, eager: list[Array], tmp_path: Path) -> None:
    code, out, err = finish(
        start(exported, "--ranks", "2", "--inputs", "in{}.npz", "--outputs", f"{tmp_path}/out{{}}.npz")
    )
    assert (code, err) == (0, "")
    assert out.index("rank 0:") < out.index("rank 1:")
    expect_outputs(tmp_path, eager)
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
