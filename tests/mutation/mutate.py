"""Mutation testing: change one thing in a copy of the package, and see whether a test fails.

    python tests/mutation/mutate.py [--number 200] [--seed 1] [--part transport] [--module ...] ...

Mutants are drawn at random from all parts together. Each is met by the tests of the default tier
that call the changed function, the quickest first. Which these are is found out by one run of the
tests over a copy whose modules note what is called in them; ``tests/record.json`` says which files
it needs. A test that calls the function through a subprocess is not among them. With ``--full`` the
mutants that were not noticed are then met by the tests of the full tier, those of the files first
in which a test of the default tier calls the function. The report gives the share that was noticed,
with its 95 % interval by Clopper and Pearson, without the mutants that compute the same by
``equivalent.json``.

What was done is kept in ``build/mutation``, and a further call goes on from there. The last line of
``mutants.jsonl`` for a mutant counts. The calls are recorded anew if a test or a module changes.

mutmut leaves out decorated functions, and so all that Numba compiles. cosmic-ray starts Python,
torch and Numba anew for each mutant, has one command for all tests and does not draw samples. Here
each mutant is tested in a fork of a process that has loaded the libraries already.
"""

from __future__ import annotations

import os

# Before the libraries are loaded.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import compileall
import hashlib
import importlib
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import pytest
from mutants import MARKS, Mutant, marked, mutants
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from reach import Reach
from reach import read as reach_of_files

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
RESULTS = ROOT / "build/mutation"
# Mutants that compute the same, and why, by their names.
EQUIVALENT = Path(__file__).with_name("equivalent.json")
# From a table to an answer, and what is asked of it. The tests of a part have its name.
PARTS = {
    **{
        name: f"popinv/{name}"
        for name in (
            *("additions", "api", "baselines", "evidence", "forward", "inference", "judgement"),
            *("methods", "observation_files", "planning", "population", "store", "surrogate"),
            "transport",
        )
    },
    "models": "popinv_models",
}
LIBRARIES = ["numba", "scipy.stats", "scipy.optimize", "torch", "xarray", "pydantic", "hypothesis"]
# A mutant that its tests have not noticed after so many seconds of tests is a survivor.
LONGEST, LONGEST_FULL = 120.0, 1800.0
PROCESSES = os.cpu_count() or 1
OPTIONS = ["-q", "-x", "-p", "no:cacheprovider"]
# The exit status of a fork in which pytest did not even begin.
_FAILED = 70


def in_fork(work: Callable[[], int], seconds: float, log: Path) -> int | None:
    """Return the exit status of ``work`` in a process of its own, or None if it takes too long."""
    child = os.fork()
    if child == 0:
        os.setsid()
        status = _FAILED
        try:
            with log.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
                status = int(work())
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def at_once(work: Callable[[int], int]) -> list[int]:
    """Return what ``work`` answers in as many processes, each of which is told its number."""
    children = []
    for share in range(PROCESSES):
        child = os.fork()
        if child == 0:
            status = _FAILED
            try:
                status = int(work(share))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        children.append(child)
    found = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if _FAILED in found:
        raise SystemExit("a part of the work failed, as is said above")
    return found


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def add(path: Path, records: list[dict]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


class Copy:
    """A copy of the packages in a temporary folder, in which one module at a time is changed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.source = folder, folder / "src"
        for package in sorted({place.split("/")[0] for place in PARTS.values()}):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(SOURCE / package, self.source / package, ignore=ignored)
        # Python compiles a module anew if its time differs, as that of a changed one does.
        compileall.compile_dir(self.source, quiet=1)
        self.log = folder / "log.txt"

    def run(self, arguments: list[str], seconds: float, record: Path | None = None) -> int | None:
        """Return pytest's exit status, and add what each test calls to ``record``."""

        def work() -> int:
            sys.dont_write_bytecode = True
            # Loading what is installed beside pytest takes twice as long as all else.
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
            sys.path.insert(0, str(self.source))
            os.environ |= {"PYTHONPATH": str(self.source), "PYTHONDONTWRITEBYTECODE": "1"}
            os.environ["POPINV_CACHE"] = str(self.folder / "cache")
            # A result that tests share is that of the changed code.
            shutil.rmtree(self.folder / "cache/tests", ignore_errors=True)
            import popinv

            assert Path(popinv.__file__).is_relative_to(self.source), popinv.__file__
            marks = Marks() if record else None
            status = pytest.main([*OPTIONS, *arguments], plugins=[marks] if marks else [])
            if marks:
                add(record, marks.lines())
            return int(status)

        return in_fork(work, seconds, self.log)


class Marks(Reach):
    """A plugin that notes which marked functions each test calls."""

    @contextmanager
    def _noted(self, codes: set[str]) -> Iterator[None]:
        marks = importlib.import_module(MARKS)
        outer, marks.called = marks.called, codes
        try:
            yield
        finally:
            marks.called = outer

    def lines(self) -> list[dict]:
        """Return a record for each test: seconds, and the functions that it calls."""
        seconds = {test: round(own, 3) for test, own in self.seconds.items()}
        return [
            {"test": test, "seconds": seconds[test], "calls": sorted(names)}
            for test, names in self.calls.items()
        ]


def watched(modules: set[str]) -> set[str]:
    """Return some modules and the neighbours of those that Numba compiles."""
    files = {SOURCE / module for module in modules}
    for file in [file for file in files if "@njit" in file.read_text()]:
        files |= set(file.parent.glob("*.py"))
    return {str(file.relative_to(SOURCE)) for file in files}


def files_that_enter(modules: set[str]) -> list[str]:
    """Return the files of tests that enter some modules, and those that were never recorded."""
    wanted, record = watched(modules), reach_of_files()
    files = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "tests").rglob("test_*.py"))
    return [f for f in files if f not in record or wanted & set(record[f]["enters"])]


