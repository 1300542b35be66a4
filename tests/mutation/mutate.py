"""Mutation testing: change one thing in a copy of the package, and see whether a test fails.

    python tests/mutation/mutate.py [--number 200] [--seed 1] [--part transport] [--module ...] ...

First the functions that each test calls are recorded. Then mutants are drawn at random from all
parts together, and each is met by the tests of its part that call the changed function, the
quickest first. A test that calls it through a subprocess is not among them. The report gives the
share of the mutants that were noticed, with its 95 % interval by Clopper and Pearson, without those
that ``equivalent.json`` says to compute the same.

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
from reach import Reach
from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src/popinv"
RESULTS = ROOT / "build/mutation"
# Mutants that compute the same, and why, by their names.
EQUIVALENT = Path(__file__).with_name("equivalent.json")
# The files of each part, and its tests.
PARTS = {
    "transport": (["transport/**/*.py"], ["transport"]),
    "population": (["population/**/*.py"], ["population"]),
    "inference": (["inference/**/*.py", "baselines/**/*.py"], ["inference", "optimisation"]),
    "surrogate": (["surrogate/**/*.py"], ["surrogate"]),
    "kernels": (["forward/*/kernels.py"], ["forward"]),
    "accountant": (
        ["methods/certificate/accountant.py"],
        ["methods/test_certificate_accountant.py"],
    ),
}
LIBRARIES = ["numba", "scipy.stats", "scipy.optimize", "torch", "xarray", "pydantic", "hypothesis"]
# A mutant that its tests have not noticed after so many seconds of tests is a survivor.
LONGEST = 120.0
OPTIONS = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not full"]
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

    def run(
        self, arguments: list[str], seconds: float, cache: str, record: Path | None = None
    ) -> int | None:
        """Return pytest's exit status, and add what each test calls to ``record``."""

        def work() -> int:
            import numba

            sys.dont_write_bytecode = True
            # Loading what is installed beside pytest takes twice as long as all else.
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
            sys.path.insert(0, str(self.package.parent))
            os.environ |= {"PYTHONPATH": str(self.package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
            os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = str(self.folder / cache)
            import popinv

            assert Path(popinv.__file__).is_relative_to(self.package), popinv.__file__
            reach = Reach(self.package) if record else None
            status = pytest.main([*OPTIONS, *arguments], plugins=[reach] if reach else [])
            if reach:
                add(record, reach.lines())
            return int(status)

        return in_fork(work, seconds, self.log)


def calls(copy: Copy, parts: list[str]) -> list[dict]:
    """Return the record of the tests of some parts, after running those that are not in it."""
    record = []
    for place in [ROOT / "tests" / place for part in parts for place in PARTS[part][1]]:
        for file in [place] if place.is_file() else sorted(place.rglob("test_*.py")):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
            kept = RESULTS / f"calls/{file.stem}-{digest}.jsonl"
            if not kept.exists():
                status = copy.run([str(file), "--maxfail=1000"], 1800, "cache", record=kept)
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
        files = sorted(file for pattern in PARTS[part][0] for file in PACKAGE.glob(pattern))
        for module in (str(file.relative_to(PACKAGE)) for file in files):
            if fnmatch(module, modules):
                source = (PACKAGE / module).read_text()
                every += [(part, module, mutant) for mutant in mutants(source)]
    random.Random(seed).shuffle(every)
    print(f"{min(number, len(every))} of {len(every)} mutants")
    return every[:number]


def meet(copy: Copy, module: str, mutant: Mutant, record: list[dict]) -> dict:
    """Return what the tests make of a mutant."""
    source, file = (PACKAGE / module).read_text(), copy.package / module
    tests = chosen_tests(module, mutant, record)
    begun, status = time.monotonic(), 0
    if tests:
        expected = sum(test["seconds"] for test in record if test["test"] in set(tests))
        # Numba compiles a changed file anew, but not another file's function that includes it.
        cache = "mutants-cache" if module.endswith("kernels.py") else "cache"
        file.write_text(mutant.apply(source))
        try:
            status = copy.run(tests, 60 + 5 * min(expected, LONGEST), cache)
        finally:
            shutil.copy2(PACKAGE / module, file)
            shutil.rmtree(copy.folder / "mutants-cache", ignore_errors=True)
    log = copy.log.read_text()
    # A module that cannot be imported has no tests, which pytest takes for a wrong command.
    wrong = status == 4 and "found no collectors" not in log
    if wrong or status in (3, 5, _FAILED):
        raise SystemExit(f"{log[-2000:]}\n{module}: pytest neither passed nor failed ({status})")
    outcome = {0: "survived" if tests else "unreached", None: "timeout"}.get(status, "killed")
    return {"outcome": outcome, "tests": len(tests), "seconds": round(time.monotonic() - begun, 1)}


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
    """Print the outcomes by part, the share that was noticed, and what was not."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for record in records.values():
        counts[record["part"]][record["outcome"]] += 1
    outcomes = ["killed", "timeout", "survived", "unreached"]
    print(f"{'part':14}" + "".join(f"{name:>11}" for name in ["mutants", *outcomes]))
    for part, count in sorted(counts.items()):
        print(f"{part:14}{count.total():11}" + "".join(f"{count[name]:11}" for name in outcomes))
    same = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else {}
    judged = {name: record for name, record in records.items() if change(record) not in same}
    noticed = sum(record["outcome"] in ("killed", "timeout") for record in judged.values())
    if judged:
        ends = binomtest(noticed, len(judged)).proportion_ci(0.95)
        print(
            f"noticed: {noticed} of {len(judged)}, {noticed / len(judged):.1%} "
            f"({ends.low:.1%} to {ends.high:.1%}); equivalent: {len(records) - len(judged)}"
        )
    for name, record in sorted(judged.items()):
        if record["outcome"] in ("survived", "unreached"):
            print(f"{record['outcome']} {name}\n    {record['before']}\n    {record['after']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    parser.add_argument("--module", default="*", help="such as 'inference/likelihood/*'")
    parser.add_argument("--number", type=int, default=200, help="mutants of all parts")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--survivors", action="store_true", help="try the survivors again")
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
        record = calls(copy, parts)
        chosen = sample(parts, arguments.module, arguments.number, arguments.seed)
        for part, module, mutant in chosen:
            name = key(module, mutant)
            missed = records.get(name, {}).get("outcome") in ("survived", "unreached")
            if time.monotonic() > end:
                break
            if name in records and not (missed and arguments.survivors):
                continue
            place = places(module)[mutant.start, mutant.after]
            what = {"mutant": name, "part": part, "function": mutant.function, "place": place}
            what |= {"before": mutant.before, "after": mutant.after}
            records[name] = what | meet(copy, module, mutant, record)
            add(kept, [records[name]])
            done += 1
            print(f"{records[name]['outcome']:9} {name}", flush=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{done} mutants now, in {used.ru_utime + used.ru_stime:.0f} s of processor time")
    drawn = {key(module, mutant) for _, module, mutant in chosen}
    report({name: record for name, record in records.items() if name in drawn})


if __name__ == "__main__":
    main()
