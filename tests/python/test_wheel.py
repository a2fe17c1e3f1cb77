"""The wheel in an environment of its own, without PyTorch and with nothing of this checkout or of the build machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
SITE = Path("lib") / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
# The C and C++ base, and zlib: Python and Debian's package manager need it. The manylinux policies allow all of these.
BASE = re.compile(r"linux-vdso|/lib\S*/ld-linux|lib(c|dl|gcc_s|m|pthread|rt|stdc\+\+|z)\.so\.\d+$")

# Both ranks export a collective, rank 0 a graph of several types as well.
EXPORT = """
import sys
import torch
import airloom


class Mixed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)
        torch.nn.init.ones_(self.linear.weight)
        torch.nn.init.zeros_(self.linear.bias)

    def forward(self, x, half, count):
        return self.linear(x), half + half, count * 2


class Sum(torch.nn.Module):
    def forward(self, x):
        y = x + 1
        torch.distributed.all_reduce(y)
        return y


rank = int(sys.argv[1])
if rank == 0:
    batch = torch.export.Dim("batch", min=1, max=64)
    airloom.dynamo_export(
        torch.zeros(2, 3), torch.zeros(4, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.int64),
        model=Mixed().eval(), export_path="one", export_name="mixed",
        dynamic_shapes={"x": {0: batch}, "half": None, "count": None},
    )
torch.distributed.init_process_group("gloo", rank=rank, world_size=2, init_method="file://" + sys.argv[2])
airloom.dynamo_export(torch.zeros(2, 2), model=Sum().eval(), export_path="mp", export_name="sum")
"""

LOAD = """
import importlib.util, sys
import numpy as np
import airloom

assert importlib.util.find_spec("torch") is None
session = airloom.load("one/mixed.air")
x = np.arange(15, dtype=np.float32).reshape(5, 3)
half = (np.array([1, -2, 0.5, 3], np.float32).view(np.uint32) >> 16).astype(np.uint16)
count = np.array([2**40, -3])
print(session)
outputs = session(x, half, count=count)
np.savez("loaded.npz", *outputs)
assert "torch" not in sys.modules
"""

WITHOUT_EXTRAS = """
import airloom

for name in ("dynamo_export", "capture", "verify", "unsupported", "Program", "VerifyReport"):
    try:
        getattr(airloom, name)
    except ImportError as error:
        assert isinstance(error, airloom.MissingPackageError) and error.name == "torch"
        print(error)
try:
    from airloom import dynamo_export
except airloom.AirloomError as error:
    print(error)
try:
    airloom.load("one/mixed.air")
