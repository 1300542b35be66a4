"""Killing jobs of a running workflow, and comparing what is left with an undisturbed run."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from popinv.cli.unlock import rule_of
from popinv.store import storage
from popinv.workflow.preloaded import SCRIPT

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Kill:
    """One kill of one job of a rule.

    Parameters
    ----------
    rule : str
    cpu_seconds : float
        When the job's process has used so much processor time.
    once : Path, optional
        Not before this is there.
    """

    rule: str
    cpu_seconds: float = 0.0
    once: Path | None = None


def scripts(folder: Path) -> dict[int, str]:
    """Return the Python processes that run the rules' scripts in a folder, with their rules."""
    names = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            forked = (entry / "comm").read_text().strip() == SCRIPT
            opened = [os.readlink(file) for file in (entry / "fd").iterdir()] if forked else words
            script = next((file for file in opened if "/.snakemake/scripts/" in file), None)
            if script is not None and os.path.samefile(entry / "cwd", folder):
                names[int(entry.name)] = rule_of(Path(script))
    return names


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class Killer(threading.Thread):
    """Kills jobs in a folder by a plan; ``with`` starts it and ends it.

    ``end`` receives the process that is to end.
    """

    def __init__(self, folder: Path, plan: list[Kill], end: Callable[[int], None] = kill) -> None:
        super().__init__(daemon=True)
        self.folder, self.plan, self.end = folder, list(plan), end
        self.killed: list[Kill] = []
        self._finished = threading.Event()

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self.join()

    def run(self) -> None:
        while not self._finished.wait(0.01):
            for pid, rule in scripts(self.folder).items():
                due = next((kill for kill in self.plan if kill.rule == rule), None)
                if due is not None and (due.once is None or due.once.exists()):
                    with contextlib.suppress(OSError):
                        if cpu_seconds(pid) >= due.cpu_seconds:
                            self.end(pid)
                            self.plan.remove(due)
                            self.killed.append(due)
                            time.sleep(0.2)  # until it is gone


def seeded_kills(finished: Path, rules: list[str], seed: int, most: float = 0.5) -> list[Kill]:
    """Return a kill for each rule, at a random share of what a job of it took undisturbed."""
    rng = np.random.default_rng(seed)
    plan = []
    for rule in rules:
        files = (finished / "results/tiny/benchmarks").glob(f"{rule}.*tsv")
        taken = []
        for file in files:
            with file.open(newline="") as lines:
                taken.append(float(next(csv.DictReader(lines, delimiter="\t"))["cpu_time"]))
        plan.append(Kill(rule, most * rng.random() * min(taken)))
    return plan


def assert_same_results(actual: Path, expected: Path, stores: Iterable[str]) -> None:
    """Assert that stores of the tiny study have the numbers of an undisturbed run."""
    for name in stores:
        ours, theirs = (
            storage.load(folder / "results/tiny" / name) for folder in (actual, expected)
        )
        assert set(ours.variables) == set(theirs.variables), name
        for variable in theirs.variables:
            np.testing.assert_array_equal(
                ours[variable].values, theirs[variable].values, err_msg=f"{name}: {variable}"
            )
    assert not list((actual / "results").rglob("*.partial"))
    assert not list((actual / "results/.checkpoints").rglob("*.zarr.zip"))


def assert_identical(actual: Path, expected: Path) -> None:
    """Assert that everything but logs and times is that of the undisturbed run, byte for byte."""
    left, right = (folder / "results/tiny" for folder in (actual, expected))
    stores = sorted(str(path.relative_to(right)) for path in right.rglob("*.zarr.zip"))
    assert len(stores) > 20
    assert_same_results(actual, expected, stores)
    for name in stores:
        assert storage.load(left / name).attrs == storage.load(right / name).attrs, name
    for file in (right / "metrics.json", *sorted((right / "figures").iterdir())):
        assert (left / file.relative_to(right)).read_bytes() == file.read_bytes(), file
