"""The processes that execute notebooks: forked from one that has imported what they need, or started anew."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from carbon_midl.locks import next_holder
from carbon_midl.study import starter as starter_module
from carbon_midl.study.devices import Slot
from carbon_midl.study.execution import execute
from carbon_midl.study.starter import Starter
from carbon_midl.study.states import last_line

pytestmark = pytest.mark.slow

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every process is started anew")
WAYS = [pytest.param("linux", marks=LINUX), "elsewhere"]
TELL = """
import json, os, sys
from pathlib import Path
import pandas as pd
told = {
    "loaded": sorted(name for name in sys.modules if name.split(".")[0] in ("carbon_midl", "torch")),
    "place": os.environ["PLACE"], "cwd": os.getcwd(), "path": sys.path, "main": __name__,
    "arguments": sys.argv[1:2], "optimised": sys.flags.optimize, "x": x,
    "backend": os.environ["MPLBACKEND"], "columns": pd.get_option("display.max_columns"),
}
Path("run", "result.json").write_text(json.dumps(told))
"""
WAIT = """
import os, time
from pathlib import Path
Path("run", "kernel").write_text(str(os.getpid()))
time.sleep(300)
"""
COMPUTE = """
import numpy as np, torch
square = np.eye(400) + 0.1 * np.random.default_rng(0).random((400, 400))
assert np.allclose(np.linalg.inv(square) @ square, np.eye(400))
square = torch.from_numpy(square)
assert torch.allclose(torch.linalg.inv(square) @ square, torch.eye(400, dtype=square.dtype))
Path("run", "parent").write_text(str(os.getppid()))
"""


class Asked(Exception):
    """The run is to be stopped."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Start processes as on this system."""
    monkeypatch.setattr(starter_module, "PLATFORM", request.param)
    return str(request.param)


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    with Starter(tmp_path, Slot("here", {"PLACE": "here"})) as made:
        yield made


def notebook(root: Path, code: str, kernel: str = "python3") -> Path:
    cells = [nbformat.v4.new_code_cell("x = 0", metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(code)]
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), root / "notebook.ipynb")
    return root / "notebook.ipynb"


def executed(starter: Starter, code: str = TELL, kernel: str = "python3") -> dict[str, Any]:
    """Execute it, and return what it told."""
    run = starter.root / "run"
    assert execute(notebook(starter.root, code, kernel), run, {"x": 5}, lambda: None, starter), last_line(run)
    return dict(json.loads((run / "result.json").read_text()))


def kernel_of(starter: Starter) -> psutil.Process:
    """The kernel of a run that waits, once it does."""
    path = starter.root / "run" / "kernel"
    while not path.exists() or not path.read_text():
        time.sleep(0.05)
    return psutil.Process(int(path.read_text()))


@pytest.mark.usefixtures("way")
def test_a_notebook_finds_the_same_whichever_way(starter: Starter) -> None:
    told = executed(starter)
    assert told == {
        "loaded": told["loaded"],
        "path": told["path"],
        "place": "here",
        "cwd": str(starter.root),
        "main": "__main__",
        "arguments": ["-f"],
        "optimised": 0,
        "x": 5,
        "backend": "module://matplotlib_inline.backend_inline",
        "columns": 20,
    }
    assert "" in told["path"]
    assert str(starter.root) not in told["path"]
    # Torch may be there, this package never: a run imports it as it is then.
    assert not [name for name in told["loaded"] if name.startswith("carbon_midl")]


@LINUX
def test_torch_is_imported_once_and_works_in_each_run(starter: Starter) -> None:
    code = TELL + COMPUTE
    pids = set()
    for _ in range(2):
        assert "torch" in executed(starter, code)["loaded"]
        pids.add((starter.root / "run" / "parent").read_text())
    assert len(pids) == 2  # each run has a papermill of its own


@pytest.mark.usefixtures("way")
def test_what_is_drawn_without_a_seed_differs_from_run_to_run(starter: Starter) -> None:
    draw = "(__import__('numpy').random.random(), __import__('torch').rand(1).item(), __import__('random').random())"
    first, second = (executed(starter, TELL.replace('"x": x', f'"x": {draw}'))["x"] for _ in range(2))
    assert all(one != other for one, other in zip(first, second, strict=True))


@pytest.mark.usefixtures("way")
def test_a_program_that_a_notebook_starts_does_not_hold_the_lock(starter: Starter) -> None:
    lock = starter.root / "lock"
    # In a session of its own, or it would end with the kernel.
    code = "import os\nos.system('setsid sleep 300 &')\n" + WAIT

    def poll() -> None:
        if (starter.root / "run" / "kernel").exists():
            raise Asked

    with next_holder(lock) as held:
        with pytest.raises(Asked):
            execute(notebook(starter.root, code), starter.root / "run", {}, poll, starter, held)
        sleeping = [one for one in psutil.process_iter() if one.name() == "sleep" and _works_in(one, starter.root)]
    assert sleeping
    try:
        with next_holder(lock, _refuse):
            pass
    finally:
        for process in sleeping:
            process.kill()


@LINUX
def test_the_package_is_taken_as_it_is_when_a_run_starts(tmp_path: Path) -> None:
    package = tmp_path / "carbon_midl"
    (package / "study").mkdir(parents=True)
    source = Path(starter_module.__file__).parent
    for name in ("__init__.py", "fork_server.py", "spare_kernel.py", "papermill_run.py"):
        (package / "study" / name).write_text((source / name).read_text())
    (package / "__init__.py").write_text("VERSION = 1")
    tell = TELL.replace('"x": x', '"x": __import__("carbon_midl").VERSION')
    with Starter(tmp_path, Slot("here", {"PLACE": "here", "PYTHONPATH": str(tmp_path)})) as starter:
        assert executed(starter, tell)["x"] == 1
        (package / "__init__.py").write_text("VERSION = 'edited'")
        assert executed(starter, tell)["x"] == "edited"


