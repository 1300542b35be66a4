"""What reruns after an edit: the table of docs/reruns.md, from plans that Snakemake makes.

    python tests/workflow/reruns.py        # writes the table into docs/reruns.md

Three small studies are given out as finished: their outputs are there and Snakemake has recorded
what they were made with (``--touch``). Then one edit at a time is made in a copy of the sources, or
in the configuration, and Snakemake says what it would run (``--summary``).
"""

from __future__ import annotations

import copy
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import yaml
from study_sections import moments

sys.path.insert(0, str(Path(__file__).parents[1]))
import preloaded
from tiny_study import ROOT, TINY

from popinv.workflow.records import NAME, Record

PAGE = ROOT / "docs" / "reruns.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"

_NUMERICS = {
    key: TINY["studies"]["tiny"][key]
    for key in ("active_learning", "surrogate", "descent", "assessment")
}
STUDIES: dict[str, dict[str, Any]] = {
    "porous": TINY["studies"]["tiny"],
    "bar": {
        "forward": {"kind": "elastodynamics"},
        "noise": {"kind": "autoregressive"},
        "observations": {
            "count": 60,
            "heldout": 40,
            "truth": {
                "law": moments(stiffness=(0.2, 0.3), damping=(-1.0, 0.3)),
                "noise": {"standard_deviation": 0.1, "correlation": 0.5},
            },
        },
        **_NUMERICS,
    },
    "lorenz": {
        "forward": {"kind": "lorenz96"},
        "noise": {"kind": "isotropic"},
        "observations": {
            "count": 60,
            "heldout": 40,
            "truth": {
                "law": {"forcing": {"mean": 9.0, "standard_deviation": 0.5}},
                "noise": {"standard_deviation": 0.1},
            },
        },
        **_NUMERICS,
    },
}
CONFIG: dict[str, Any] = {"seed": 3, "studies": STUDIES}
HEADINGS = {
    "porous": "porous flow, Matern field, kernel noise",
    "bar": "elastic bar, lognormal law, autoregressive noise",
    "lorenz": "Lorenz-96, normal law, isotropic noise",
}


@dataclass(frozen=True)
class Edit:
    """An edit of one source file (what is added at its end) or of the configuration."""

    label: str
    file: str = ""
    added: str = "\n_EDITED = True\n"
    configure: Callable[[dict[str, Any]], None] = lambda config: None


def _code(*files: str) -> list[Edit]:
    return [Edit(f"`{file.removeprefix('src/').removeprefix('popinv/')}`", file) for file in files]


def _setting(label: str, *path: str, value: Any) -> Edit:
    def configure(config: dict[str, Any]) -> None:
        section = config
        for key in path[:-1]:
            section = section.setdefault(key, {})
        section[path[-1]] = value

    return Edit(label, configure=configure)


def _package(*names: str) -> list[Edit]:
    return _code(
        *(f"src/{name}" if name.startswith("popinv_") else f"src/popinv/{name}" for name in names)
    )


def _of_porous(label: str, *path: str, value: Any) -> Edit:
    return _setting(label, "studies", "porous", *path, value=value)


def _add_study(config: dict[str, Any]) -> None:
    config["studies"]["another"] = copy.deepcopy(config["studies"]["porous"])


CODE_EDITS = [
    Edit("a comment in `store/storage.py`", "src/popinv/store/storage.py", "\n# A remark.\n"),
    Edit("a comment in a script", "workflow/scripts/stage.py", "\n# A remark.\n"),
    Edit(
        "the version of the package",
        "src/popinv-0.dist-info/METADATA",
        "Version: 99.0\n",
    ),
    *_package(
        "popinv_models/porous_flow/model.py",
        "popinv_models/elastodynamics/section.py",
        "forward/fields.py",
        "population/laws/fields.py",
        "population/laws/gaussian.py",
        "population/laws/mixture.py",
        "population/noise/kernel.py",
        "population/noise/time_series.py",
        "surrogate/training.py",
        "inference/estimators/descent.py",
        "inference/stages/consult_oracle.py",
        "inference/answer/assessment.py",
        "inference/uncertainty/sampling_error.py",
        "figures/law.py",
        "config/checks.py",
        "observation_files/wide_tables.py",
        "store/storage.py",
    ),
    *_package("surrogate/stages/train_surrogate.py"),
    Edit("`workflow/scripts/stage.py`", "workflow/scripts/stage.py"),
]
CONFIG_EDITS = [
    _setting("`seed`", "seed", value=4),
    _of_porous("`forward.elements`", "forward", "elements", value=50),
    _of_porous("`law.start`", "law", value={"kind": "matern_field", "start": {"mean": 0.1}}),
    _of_porous("`noise.start`", "noise", "start", "amplitude", value=0.25),
    _of_porous(
        "`observations.truth.noise`", "observations", "truth", "noise", "amplitude", value=0.12
    ),
    _of_porous("`active_learning.rounds`", "active_learning", "rounds", value=3),
    _of_porous("`active_learning.threshold`", "active_learning", "threshold", value=0.002),
    _of_porous("`surrogate.width`", "surrogate", "width", value=20),
    _of_porous("`descent.learning_rate`", "descent", "learning_rate", value=0.25),
    _of_porous("`assessment.null_resamples`", "assessment", "null_resamples", value=25),
    _of_porous("`assessment.baselines`", "assessment", "baselines", value=["plain"]),
    Edit("another study is added", configure=_add_study),
]