except airloom.RunError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder with the wheel, the exported files, and two environments: `full` has OpenVINO, `plain` has not."""
    if worker_id == "master":
        return prepared(tmp_path_factory.mktemp("wheel"))
    folder = tmp_path_factory.getbasetemp().parent / "wheel"
    with FileLock(folder.with_suffix(".lock")):
        return folder if (folder / "done").exists() else prepared(folder)


def prepared(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    meet = str(folder / "meet")
    ranks = [
        subprocess.Popen([sys.executable, "-c", EXPORT, str(rank), meet], cwd=folder, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    called(ROOT / "scripts" / "wheel.sh", folder / "dist", cwd=ROOT, env=dict(os.environ))
    wheel = wheel_of(folder)
    for name, packages in (("full", ("numpy", "numpy.libs", "openvino")), ("plain", ("numpy", "numpy.libs"))):
        place = folder / name
        venv.create(place, with_pip=False, system_site_packages=False)
        install = (
            sys.executable,
            "-m",
            "pip",
            "--python",
            place / "bin" / "python",
            "install",
            "--no-index",
            "--no-deps",
        )
        called(*install, "--no-compile", "--disable-pip-version-check", wheel, cwd=folder)
        for package in packages:
            (place / SITE / package).symlink_to(Path(np.__file__).parents[1] / package)
    errors = [process.communicate(timeout=240)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], "\n".join(errors)
    (folder / "done").touch()
    return folder


def wheel_of(folder: Path) -> Path:
    (wheel,) = (folder / "dist").glob("airloom-*.whl")
    return wheel


def called(*command: str | Path, cwd: Path, env: dict[str, str] | None = None, code: int = 0) -> tuple[str, str]:
    """Run a command, by default with nothing in its environment that points anywhere; return what it printed."""
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    done = subprocess.run(command, cwd=cwd, env=env or clean, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout, done.stderr


def libraries(place: Path, file: Path) -> dict[str, str]:
    """What the loader resolves: paths by name, the base left out."""
    out, _ = called("/usr/bin/ldd", file, cwd=place)
    rows = (line.strip().partition(" => ") for line in out.splitlines())
    found = {name.split(" (")[0]: os.path.normpath(path.split(" (")[0]) for name, _, path in rows}
    return {name: path for name, path in found.items() if not BASE.match(name)}


def test_requirements(shared: Path) -> None:
    with ZipFile(wheel_of(shared)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    always = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert [re.split(r"[^\w-]", line)[0] for line in always] == ["numpy"]
    assert set(metadata.get_all("Provides-Extra", [])) == {"torch", "run", "all"}


def test_load_with_numpy_alone(shared: Path) -> None:
    out, err = called(shared / "full" / "bin" / "python", "-c", LOAD, cwd=shared)
    assert err == ""
    ins = "x: float32[-1, 3], half: bfloat16[4], count: int64[2]"
    assert out.strip() == f"Session({ins}) -> (output0: float32[-1, 2], output1: bfloat16[4], output2: int64[2])"
    first, second, third = np.load(shared / "loaded.npz").values()
    assert [array.dtype.name for array in (first, second, third)] == ["float32", "uint16", "int64"]
    np.testing.assert_array_equal(first, np.repeat(np.arange(15).reshape(5, 3).sum(1, keepdims=True), 2, axis=1))
    np.testing.assert_array_equal((second.astype(np.uint32) << 16).view(np.float32), [2, -4, 1, 6])
    assert third.tolist() == [2**41, -6]


def test_command(shared: Path) -> None:
    command = shared / "full" / "bin" / "airloom"
    assert called(command, "validate", "one/mixed.air", cwd=shared)[1] == ""
    described = json.loads(called(command, "inspect", "one/mixed.air", "--json", cwd=shared)[0])
    assert [port["name"] for port in described["inputs"]] == ["x", "half", "count"]
    out, err = called(command, "run", "one/mixed.air", "--random", "--dim", "7", cwd=shared)
    assert (out.splitlines()[0], err) == ("output0: float32 [7, 2]", "")


def test_ranks(shared: Path) -> None:
    for rank in range(2):
        np.savez(shared / f"in{rank}.npz", np.full((2, 2), rank * 10, np.float32))
    files = ("mp/sum{}.air", "--inputs", "in{}.npz", "--outputs", "sum{}.npz")
    _, err = called(shared / "full" / "bin" / "airloom", "run", "--ranks", "2", *files, cwd=shared)
    assert err == ""
    for rank in range(2):
        (total,) = np.load(shared / f"sum{rank}.npz").values()
        np.testing.assert_array_equal(total, np.full((2, 2), 12, np.float32))


def test_without_the_extras(shared: Path) -> None:
    out, _ = called(shared / "plain" / "bin" / "python", "-c", WITHOUT_EXTRAS, cwd=shared)
    lines = out.splitlines()
    assert len(lines) == 16
    names = ("dynamo_export", "capture", "verify", "unsupported", "Program", "VerifyReport", "dynamo_export")
    assert lines[:14:2] == [f"airloom.{name} needs PyTorch, which is not installed" for name in names]
    assert set(lines[1:14:2]) == {"  do: pip install 'airloom[torch]'"}
    assert "libopenvino" in lines[14]
    assert "pip install 'airloom[run]'" in lines[15]

    command = shared / "plain" / "bin" / "airloom"
    called(command, "validate", "one/mixed.air", cwd=shared)
    assert "mixed" in called(command, "inspect", "one/mixed.air", cwd=shared)[0]
    assert "--ranks" in called(command, "run", "--help", cwd=shared)[0]
    _, err = called(command, "run", "one/mixed.air", "--random", cwd=shared, code=2)
    assert err.startswith("airloom: the CPU runtime is not available: libopenvino.so")
    assert "pip install 'airloom[run]'" in err


def test_every_library_is_inside(shared: Path) -> None:
    place = shared / "full"
    package = place / SITE / "airloom"
    # The carried libraries have no path of their own: what they need is found from the module that needs them.
    own = [place / "bin" / "airloom", *package.glob("_*.so"), *package.glob("libairloom_*.so")]
    assert {"_core", "_runtime", "libairloom_run"} <= {file.name.split(".")[0] for file in own}
    used = {name: path for file in own for name, path in libraries(place, file).items()}
    inside = (str(package), str(place / SITE / "openvino" / "libs"))
    assert {name: path for name, path in used.items() if not path.startswith(inside)} == {}
    carried = {file.name for file in package.glob("*.so*")} - {file.name for file in own}
    assert carried - set(used) == set(), "carried, and not needed"

    place = shared / "plain"
    for file in (place / "bin" / "airloom", *(place / SITE / "airloom").glob("_core*.so")):
        assert set(libraries(place, file).values()) <= {str(path) for path in (place / SITE / "airloom").iterdir()}
