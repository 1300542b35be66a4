"""A disk that fails, and memory that runs out: the end is that of an undisturbed run."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kills import Killer, assert_identical, seeded_kills
from tiny_study import Workflow

pytestmark = [pytest.mark.firedrake, pytest.mark.full]

DISK = Path(__file__).with_name("faulty_disk.py")
SYSTEM_PYTHON, MEMORY = Path("/usr/bin/python3"), Path("/sys/fs/cgroup/memory")
# Those in which a population, a network, an ascent and figures are made.
RULES = ["draw_population", "train_surrogate", "maximise_likelihoods", "plot_figures"]


@contextmanager
def faulty_disk(folder: Path, mounted: Path, control: Path) -> Iterator[None]:
    """Mount a folder through the program that makes calls fail."""
    if os.geteuid() != 0 or not Path("/dev/fuse").exists():
        pytest.skip("file systems in user space cannot be mounted here")
    has_library = [SYSTEM_PYTHON, "-c", "import fusepy"]
    if subprocess.run(has_library, capture_output=True).returncode != 0:
        install = ["apt-get", "install", "--yes", "--quiet", "python3-fusepy"]
        if subprocess.run(install, capture_output=True).returncode != 0:
            pytest.skip("Debian's package python3-fusepy cannot be installed here")
    folder.mkdir()
    mounted.mkdir()
    control.write_text("")
    disk = subprocess.Popen([SYSTEM_PYTHON, DISK, folder, mounted, control])
    try:
        while not mounted.is_mount():
            assert disk.poll() is None
            time.sleep(0.05)
        yield
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)
        disk.wait()


# The numbers of calls lie in different parts of the run, which makes some thousand of each.
@pytest.mark.parametrize(
    "fault",
    ["write 3", "write 900", "read 400", "rename 12", "fsync 5", "create 60", "open 1500"],
)
def test_a_disk_that_fails_for_a_time(untouched, tiny, tmp_path, fault):
    control = tmp_path / "control"
    with faulty_disk(tmp_path / "disk", tmp_path / "seen", control):
        workflow = Workflow(tmp_path / "seen", anew=True)
        workflow.configure(tiny)
        control.write_text(fault)
        done = workflow.run()
        failed = done.returncode != 0
        # Python reports the fault, or what it has left behind.
        assert failed == ("Input/output error" in done.stdout), done.stdout
        control.write_text("")
        if failed:
            workflow.printed("--unlock")
        workflow.printed("--rerun-incomplete")
        assert_identical(tmp_path / "seen", untouched.folder)
    print(f"{fault}: {'failed' if failed else 'not reached'}")


@contextmanager
def little_memory() -> Iterator[Path]:
    """Return a control group in which the kernel kills whatever asks for a megabyte."""
    group = MEMORY / f"popinv_{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text("1M")
    except OSError:
        pytest.skip("control groups of memory cannot be made here")
    try:
        yield group
    finally:
        while (group / "cgroup.procs").read_text():
            time.sleep(0.1)
        group.rmdir()


def test_the_kernel_kills_jobs_for_lack_of_memory(untouched, tiny, tmp_path):
    workflow = Workflow(tmp_path, anew=True)
    workflow.configure(tiny)
    with little_memory() as group:

        def starve(pid: int) -> None:
            (group / "cgroup.procs").write_text(str(pid))

        plan = seeded_kills(untouched.folder, RULES, seed=4)
        with Killer(tmp_path, plan, end=starve) as killer:
            for _ in range(len(RULES) + 1):
                done = workflow.run("--rerun-incomplete")
                if done.returncode == 0:
                    break
                assert "most often by the system for lack of memory" in done.stdout
        assert done.returncode == 0, done.stdout
        assert {kill.rule for kill in killer.killed} == set(RULES)
        kills = (group / "memory.oom_control").read_text()
        assert f"oom_kill {len(RULES)}" in kills, kills
    assert_identical(tmp_path, untouched.folder)
    shutil.rmtree(tmp_path / "results")
