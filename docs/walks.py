"""Walk the four first studies of the documentation in clean folders, and keep what was printed.

    python docs/walks.py [NAME ...]

Each walk begins in an empty folder with the files that its page names, and types the commands of
the page. The configuration is corrected once, as the page shows. What a terminal of 100 columns
shows at the end of each command is written to ``docs/tables/data/walks/NAME.txt``, the correction
to ``NAME.diff``, and the seconds of each command with commit and machine to ``walks.csv``.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import os
import pty
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import cpu_model  # noqa: E402
from popinv.workflow.records import commit_of  # noqa: E402

EXAMPLES = ROOT / "config" / "examples"
KEPT = ROOT / "docs" / "tables" / "data" / "walks"
PAGE = ROOT / "docs" / "python.md"
COLUMNS, LINES = 100, 60


@dataclass(frozen=True)
class Walk:
    """A walk from nothing, or from a table and a simulator, to an answer.

    Attributes
    ----------
    title : str
    first, then : tuple of str
        Commands before and after the correction.
    files : mapping of str to Path
        Files that are there at the start.
    correct : callable
        Corrects the configuration's text.
    placed : mapping of str to Path
        Files that take the place of those which the first command wrote.
    """

    title: str
    first: tuple[str, ...]
    then: tuple[str, ...] = ()
    files: dict[str, Path] = field(default_factory=dict)
    correct: Callable[[str], str] | None = None
    placed: dict[str, Path] = field(default_factory=dict)


def _levels(text: str) -> str:
    text = text.replace(
        "parameters: [size, rate]",
        "parameters: [{name: volume, units: L}, {name: clearance, units: L/h}]",
    )
    text = text.replace("name: DV\n", "name: DV\n        units: mg/L\n")
    text = re.sub(r"  size: \{mean: .*?,", "  volume: {mean: 3.0,", text)
    text = re.sub(r"  rate: \{mean: .*?,", "  clearance: {mean: 1.0,", text)
    proportional = "noise: {kind: isotropic, errors: {grows: proportional}}"
    return re.sub(r"noise: \{kind: .*", proportional, text)


def _recession(text: str) -> str:
    text = text.replace('["{python}", flow/program.py,', "[sh, recession.sh,")
    text = text.replace("parameters: [size, rate]", "parameters: [q0, a]")
    days = ", ".join(map(str, range(1, 13)))
    text = text.replace(
        "{name: observed, count: 12}", f"{{name: discharge, units: m3/s, times: [{days}]}}"
    )
    text = re.sub(r"  size: \{mean: .*?,", "  q0: {mean: 1.0,", text)
    text = re.sub(r"  rate: \{mean: .*?,", "  a: {mean: -1.0,", text)
    correlated = "noise: {kind: kernel, kernel: exponential, start: {amplitude: 0.3, length: 2}}"
    text = re.sub(r"noise: \{kind: .*", correlated, text)
    return re.sub(r"    active_learning: .*", "    surrogate: {kind: gaussian_process}", text)


WALKS = {
    "first": Walk(
        "From the installation to a first answer",
        ("popinv new-study mine", "popinv run mine.yaml", "popinv report mine.yaml"),
    ),
    "levels": Walk(
        "A long table with doses and limits",
        ("popinv new-study drug --observations levels.csv",),
        ("popinv try drug.yaml", "popinv run drug.yaml"),
        {"levels.csv": EXAMPLES / "drug_levels" / "levels.csv"},
        _levels,
        {"drug/simulator.py": EXAMPLES / "drug_levels" / "simulator.py"},
    ),
    "recession": Walk(
        "A slow program and correlated noise",
        ("popinv new-study flow --forward executable --observations recessions.csv",),
        ("popinv try flow.yaml --systems 2", "popinv run flow.yaml"),
        {name: EXAMPLES / "recession" / name for name in ("recessions.csv", "recession.sh")},
        _recession,
    ),
    "python": Walk(
        "A table in Python with popinv.fit",
        ("python heights.py",),
        files={"config/examples/real_data/Oxboys.csv": EXAMPLES / "real_data" / "Oxboys.csv"},
    ),
}


def walked(name: str, walk: Walk, folder: Path) -> list[tuple[str, float]]:
    """Walk in a folder, keep what was printed, and return the seconds of each command.

    Raises
    ------
    SystemExit
        If a command fails.
    """
    for there, source in walk.files.items():
        (folder / there).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / there)
    if name == "python":
        (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[:1]
        (folder / "heights.py").write_text(code)
    shown, times = [], []

    def type_all(commands: tuple[str, ...]) -> None:
        for command in commands:
            began = time.monotonic()
            text, status = screen_of(shlex.split(command), folder)
            times.append((command, time.monotonic() - began))
            shown.append(f"$ {command}\n{text}")
            if status:
                raise SystemExit(f"{name}: '{command}' ended with status {status}\n{text}")

    type_all(walk.first)
    if walk.correct is not None:
        (configuration,) = folder.glob("*.yaml")
        before = configuration.read_text()
        configuration.write_text(walk.correct(before))
        lines = difflib.unified_diff(
            before.splitlines(), configuration.read_text().splitlines(), lineterm="", n=1
        )
        changes = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
        (KEPT / f"{name}.diff").write_text("\n".join(changes) + "\n")
        for there, source in walk.placed.items():
            shutil.copy(source, folder / there)
    type_all(walk.then)
    (KEPT / f"{name}.txt").write_text("\n\n".join(shown) + "\n")
    return times


def screen_of(command: list[str], folder: Path) -> tuple[str, int]:
    """Return what a terminal shows at the end of a command, and the command's status."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        bin_folder = str(Path(sys.executable).parent)
        os.environ |= {
            "COLUMNS": str(COLUMNS), "LINES": str(LINES), "TERM": "xterm",
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
        }  # fmt: skip
        os.execvp(command[0], command)
    written = b""
    while True:
        try:
            more = os.read(terminal, 65536)
        except OSError:
            break
        if not more:
            break
        written += more
    _, status = os.waitpid(process, 0)
    screen = pyte.HistoryScreen(COLUMNS, LINES, history=5000, ratio=1)
    pyte.ByteStream(screen).feed(written)
    above = ["".join(line[i].data for i in range(COLUMNS)) for line in screen.history.top]
    lines = [line.rstrip() for line in [*above, *screen.display]]
    return "\n".join(lines).strip("\n"), os.waitstatus_to_exitcode(status)


def main() -> None:
    """Walk those that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(WALKS))
    names = parser.parse_args().names or list(WALKS)
    KEPT.mkdir(parents=True, exist_ok=True)
    table = KEPT / "walks.csv"
    rows: dict[str, list[str]] = {}
    if table.exists():
        with table.open(newline="") as file:
            rows = {row[0]: row for row in list(csv.reader(file))[1:]}
    for name in names:
        walk = WALKS[name]
        with tempfile.TemporaryDirectory() as folder:
            times = walked(name, walk, Path(folder))
        each = "; ".join(
            f"{' '.join(command.split()[:2])} {seconds:.0f} s" for command, seconds in times
        )
        whole = f"{sum(seconds for _, seconds in times):.0f} s"
        rows[walk.title] = [
            walk.title,
            whole,
            each,
            commit_of(ROOT / "src" / "popinv" / "__init__.py")[:8],
            cpu_model(),
        ]
        print(f"{walk.title}: {whole} ({each})", flush=True)
    with table.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["walk", "time", "commands", "commit", "machine"])
        writer.writerows(rows[walk.title] for walk in WALKS.values() if walk.title in rows)


if __name__ == "__main__":
    main()
