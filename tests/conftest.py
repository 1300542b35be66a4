"""What every test shares."""

from __future__ import annotations

import copy
import gc
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import preloaded
import pytest
import reach
from filelock import FileLock
from fitted import kept
from hypothesis import settings
from processor_time import OVER, ProcessorTime
from tiny_study import ROOT, TINY, Workflow

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Before NumPy, torch and Firedrake read them: results are compared bit for bit in places.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

# The files of tests are many and small; where memory has room for them, none waits for a disk.
_MEMORY = Path("/dev/shm")
if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 4e9:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# The same examples in every run: a test fails for what was changed, not by the luck of a draw.
settings.register_profile("popinv", derandomize=True, deadline=None, database=None)
settings.load_profile("popinv")

_BEGUN = time.monotonic()
CHROMIUM = shutil.which("chromium")


# Cells of the tables of combinations whose tests have passed, by table.
_PASSED: dict[str, list[str]] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the file of the tables of combinations."""
    text = "write the combinations whose tests have passed to a file (without -n)"
    parser.addoption("--passed", metavar="FILE", type=Path, help=text)
    text = "write the processor seconds of each function to a file"
    parser.addoption("--seconds", metavar="FILE", type=Path, help=text)
    text = "write what each file of tests takes and enters to tests/record.json"
    parser.addoption("--record", action="store_true", help=text)
    text = "run the files of tests that concern what has changed since a commit, or since `full`"
    parser.addoption("--changed", metavar="COMMIT", help=text)
    text = "begin no test after so many minutes"
    parser.addoption("--minutes", metavar="NUMBER", type=float, help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Measure the processor time of each test, and prepare what its processes share."""
    config.pluginmanager.register(times := ProcessorTime(config), "processor_time")
    recording = config.getoption("--record")
    if not hasattr(config, "workerinput"):
        if recording:
            os.environ[reach.FOLDER] = tempfile.mkdtemp(prefix="popinv-reach-")
            config.add_cleanup(lambda: reach.write(Path(os.environ[reach.FOLDER]), times.files()))
        config.add_cleanup(preloaded.begin())
    if recording:
        config.pluginmanager.register(reach.Recording())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the files of tests that a change does not concern."""
    commit = config.getoption("--changed")
    if commit:
        files = {item.nodeid.partition("::")[0] for item in items}
        full = commit == "full"
        left = reach.concerned_in_full(files) if full else reach.concerned(commit, files)
        items[:] = [item for item in items if item.nodeid.partition("::")[0] in left]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin no test after the time that was given."""
    minutes = item.config.getoption("--minutes")
    if minutes is not None and time.monotonic() - _BEGUN > 60 * minutes:
        pytest.skip(f"{OVER}: {minutes:g} minutes")


@pytest.fixture(scope="session")
def passes() -> Callable[[str, object], None]:
    """Return what a test says at its end: the table and the cell that it has tested."""
    return lambda table, cell: _PASSED.setdefault(table, []).append(str(cell))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the cells that have passed, where those of other tables stay, and what is concluded."""
    config = session.config
    if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and config.getoption("--changed"):
        # Nothing has changed that a test concerns.
        session.exitstatus = pytest.ExitCode.OK
    asked, here = config.option, not hasattr(config, "workerinput")
    whole = asked.markexpr in ("", "full") and not asked.keyword and not asked.maxfail
    ended = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if here and whole and ended and not any("::" in name for name in config.args):
        reach.note_full_tier(config.pluginmanager.get_plugin("processor_time").files())
    file = config.getoption("--passed")
    if file is not None:
        before = json.loads(file.read_text()) if file.exists() else {}
        lines = [
            f'"{name}": [\n' + ",\n".join(f'  "{cell}"' for cell in sorted(cells)) + "\n]"
            for name, cells in sorted((before | _PASSED).items())
        ]
        file.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def pytest_collection_finish() -> None:
    """Keep modules and tests, which stay to the end, out of each search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    """Forget the user's modules that a test has imported into this process."""
    before = list(sys.path)
    yield
    if sys.path == before:
        return
    folders = tuple(os.path.join(each, "") for each in {*sys.path} - {*before})
    sys.path[:] = before
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(folders):
            del sys.modules[name]


@pytest.fixture(scope="session")
def forking() -> None:
    """Start the process that forks, so that its imports do not count for one test."""
    preloaded.started()


@pytest.fixture(scope="session")
def arviz() -> Any:
    """Return ArviZ, which writes a file of its own when it is first imported on a day.

    Two processes that write it at once do not both go on.
    """
    import matplotlib

    matplotlib.use("Agg")
    with FileLock(Path(os.environ[preloaded.FOLDER], "arviz")):
        return pytest.importorskip("arviz")


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run a test in an empty folder of its own, and return the folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=["pretended", "cuda"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run a test on a GPU that is pretended, and on a real one where torch finds one.

    ``device="cuda"`` means that GPU as long as the test lasts.
    """
    # Imported here: most tests do without torch.
    import torch
    from pretended_gpu import GPU, Elsewhere, pretended_gpu

    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("torch finds no GPU")
        yield Elsewhere(torch.device("cuda"))
        return
    # What is stored is loaded by a function that imports the module `device` on use.
    for module in ("training_problem", "device"):
        monkeypatch.setattr(
            f"popinv.surrogate.{module}.device_of",
            lambda asked: torch.device("cpu") if asked == "cpu" else GPU,
        )
    with pretended_gpu():
        yield Elsewhere(GPU)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return Debian's Chromium, without a window."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    # Its sandbox refuses to run as root, as in a container.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


# --- the tiny study, run once for all tests ------------------------------------------------------


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Return a copy of the tiny configuration."""
    return copy.deepcopy(TINY)


@pytest.fixture(scope="session")
def untouched() -> Workflow:
    """Return the workflow after a whole run of the tiny study, for tests that only read it."""

    def run(folder: Path) -> None:
        folder.mkdir()
        made = Workflow(folder)
        made.configure(TINY)
        done = made.run()
        assert done.returncode == 0, done.stdout

    # What Snakemake records has the place of the sources.
    return Workflow(kept("tiny", run, TINY, ROOT))


@pytest.fixture(scope="session")
def finished(untouched: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """Return a copy of it, to which the tests of this process add what they ask for."""
    copied = tmp_path_factory.mktemp("tiny") / "study"
    shutil.copytree(untouched.folder, copied)
    return Workflow(copied)