@pytest.mark.usefixtures("way")
def test_a_kernel_of_another_kind_is_started_as_it_says(tmp_path: Path) -> None:
    kernel = tmp_path / "jupyter" / "kernels" / "other"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-O", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": command, "display_name": "Other", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(specification))
    environment = {"PLACE": "here", "JUPYTER_PATH": str(kernel.parents[1])}
    with Starter(tmp_path, Slot("here", environment)) as starter:
        assert executed(starter, kernel="other")["optimised"] == 1
        del command[1]
        (kernel / "kernel.json").write_text(json.dumps(specification | {"env": {"PYTHONOPTIMIZE": "2"}}))
        assert executed(starter, kernel="other")["optimised"] == 2


@pytest.mark.usefixtures("way")
def test_a_failing_notebook_says_why_and_the_next_one_runs(starter: Starter) -> None:
    run = starter.root / "run"
    assert not execute(notebook(starter.root, "raise ValueError('no luck')"), run, {}, lambda: None, starter)
    assert last_line(run) == "ValueError: no luck"
    assert executed(starter)["x"] == 5


@pytest.mark.usefixtures("way")
def test_a_stopped_run_leaves_no_process(starter: Starter) -> None:
    def poll() -> None:
        if (starter.root / "run" / "kernel").exists():
            raise Asked

    with pytest.raises(Asked):
        execute(notebook(starter.root, WAIT), starter.root / "run", {}, poll, starter)
    assert not psutil.pid_exists(int((starter.root / "run" / "kernel").read_text()))


@LINUX
def test_a_run_can_be_stopped_while_torch_is_imported(starter: Starter) -> None:
    def poll() -> None:
        raise Asked

    with pytest.raises(Asked):
        execute(notebook(starter.root, WAIT), starter.root / "run", {}, poll, starter)
    assert not (starter.root / "run" / "kernel").exists()


@pytest.mark.usefixtures("way")
def test_a_run_that_another_thread_waits_for_is_left_to_it(tmp_path: Path) -> None:
    # As where Ctrl-C is pressed twice: the second time, while a kernel saves its training.
    starter, results = Starter(tmp_path, Slot("here")), []

    def make() -> None:
        results.append(execute(notebook(tmp_path, WAIT), tmp_path / "run", {}, lambda: None, starter))

    with starter:
        thread = threading.Thread(target=make)
        thread.start()
        kernel = kernel_of(starter)
    time.sleep(1)
    assert kernel.is_running()
    assert thread.is_alive()
    kernel.kill()
    thread.join(60)
    assert results == [False]


@LINUX
def test_runs_are_made_where_ends_of_processes_are_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with Starter(tmp_path, Slot("here", {"PLACE": "here"})) as starter:
            assert executed(starter)["x"] == 5
    finally:
        signal.signal(signal.SIGCHLD, before)


@LINUX
def test_a_run_whose_server_is_killed_says_so_and_the_next_one_runs(starter: Starter) -> None:
    run = starter.root / "run"

    def poll() -> None:
        if (run / "kernel").exists():
            papermill = kernel_of(starter).parent()
            server = None if papermill is None else papermill.parent()
            if server is not None and server.name() == "midl-server":
                server.kill()

    assert not execute(notebook(starter.root, WAIT), run, {}, poll, starter)
    assert "'midl-server', from which runs are started, has ended" in last_line(run)
    assert not psutil.pid_exists(int((run / "kernel").read_text()))
    assert executed(starter)["x"] == 5  # started anew
    assert executed(starter)["x"] == 5  # from another server


@pytest.mark.usefixtures("way")
def test_a_kernel_ends_with_its_papermill(tmp_path: Path) -> None:
    text = (
        "import sys\nfrom pathlib import Path\nfrom carbon_midl.study.devices import Slot\n"
        "from carbon_midl.study import starter\nfrom carbon_midl.study.execution import execute\n"
        f"starter.PLATFORM = {starter_module.PLATFORM!r}\nroot = Path({str(tmp_path)!r})\n"
        "with starter.Starter(root, Slot('')) as made:\n"
        "    execute(root / 'notebook.ipynb', root / 'run', {}, lambda: None, made)\n"
    )
    notebook(tmp_path, WAIT)
    runner = subprocess.Popen([sys.executable, "-c", text], start_new_session=True)
    kernel = kernel_of(Starter(tmp_path, Slot("")))
    parent = kernel.parent()
    assert parent is not None
    runner.kill()
    runner.wait()
    assert kernel.is_running()  # the run goes on
    parent.kill()
    kernel.wait(timeout=30)
    deadline = time.monotonic() + 30
    while servers := [one for one in psutil.process_iter() if _works_in(one, tmp_path)]:
        assert time.monotonic() < deadline, servers
        time.sleep(0.1)


@LINUX
def test_what_is_imported_ahead_does_nothing_yet() -> None:
    text = (
        "import json, os, sys\nfrom carbon_midl.study import fork_server\nfork_server._import()\nimport torch\n"
        "own = [name for name in sys.modules if name.split('.')[0] == 'carbon_midl']\n"
        "print(json.dumps([own, torch.cuda.is_initialized(), 'ipykernel.kernelapp' in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    own, cuda, kernelapp = json.loads(found.stdout)
    assert own == ["carbon_midl", "carbon_midl.study", "carbon_midl.study.fork_server"]
    assert not cuda  # a fork could not use the GPU
    assert not kernelapp  # it would not end with its papermill


def _refuse() -> None:
    raise AssertionError("the lock is held")


def _works_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return process.cwd() == str(directory)
    except psutil.Error:
        return False
