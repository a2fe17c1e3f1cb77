"""`airloom run` under mpirun and torchrun, and ranks that meet at MASTER_ADDR and MASTER_PORT."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from processes import (
    LIMIT,
    Array,
    children,
    connected,
    environment,
    expect_outputs,
    finish,
    gone,
    run_command,
    spawn,
    start,
)

ENDLESS = ("--random", "--repeat", "1000000")
# Also as root, on fewer processors than ranks, without ssh, and with mpirun's own connections kept on this machine.
MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_plm": "isolated",
    "OMPI_MCA_oob_tcp_if_include": "lo",
}
TORCHRUN = Path(sys.executable).parent / "torchrun"


def files(folder: Path, inputs: str = "in{}.npz") -> tuple[str, ...]:
    return ("--inputs", inputs, "--outputs", f"{folder}/out{{}}.npz")


def mpirun(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return spawn(folder, ["mpirun", "-n", "2", *arguments], **MPI, **more)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def master(port: int, rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def wait_for_listener(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens: {finish(process)}")


@pytest.fixture
def place(exported: Path, tmp_path: Path) -> Path:
    """Return a folder with the files and a temporary folder of its own."""
    shutil.copytree(exported / "mp", tmp_path / "mp")
    for rank in range(2):
        shutil.copy(exported / f"in{rank}.npz", tmp_path)
    return tmp_path


def test_mpirun_needs_nothing_else(place: Path, eager: list[Array]) -> None:
    code, _, err = finish(mpirun(place, *run_command(*files(place))))
    assert (code, err) == (0, "")
    expect_outputs(place, eager)
    assert not any((place / "tmp").iterdir())


def test_runs_one_after_another_in_one_job(place: Path, eager: list[Array]) -> None:
    once = shlex.join(run_command(*files(place)))
    code, out, err = finish(mpirun(place, "sh", "-c", f"{once} && {once} && {once}"))
    assert (code, err) == (0, "")
    assert out.count("float32 [2, 2]") == 6
    expect_outputs(place, eager)


def test_two_jobs_at_once(place: Path, eager: list[Array]) -> None:
    jobs = []
    for number in range(2):
        for rank in range(2):
            first, second = np.load(place / f"in{rank}.npz").values()
            np.savez(place / f"job{number}_{rank}.npz", first + 100 * number, second)
        (place / f"job{number}").mkdir()
        arguments = files(place / f"job{number}", f"job{number}_{{}}.npz")
        jobs.append(mpirun(place, *run_command("--repeat", "200", *arguments)))
    for number, job in enumerate(jobs):
        code, _, err = finish(job)
        assert (code, err) == (0, "")
        expect_outputs(place / f"job{number}", [values + np.float32(200 * number) for values in eager])


def test_mpirun_with_a_master(place: Path, eager: list[Array]) -> None:
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    code, _, err = finish(mpirun(place, *run_command(*files(place)), **meeting))
    assert (code, err) == (0, "")
    expect_outputs(place, eager)


@pytest.mark.parametrize("over_tcp", [False, True])
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_mpirun(place: Path, victim: int, over_tcp: bool) -> None:
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())} if over_tcp else {}
    job = mpirun(place, *run_command(*ENDLESS), **meeting)
    pids = children(job, 2, "OMPI_COMM_WORLD_RANK")
    os.kill(pids[victim], signal.SIGKILL)
    code, out, err = finish(job)
    assert code != 0
    assert "signal 9 (Killed)" in out + err
    assert all(gone(pid) for pid in pids)


def test_a_rank_that_does_not_come_ends_the_mpirun(place: Path) -> None:
    code, _, err = finish(
        mpirun(place, "-n", "1", *run_command("--random", "--timeout", "1"), ":", "-n", "1", "sleep", "300")
    )
    assert code == 2
    assert "rank 1 did not come within 1 s" in err


def test_a_launcher_without_a_meeting_place(place: Path) -> None:
    code, _, err = finish(start(place, "--random", PMI_RANK="0", PMI_SIZE="2"))
    assert code == 2
    assert "set AIRLOOM_STORE to an empty folder that all ranks see, or MASTER_ADDR and MASTER_PORT" in err


def test_one_rank_of_mpirun_may_start_others(place: Path, eager: list[Array]) -> None:
    command = ["mpirun", "-n", "1", *run_command("--ranks", "2", *files(place))]
    code, _, err = finish(spawn(place, command, **MPI))
    assert (code, err) == (0, "")
    expect_outputs(place, eager)


def test_torchrun(place: Path, eager: list[Array]) -> None:
    command = [TORCHRUN, "--nproc-per-node", "2", "--no-python", *run_command(*files(place))]
    code, _, err = finish(spawn(place, command))
    assert code == 0, err
    expect_outputs(place, eager)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_ranks_meet_at_the_master(place: Path, eager: list[Array], order: tuple[int, int]) -> None:
    port = free_port()
    ranks = []
    for rank in order:
        ranks.append(start(place, *files(place), **master(port, rank)))
        time.sleep(0.3)  # the first one waits
    for process in ranks:
        code, _, err = finish(process)
        assert (code, err) == (0, "")
    expect_outputs(place, eager)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_is_an_error_for_the_other(place: Path, victim: int) -> None:
    port = free_port()
    ranks = [start(place, *ENDLESS, "--timeout", "5", **master(port, rank)) for rank in range(2)]
    deadline = time.monotonic() + LIMIT
    while not all(connected(process.pid) for process in ranks):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(1)
    begin = time.monotonic()
    ranks[victim].kill()
    code, _, err = finish(ranks[1 - victim])
    assert code == 2
    assert "another rank ended" in err
    assert time.monotonic() - begin < 15  # at once, but for a moment in which Gloo misses it
    finish(ranks[victim])


@pytest.mark.parametrize(
    ("rank", "expected"), [(0, "rank 1 did not come within 1 s"), (1, "rank 0 did not answer within 1 s")]
)
def test_a_rank_that_does_not_come_is_an_error(place: Path, rank: int, expected: str) -> None:
    code, _, err = finish(start(place, "--random", "--timeout", "1", **master(free_port(), rank)))
    assert code == 2
    assert expected in err


def test_a_rank_that_fails_while_others_wait_is_an_error_at_once(place: Path) -> None:
    port = free_port()
    first = start(place, "--random", "--timeout", "50", **master(port, 0))
    wait_for_listener(port, first)
    # It greets as rank 1 of 2 and leaves.
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        numbers = (1).to_bytes(4, "little") + (2).to_bytes(4, "little")
        link.sendall(b"H" + (20).to_bytes(4, "little") + (8).to_bytes(4, "little") + b"airloom rendezvous 1" + numbers)
        assert link.recv(1) == b"+"
    begin = time.monotonic()
    code, _, err = finish(first)
    assert code == 2
    assert "rank 1 ended before all ranks had met" in err
    assert time.monotonic() - begin < 10


def test_garbage_at_the_masters_port_changes_nothing(place: Path, eager: list[Array]) -> None:
    port = free_port()
    first = start(place, *files(place), **master(port, 0))
    wait_for_listener(port, first)
    idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(100)]
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100000, b"H" + b"\xff" * 100000, os.urandom(100000)):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
            try:
                link.sendall(garbage)
                assert link.recv(1) == b""
            except (ConnectionResetError, BrokenPipeError):
                pass  # cut off before all was sent
    second = start(place, *files(place), **master(port, 1))
    for process in (first, second):
        code, _, err = finish(process)
        assert (code, err) == (0, "")
    for link in idle:
        link.close()
    expect_outputs(place, eager)


def test_a_port_in_use(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, err = finish(start(place, "--random", **master(port, 0)))
        assert code == 2
        assert f"127.0.0.1:{port}: another program uses this port (set MASTER_PORT to a free one" in err
        code, _, err = finish(start(place, "--random", "--timeout", "1", **master(port, 1)))
        assert code == 2
        assert "rank 0 did not answer within 1 s: no rendezvous of this run" in err


# Two network namespaces with a cable between them stand for two machines; they end with the processes inside.
MACHINES = """
set -e
unshare --net sleep 100 &
other=$!
trap 'kill $other' EXIT
while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
there="nsenter --target $other --net"
ip link add left type veth peer name right netns $other
ip address add "$1/$3" dev left $4
ip link set left up
$there ip address add "$2/$3" dev right $4
$there ip link set right up
$there ip link set lo up
ip link set lo up
shift 4
RANK=1 $there "$@" &
second=$!
status=0
RANK=0 "$@" || status=$?
wait $second
exit $status
"""


@pytest.mark.parametrize(
    "addresses", [("10.77.0.1", "10.77.0.2", "24", ""), ("fd77::1", "fd77::2", "64", "nodad")], ids=["IPv4", "IPv6"]
)
def test_two_machines(place: Path, eager: list[Array], addresses: tuple[str, ...]) -> None:
    rights = ["--user", "--map-root-user"] if os.geteuid() != 0 else []
    command = ["unshare", *rights, "--net", "sh", "-c", MACHINES, "sh", *addresses]
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": addresses[0], "MASTER_PORT": "29500"}
    code, _, err = finish(spawn(place, [*command, *run_command(*files(place))], **meeting))
    assert (code, err) == (0, "")
    expect_outputs(place, eager)


def test_the_meeting_places_order(place: Path, eager: list[Array]) -> None:
    # AIRLOOM_STORE goes before a master that nobody could be at.
    store = place / "store"
    store.mkdir()
    more = {"AIRLOOM_STORE": str(store), "MASTER_ADDR": "192.0.2.1", "MASTER_PORT": "1"}
    code, _, err = finish(mpirun(place, *run_command(*files(place)), **more))
    assert (code, err) == (0, "")
    expect_outputs(place, eager)
    assert not any(store.iterdir())


def test_a_world_does_not_disturb_python_sessions_without_collectives(tmp_path: Path) -> None:
    script = (
        "import torch, airloom\n"
        "x = torch.ones(2)\n"
        "r = airloom.dynamo_export(x, model=torch.nn.ReLU().eval(), export_path='one', export_name='one')\n"
        "print(airloom.load(r.air)(x)[0].tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment(tmp_path, **master(free_port(), 1)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[1.0, 1.0]\n"
