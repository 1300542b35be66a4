"""Mutation testing: change one thing in a copy of the package, and see whether a test fails.

    python tests/mutation/mutate.py [--number 200] [--seed 1] [--part transport] [--module ...] ...

Mutants are drawn at random from all parts together. Each is met by the tests of the default tier
that call the changed function, the quickest first; ``tests/record.json`` says which files these are
among, and what each of their tests calls is recorded first. A test that calls it through a
subprocess is not among them. With ``--full`` the mutants that were not noticed are then met by the
tests of the full tier in these files. The report gives the share that was noticed, with its 95 %
interval by Clopper and Pearson, without the mutants that compute the same by ``equivalent.json``.

What was done is kept in ``build/mutation``, and a further call goes on from there. The last line of
``mutants.jsonl`` for a mutant counts. The calls of a test file are recorded anew if it has changed;
after a change of the package that moves calls, delete ``build/mutation/calls``.

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
from collections import Counter, defaultdict
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest
from mutants import Mutant, mutants
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from reach import Reach
from reach import read as reach_of_files

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src/popinv"
RESULTS = ROOT / "build/mutation"
# Mutants that compute the same, and why, by their names.
EQUIVALENT = Path(__file__).with_name("equivalent.json")
# From a table to an answer, and what is asked of it.
PARTS = (
    *("additions", "api", "baselines", "evidence", "forward", "inference", "judgement", "methods"),
    *("observation_files", "planning", "population", "store", "surrogate", "transport"),
)
LIBRARIES = ["numba", "scipy.stats", "scipy.optimize", "torch", "xarray", "pydantic", "hypothesis"]
# A mutant that its tests have not noticed after so many seconds of tests is a survivor.
LONGEST, LONGEST_FULL = 120.0, 1800.0
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


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def add(path: Path, records: list[dict]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


class Copy:
    """A copy of the package in a temporary folder, in which one module at a time is changed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.package = folder, folder / "src/popinv"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        # Python compiles a module anew if its time differs, as that of a changed one does.
        compileall.compile_dir(self.package, quiet=1)
        self.log = folder / "log.txt"

    def run(self, arguments: list[str], seconds: float, record: Path | None = None) -> int | None:
        """Return pytest's exit status, and add what each test calls to ``record``."""

        def work() -> int:
            sys.dont_write_bytecode = True
            # Loading what is installed beside pytest takes twice as long as all else.
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
            sys.path.insert(0, str(self.package.parent))
            os.environ |= {"PYTHONPATH": str(self.package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
            os.environ["POPINV_CACHE"] = str(self.folder / "cache")
            # A result that tests share is that of the changed code.
            shutil.rmtree(self.folder / "cache/tests", ignore_errors=True)
            import popinv

            assert Path(popinv.__file__).is_relative_to(self.package), popinv.__file__
            reach = Reach() if record else None
            status = pytest.main([*OPTIONS, *arguments], plugins=[reach] if reach else [])
            if reach:
                add(record, lines(reach, self.package))
            return int(status)

        return in_fork(work, seconds, self.log)


def lines(reach: Reach, package: Path) -> list[dict]:
    """Return a record for each test: seconds, and the functions of the package that it calls."""
    return [
        {
            "test": test,
            "seconds": round(reach.seconds[test], 3),
            "calls": sorted(
                f"{Path(code.co_filename).relative_to(package)}:{code.co_qualname}"
                for code in codes
                if Path(code.co_filename).is_relative_to(package)
            ),
        }
        for test, codes in reach.calls.items()
    ]


def files_that_enter(modules: set[str]) -> list[str]:
    """Return the files of tests that enter some modules, or neighbours of compiled functions."""
    wanted = {f"popinv/{module}" for module in modules}
    for module in modules:
        if "@njit" in (PACKAGE / module).read_text():
            neighbours = (PACKAGE / module).parent.glob("*.py")
            wanted |= {f"popinv/{file.relative_to(PACKAGE)}" for file in neighbours}
    return [name for name, each in reach_of_files().items() if wanted & set(each["enters"])]


def calls(copy: Copy, files: list[str]) -> list[dict]:
    """Return the record of the tests of some files, after running those that are not in it."""
    record = []
    for file in (ROOT / name for name in files):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
        kept = RESULTS / f"calls/{file.stem}-{digest}.jsonl"
        if not kept.exists():
            options = [str(file), "-m", "not full", "--maxfail=1000"]
            status = copy.run(options, 1800, record=kept)
            print(f"recorded {file.name}: " + {0: "passed"}.get(status, f"status {status}"))
            kept.touch()
        record += read(kept)
    return sorted(record, key=lambda test: test["seconds"])


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
        for file in sorted((PACKAGE / part).rglob("*.py")):
            module = str(file.relative_to(PACKAGE))
            if fnmatch(module, modules):
                every += [(part, module, mutant) for mutant in mutants(file.read_text())]
    random.Random(seed).shuffle(every)
    print(f"{min(number, len(every))} of {len(every)} mutants")
    return every[:number]


def meet(copy: Copy, module: str, mutant: Mutant, arguments: list[str], seconds: float) -> str:
    """Return what tests make of a mutant."""
    file = copy.package / module
    file.write_text(mutant.apply((PACKAGE / module).read_text()))
    try:
        status = copy.run(arguments, seconds)
    finally:
        shutil.copy2(PACKAGE / module, file)
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


def met_by_full(copy: Copy, module: str, mutant: Mutant) -> dict:
    """Return what the tests that belong to the full tier alone make of a mutant."""
    # Those of the module's own part first.
    part = f"tests/{module.partition('/')[0]}/"
    files = sorted(files_that_enter({module}), key=lambda name: not name.startswith(part))
    arguments = [*(str(ROOT / name) for name in files), "-m", "full"]
    outcome = meet(copy, module, mutant, arguments, LONGEST_FULL) if files else "unreached"
    # Tests that take too long do not say that anything is wrong.
    return {"full": "survived" if outcome == "timeout" else outcome}


def key(module: str, mutant: Mutant) -> str:
    text = f"{(PACKAGE / module).read_text()}\0{mutant.start}\0{mutant.end}\0{mutant.after}"
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
    every = mutants((PACKAGE / module).read_text())
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
    same = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else {}
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
    parser.add_argument("--module", default="*", help="such as 'inference/likelihood/*'")
    parser.add_argument("--number", type=int, default=200, help="mutants of all parts")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--survivors", action="store_true", help="try the survivors again")
    parser.add_argument("--full", action="store_true", help="meet the survivors by the full tier")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    (RESULTS / "calls").mkdir(parents=True, exist_ok=True)
    for library in LIBRARIES:
        importlib.import_module(library)
    kept = RESULTS / "mutants.jsonl"
    records = {record["mutant"]: record for record in read(kept)}
    done = 0
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Copy(Path(folder))
        parts = arguments.part or list(PARTS)
        chosen = sample(parts, arguments.module, arguments.number, arguments.seed)
        record = calls(copy, files_that_enter({module for _, module, _ in chosen}))
        for part, module, mutant in chosen:
            if time.monotonic() > end:
                break
            name = key(module, mutant)
            known = records.get(name)
            if known is None or (is_missed(known) and arguments.survivors):
                place = places(module)[mutant.start, mutant.after]
                what = {"mutant": name, "part": part, "function": mutant.function, "place": place}
                what |= {"before": mutant.before, "after": mutant.after}
                records[name] = known = what | met_by_default(copy, module, mutant, record)
                add(kept, [known])
                done += 1
                print(f"{known['outcome']:9} {name}", flush=True)
            if arguments.full and is_missed(known) and "full" not in known:
                records[name] = known = known | met_by_full(copy, module, mutant)
                add(kept, [known])
                print(f"{known['full']:9} {name} by the full tier", flush=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{done} mutants now, in {used.ru_utime + used.ru_stime:.0f} s of processor time")
    drawn = {key(module, mutant) for _, module, mutant in chosen}
    report({name: record for name, record in records.items() if name in drawn})


if __name__ == "__main__":
    main()
