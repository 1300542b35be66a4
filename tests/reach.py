"""Which functions of the package each test enters, and which tests a change concerns.

``make test-record`` writes ``tests/record.json``: for each file of tests its processor seconds, by
which the files are ordered, and the modules that it enters. From it, ``--changed COMMIT`` chooses
the files that concern what has changed since. It also names, for each file, the commit at which its
full tier has passed, and ``--changed full`` chooses files of which a change since then has to be
tested; files that have never passed there are left to ``make test-full``.
"""

from __future__ import annotations

import ast
import cProfile
import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "tests/record.json"
FOLDER = "POPINV_TESTS_REACH"
"""Variable of the environment: the folder where processes tell what they have entered."""
# In a file of tests that starts processes anew: nobody sees what these enter.
_PROCESSES = ("subprocess.", "anew=True", "mpiexec")


class Reach:
    """A plugin that notes the functions that each test calls, itself or by a shared fixture.

    Attributes
    ----------
    calls : dict
        Sets of code by the name of a test.
    seconds : dict
        Seconds by the name of a test.
    """

    def __init__(self) -> None:
        self.calls: dict[str, set[CodeType]] = {}
        self.seconds: dict[str, float] = defaultdict(float)
        self._shared: dict[pytest.FixtureDef, set[CodeType]] = {}
        self._profiles: list[cProfile.Profile] = []

    @contextmanager
    def _noted(self, codes: set[CodeType]) -> Iterator[None]:
        """Add what is called meanwhile to a set."""
        for profile in self._profiles[-1:]:
            profile.disable()
        profile = cProfile.Profile(builtins=False)
        self._profiles.append(profile)
        profile.enable()
        try:
            yield
        finally:
            profile.disable()
            self._profiles.pop()
            codes |= _codes(profile)
            for outer in self._profiles[-1:]:
                outer.enable()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef) -> Iterator[Any]:
        """Note what a fixture calls."""
        if fixturedef.scope == "function":
            return (yield)
        with self._noted(self._shared.setdefault(fixturedef, set())):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        """Note what a test calls."""
        codes = self.calls.setdefault(item.nodeid, set())
        with self._noted(codes):
            done = yield
        for fixtures in item._fixtureinfo.name2fixturedefs.values():
            codes |= self._shared.get(fixtures[-1], set())
        return done

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the seconds of a test."""
        self.seconds[report.nodeid] += report.duration


class Recording(Reach):
    """A plugin that writes what the files of tests enter, also in forked processes."""

    def pytest_sessionfinish(self) -> None:
        """Write it where the process that gathers it finds it."""
        for test, codes in self.calls.items():
            tell(test, codes)


def _codes(profile: cProfile.Profile) -> set[CodeType]:
    return {entry.code for entry in profile.getstats() if isinstance(entry.code, CodeType)}


def tell(test: str, codes: Iterable[CodeType]) -> None:
    """Tell which files of code a test has entered."""
    files = {Path(code.co_filename) for code in codes}
    modules = sorted(
        str(f.relative_to(ROOT / "src")) for f in files if f.is_relative_to(ROOT / "src")
    )
    with Path(os.environ[FOLDER], f"{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps([test.partition("::")[0], modules]) + "\n")


def begun(test: str) -> Callable[[], None]:
    """Note what this process enters for a test from now on; return what tells it."""
    (profile := cProfile.Profile(builtins=False)).enable()

    def end() -> None:
        profile.disable()
        tell(test, _codes(profile))

    return end


def write(folder: Path, seconds: dict[str, float]) -> None:
    """Write the record of files that passed, and keep that of the others."""
    entered: dict[str, set[str]] = defaultdict(set)
    for file in folder.glob("*.jsonl"):
        for line in file.read_text().splitlines():
            name, modules = json.loads(line)
            entered[name] |= set(modules)
    before, record = read(), read()
    for name, own in seconds.items():
        full = before[name]["full"] if name in before else ""
        record[name] = {"seconds": round(own, 1), "enters": sorted(entered[name]), "full": full}
    _write(record)


def note_full_tier(files: Iterable[str]) -> None:
    """Note that the full tier of some files has passed here, unless something is not committed."""
    record, here = read(), _git("rev-parse", "HEAD").strip()
    if not changed_since("HEAD") - {str(RECORD.relative_to(ROOT))}:
        _write(record | {name: record[name] | {"full": here} for name in files if name in record})


def _write(record: dict[str, dict[str, Any]]) -> None:
    record = {name: each for name, each in sorted(record.items()) if (ROOT / name).exists()}
    modules = sorted({module for each in record.values() for module in each["enters"]})
    number = {module: i for i, module in enumerate(modules)}
    lines = []
    for name, each in record.items():
        row = [each["seconds"], each["full"], [number[module] for module in each["enters"]]]
        lines.append(f"{json.dumps(name)}: {json.dumps(row)}")
    text = f'{{"modules": {json.dumps(modules)},\n"files": {{\n'
    RECORD.write_text(text + ",\n".join(lines) + "\n}}\n")


def read() -> dict[str, dict[str, Any]]:
    """Return of each file of tests its seconds, its modules, and when its full tier passed."""
    kept = json.loads(RECORD.read_text()) if RECORD.exists() else {"files": {}}
    return {
        name: {"seconds": seconds, "full": full, "enters": [kept["modules"][i] for i in numbers]}
        for name, (seconds, full, numbers) in kept["files"].items()
    }


def changed_since(commit: str) -> set[str]:
    """Return the files that differ from a commit, and those that git does not know yet."""
    commands = ("diff --name-only " + commit, "ls-files --others --exclude-standard")
    return {line for each in commands for line in _git(*each.split()).splitlines()}


def concerned(commit: str, tests: Iterable[str]) -> set[str]:
    """Return the files of tests that concern what has changed since a commit.

    A changed module concerns the tests that enter it. If more changed than the bodies of its
    functions, such as a default, it also concerns those that enter a module that imports it; if it
    is a program, those that enter its neighbours. A changed helper of the tests concerns the tests
    that import it. Any change of the package or the workflow concerns tests that start processes.
    Files that were never recorded always run.
    """
    record, changed = read(), changed_since(commit)
    sources = {file.removeprefix("src/") for file in changed if file.startswith("src/")}
    helpers = {Path(file).stem for file in changed if file.startswith("tests/")}
    whole = any(file.startswith(("src/", "workflow/", "config/", "Snakefile")) for file in changed)
    outlines = {each for each in sources if _outline(each, commit) != _outline(each, None)}
    neighbours = {str(Path(each).parent) for each in sources if _is_program(each)}
    sources |= _importers(outlines)

    def concerns(name: str) -> bool:
        if name in changed or name not in record:
            return True
        if helpers & set(_imported(ROOT / name)):
            return True
        if whole and any(word in (ROOT / name).read_text() for word in _PROCESSES):
            return True
        enters = record[name]["enters"]
        return any(each in sources or str(Path(each).parent) in neighbours for each in enters)

    return {name for name in tests if concerns(name)}


def concerned_in_full(tests: Iterable[str]) -> set[str]:
    """Return the files of tests that a change concerns since their full tier has passed."""
    record, found = read(), set[str]()
    passed = {name: record[name]["full"] for name in tests if name in record}
    for commit in set(passed.values()) - {""}:
        found |= concerned(commit, [name for name, at in passed.items() if at == commit])
    return found


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def _outline(module: str, commit: str | None) -> str:
    """Return a module without the bodies of its functions, today's or that of a commit.

    Bodies of compiled functions stay, as nobody sees who enters them.
    """
    try:
        path = f"src/{module}"
        text = _git("show", f"{commit}:{path}") if commit else (ROOT / path).read_text()
        tree = ast.parse(text)
    except (OSError, SyntaxError, subprocess.CalledProcessError):
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            compiled = any("njit" in ast.unparse(each) for each in node.decorator_list)
            node.body = node.body if compiled else []
    return ast.dump(tree)


def _imported(file: Path) -> Iterator[str]:
    """Yield the modules that a file imports."""
    with suppress(SyntaxError):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _importers(modules: set[str]) -> set[str]:
    """Return the modules of the package that import one of some modules."""
    names = {m.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for m in modules}
    files = (ROOT / "src").rglob("*.py") if names else ()
    return {str(f.relative_to(ROOT / "src")) for f in files if names & set(_imported(f))}


def _is_program(module: str) -> bool:
    file = ROOT / "src" / module
    return file.exists() and '__name__ == "__main__"' in file.read_text()