def calls(modules: set[str]) -> list[dict]:
    """Return what each test calls of some modules, by a run of the tests that enter them."""
    files = files_that_enter(modules)
    digest = hashlib.sha256()
    for file in [*(SOURCE / module for module in sorted(modules)), *(ROOT / f for f in files)]:
        digest.update(file.read_bytes())
    kept = RESULTS / f"calls-{digest.hexdigest()[:12]}.jsonl"
    if not kept.exists():
        found = kept.with_suffix(".part")
        found.unlink(missing_ok=True)

        def run(share: int) -> int:
            with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
                copy = Copy(Path(folder))
                (copy.source / f"{MARKS}.py").write_text("called = set()\n")
                for module in watched(modules):
                    source = (SOURCE / module).read_text()
                    (copy.source / module).write_text(marked(module, source))
                options = [*files[share::PROCESSES], "-m", "not full", "--maxfail=1000"]
                status = copy.run(options, 7200, record=found)
                print(f"recorded {len(options) - 3} files, status {status}", flush=True)
                print(copy.log.read_text()[-300:])
            return status in (0, 1)

        if not all(at_once(run)):
            raise SystemExit("the tests could not be run")
        found.rename(kept)
    return sorted(read(kept), key=lambda test: test["seconds"])


def chosen_tests(module: str, mutant: Mutant, record: list[dict]) -> list[str]:
    """Return the tests that reach a mutant, the quickest first."""
    if mutant.compiled:
        # Python does not see calls of compiled functions.
        place = f"{Path(module).parent}/"
    elif mutant.function:
        place = f"{module}:{mutant.function}:"
    else:
        place = f"{module}:"
    tests, seconds = [], 0.0
    for test in record:
        if any(f"{call}:".startswith(place) for call in test["calls"]):
            tests.append(test["test"])
            seconds += test["seconds"]
            if seconds > LONGEST:
                break
    return tests


def sample(
    parts: list[str], modules: str, number: int, seed: int = 0
) -> list[tuple[str, str, Mutant]]:
    """Return (part, module, mutant) of a random sample."""
    every = []
    for part in parts:
        for file in sorted((SOURCE / PARTS[part]).rglob("*.py")):
            module = str(file.relative_to(SOURCE))
            if fnmatch(module, modules):
                every += [(part, module, mutant) for mutant in mutants(file.read_text())]
    random.Random(seed).shuffle(every)
    print(f"{min(number, len(every))} of {len(every)} mutants")
    return every[:number]


def meet(copy: Copy, module: str, mutant: Mutant, arguments: list[str], seconds: float) -> str:
    """Return what tests make of a mutant."""
    file = copy.source / module
    file.write_text(mutant.apply((SOURCE / module).read_text()))
    try:
        status = copy.run(arguments, seconds)
    finally:
        shutil.copy2(SOURCE / module, file)
    log = copy.log.read_text()
    if status == 5:
        # None of the tests belongs to the full tier.
        return "unreached"
    # A module that cannot be imported has no tests, which pytest takes for a wrong command.
    wrong = status == 4 and "found no collectors" not in log
    if wrong or status in (3, _FAILED):
        raise SystemExit(f"{log[-2000:]}\n{module}: pytest neither passed nor failed ({status})")
    return {0: "survived", None: "timeout"}.get(status, "killed")


def met_by_default(copy: Copy, module: str, mutant: Mutant, record: list[dict]) -> dict:
    """Return what the tests of the default tier make of a mutant."""
    tests, begun, outcome = chosen_tests(module, mutant, record), time.monotonic(), "unreached"
    if tests:
        expected = sum(test["seconds"] for test in record if test["test"] in set(tests))
        outcome = meet(copy, module, mutant, tests, 60 + 5 * min(expected, LONGEST))
    return {"outcome": outcome, "tests": len(tests), "seconds": round(time.monotonic() - begun, 1)}


def met_by_full(copy: Copy, module: str, mutant: Mutant, record: list[dict]) -> dict:
    """Return what the tests that belong to the full tier alone make of a mutant."""
    near = {test.partition("::")[0] for test in chosen_tests(module, mutant, record)}
    # Then those of the module's own part.
    part = next(part for part, place in PARTS.items() if module.startswith(f"{place}/"))
    files = files_that_enter({module})
    files.sort(key=lambda name: (name not in near, not name.startswith(f"tests/{part}/")))
    arguments = [*(str(ROOT / name) for name in files), "-m", "full"]
    outcome = meet(copy, module, mutant, arguments, LONGEST_FULL) if files else "unreached"
    # Tests that take too long do not say that anything is wrong.
    return {"full": "survived" if outcome == "timeout" else outcome}