class Sandbox:
    """A folder with finished studies, and a copy of the sources to edit.

    Without ``edited`` it has the sources themselves.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any] = CONFIG, *, edited: bool = True
    ) -> None:
        self.source, self.run, self.config = folder / "source", folder / "run", config
        self.run.mkdir(parents=True, exist_ok=True)
        if not edited:
            self.source = ROOT
            return
        skip = shutil.ignore_patterns("*.egg-info")
        for name in ("src", "workflow"):
            shutil.copytree(ROOT / name, self.source / name, ignore=skip)
        shutil.copy2(ROOT / "Snakefile", self.source / "Snakefile")
        # What is installed says where the methods of papers are; a copy has a version of its own.
        installed = self.source / "src" / "popinv-0.dist-info"
        installed.mkdir()
        (installed / "METADATA").write_text("Name: popinv\n")
        told = distribution("popinv").read_text("entry_points.txt")
        (installed / "entry_points.txt").write_text(told)

    def finish(self) -> None:
        """Give the studies out as finished."""
        for output in self.plan(self.config):
            file = self.run / output["output_file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(output["output_file"])
            if file.parent.name == NAME:
                # A record of nothing, since what is compared with it would be read.
                Record("", {}, {}, "", {}, {}, {}, {}, 0.0).write(file)
        self._snakemake(self.config, "--touch", "--forceall", "--cores", "50")
        for output in self.plan(self.config):
            # Where a job has a log it has a benchmark, which some rules read.
            log = self.run / output["log-file(s)"]
            benchmark = log.parents[1] / "benchmarks" / f"{log.stem}.tsv"
            benchmark.parent.mkdir(exist_ok=True)
            benchmark.touch()

    def plan(self, config: dict[str, Any]) -> list[dict[str, str]]:
        """Return Snakemake's plan, a row for each output file."""
        printed = self._snakemake(config, "--detailed-summary", "--cores", "2")
        return list(csv.DictReader(printed.splitlines(), delimiter="\t"))

    def plan_after(self, edit: Edit) -> list[dict[str, str]]:
        """Return the plan after an edit, which is then undone."""
        # Not a deep copy, which would keep what the studies share.
        config = json.loads(json.dumps(CONFIG))
        edit.configure(config)
        if not edit.file:
            return self.plan(config)
        file = self.source / edit.file
        before = file.read_text() if file.exists() else None
        file.parent.mkdir(exist_ok=True)
        file.write_text((before or "") + edit.added)
        try:
            return self.plan(config)
        finally:
            file.unlink() if before is None else file.write_text(before)

    def _snakemake(self, config: dict[str, Any], *arguments: str) -> str:
        (self.run / "config.yaml").write_text(yaml.safe_dump(config))
        command = [
            sys.executable, "-m", "snakemake", "--snakefile", str(self.source / "Snakefile"),
            "--directory", str(self.run), "--configfile", str(self.run / "config.yaml"),
            "--workflow-profile", str(self.source / "workflow" / "profiles" / "default"),
            *arguments,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(self.source / "src")}
        if self.source == ROOT:
            done = preloaded.run(command[1:], self.run, environment)
        else:
            done = subprocess.run(
                command, cwd=self.run, env=environment, capture_output=True, text=True
            )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def in_words(plan: list[dict[str, str]], study: str) -> str:
    """Return what of a study would run: the rules where it begins, new ones, and how many jobs."""
    # A record is no result, and a job that never ran is counted by its results.
    ours = [
        row
        for row in plan
        if row["output_file"].startswith(f"results/{study}/")
        and Path(row["output_file"]).parent.name != NAME
    ]
    pending = [row for row in ours if row["plan"] == "update pending"]
    if not pending:
        return "nothing"
    remade = {row["output_file"] for row in pending}
    new = {row["rule"] for row in pending if row["status"] == "missing"}
    first = {
        row["rule"]
        for row in pending
        if row["status"] != "missing" and remade.isdisjoint(row["input-file(s)"].split(","))
    }
    begins = [f"from {_listed(first)} on"] if first else []
    if new:
        begins.append(f"new: {_listed(new)}")
    jobs, all_jobs = (len({_job(row) for row in rows}) for rows in (pending, ours))
    return f"{'; '.join(begins)} ({jobs} of {all_jobs} jobs)"


def _job(row: dict[str, str]) -> tuple[str, str]:
    # The log tells a job of several outputs from several jobs; one that never ran has none yet.
    never = row["status"] == "missing"
    return row["rule"], row["output_file" if never else "log-file(s)"]


def _listed(rules: set[str]) -> str:
    return ", ".join(f"`{rule}`" for rule in sorted(rules))


def table(folder: Path) -> str:
    """Return the table, made in two copies at a time."""
    sandboxes = [Sandbox(folder / name) for name in ("first", "second")]
    sandboxes[0].finish()
    # Times and records are the studies' own: a copy of a finished folder is finished as well.
    shutil.rmtree(sandboxes[1].run)
    shutil.copytree(sandboxes[0].run, sandboxes[1].run)
    edits = [*CODE_EDITS, *CONFIG_EDITS]

    def plans(which: int) -> list[list[dict[str, str]]]:
        return [sandboxes[which].plan_after(edit) for edit in edits[which::2]]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(plans, (0, 1))
    made = {}
    for which, half in enumerate((first, second)):
        made |= {edit.label: plan for edit, plan in zip(edits[which::2], half, strict=True)}
    lines = []
    for title, part in (("code", CODE_EDITS), ("setting (of the first study)", CONFIG_EDITS)):
        lines += [
            f"| {title} | {' | '.join(HEADINGS.values())} |",
            "|" + "---|" * (1 + len(HEADINGS)),
            *(
                f"| {edit.label} | "
                + " | ".join(in_words(made[edit.label], study) for study in STUDIES)
                + " |"
                for edit in part
            ),
            "",
        ]
    return "\n".join(lines).strip()


def documented() -> str:
    """Return the table as the page has it."""
    return PAGE.read_text().split(BEGIN)[1].split(END)[0].strip()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        made = table(Path(scratch))
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.split(END)[1]}")