def key(module: str, mutant: Mutant) -> str:
    text = f"{(SOURCE / module).read_text()}\0{mutant.start}\0{mutant.end}\0{mutant.after}"
    return f"{module}:{mutant.line}:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def change(record: dict) -> str:
    """Return the name of a change that outlives changes of other lines.

    A number follows if the same change can be made at several places of the function.
    """
    module, place = record["mutant"].split(":")[0], record.get("place")
    what = f"{module}:{record['function']}: {record['before']} -> {record['after']}"
    return f"{what} ({place})" if place else what


def places(module: str) -> dict[tuple[int, str], int]:
    """Return, for each change of a module by its start and text, which of its like it is.

    It is 0 where there is no other in the function, and otherwise counted from 1.
    """
    every = mutants((SOURCE / module).read_text())
    alike = defaultdict(list)
    for mutant in every:
        alike[mutant.function, mutant.before, mutant.after].append(mutant)
    return {
        (mutant.start, mutant.after): number if len(group) > 1 else 0
        for group in alike.values()
        for number, mutant in enumerate(group, 1)
    }


def report(records: dict[str, dict]) -> None:
    """Print the outcomes by part, the shares that were noticed, and what was not."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for record in records.values():
        counts[record["part"]][record["outcome"]] += 1
    outcomes = ["killed", "timeout", "survived", "unreached"]
    print(f"{'part':18}" + "".join(f"{name:>11}" for name in ["mutants", *outcomes]))
    for part, count in sorted(counts.items()):
        print(f"{part:18}{count.total():11}" + "".join(f"{count[name]:11}" for name in outcomes))
    same = json.loads(EQUIVALENT.read_text())
    judged = {name: record for name, record in records.items() if change(record) not in same}
    print(f"equivalent: {len(records) - len(judged)}")
    missed = {name: each for name, each in judged.items() if is_missed(each)}
    share("noticed by the default tier", len(judged) - len(missed), len(judged))
    if any("full" in each for each in missed.values()):
        caught = sum(each.get("full") == "killed" for each in missed.values())
        share("noticed by both tiers", len(judged) - len(missed) + caught, len(judged))
    for name, record in sorted(missed.items()):
        by_full = f", full tier: {record['full']}" if "full" in record else ""
        print(f"{record['outcome']} {name}{by_full}\n    {record['before']}\n    {record['after']}")


def share(told: str, noticed: int, judged: int) -> None:
    """Print a share with its interval."""
    if judged:
        ends = binomtest(noticed, judged).proportion_ci(0.95)
        interval = f"{noticed / judged:.1%} ({ends.low:.1%} to {ends.high:.1%})"
        print(f"{told}: {noticed} of {judged}, {interval}")


def is_missed(record: dict) -> bool:
    """Return whether the default tier has not noticed a mutant."""
    return record["outcome"] in ("survived", "unreached")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    parser.add_argument("--module", default="*", help="such as 'popinv/inference/integrate/*'")
    parser.add_argument("--number", type=int, default=200, help="mutants of all parts")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--survivors", action="store_true", help="try the survivors again")
    parser.add_argument("--full", action="store_true", help="meet the survivors by the full tier")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    RESULTS.mkdir(parents=True, exist_ok=True)
    for library in LIBRARIES:
        importlib.import_module(library)
    kept = RESULTS / "mutants.jsonl"
    chosen = sample(
        arguments.part or list(PARTS), arguments.module, arguments.number, arguments.seed
    )
    record, same = calls({module for _, module, _ in chosen}), json.loads(EQUIVALENT.read_text())

    def work(share: int) -> int:
        """Meet the own share of the mutants."""
        records = {each["mutant"]: each for each in read(kept)}
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            copy = Copy(Path(folder))
            for part, module, mutant in chosen[share::PROCESSES]:
                if time.monotonic() > end:
                    break
                name = key(module, mutant)
                known = records.get(name)
                if known is None or (is_missed(known) and arguments.survivors):
                    place = places(module)[mutant.start, mutant.after]
                    what = {"mutant": name, "part": part, "function": mutant.function}
                    what |= {"place": place, "before": mutant.before, "after": mutant.after}
                    known = what | met_by_default(copy, module, mutant, record)
                    add(kept, [known])
                    print(f"{known['outcome']:9} {name}", flush=True)
                wanted = arguments.full and is_missed(known) and change(known) not in same
                if wanted and "full" not in known:
                    known |= met_by_full(copy, module, mutant, record)
                    add(kept, [known])
                    print(f"{known['full']:9} {name} by the full tier", flush=True)
        return 0

    at_once(work)
    records = {each["mutant"]: each for each in read(kept)}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{used.ru_utime + used.ru_stime:.0f} s of processor time")
    drawn = {key(module, mutant) for _, module, mutant in chosen}
    report({name: record for name, record in records.items() if name in drawn})


if __name__ == "__main__":
    main()
