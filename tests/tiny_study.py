"""A tiny study with real Firedrake solves, and a folder to run it in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import preloaded
import yaml

from popinv.workers import LENT_CORES

ROOT = Path(__file__).parents[1]

TINY: dict[str, Any] = {
    "seed": 3,
    # The whole descent takes about a second.
    "checkpoint_seconds": 0.1,
    "studies": {
        "tiny": {
            "forward": {
                "kind": "porous_flow",
                "elements": 20,
                "modes": 2,
                "sensors": {"count": 5, "placement": "random"},
            },
            "noise": {"kind": "kernel", "start": {"amplitude": 0.2, "length": 0.2}},
            "observations": {
                # From this number on the likelihood needs no draws that adapt to each system.
                "count": 200,
                "heldout": 40,
                "truth": {
                    "law": {"mean": 0.5, "standard_deviation": 0.4, "length": 0.3},
                    "noise": {"amplitude": 0.1, "length": 0.1},
                },
            },
            "active_learning": {
                "rounds": 2,
                "first_design": 160,
                "solves_per_round": 40,
                "chunk_size": 80,
                "threshold": 0.001,
            },
            "surrogate": {"width": 16, "depth": 2, "max_epochs": 100},
            "polish": {"draws": 16},
            "descent": {"iterations": 60, "model_samples": 100, "directions": 16},
            "assessment": {"null_resamples": 20, "surrogate_check": 40},
        }
    },
}


@dataclass(frozen=True)
class Workflow:
    """A working directory with a configuration, and Snakemake to run there."""

    folder: Path
    root: Path = ROOT
    """The project, whose workflow and package are used."""
    anew: bool = False
    """Start every process anew, as a user does, and import all there (see ``preloaded``)."""

    def configure(self, config: dict[str, Any]) -> None:
        """Write the configuration."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of Snakemake."""
        return [
            sys.executable, "-m", "snakemake", "--snakefile", str(self.root / "Snakefile"),
            "--directory", str(self.folder), "--configfile", str(self.folder / "config.yaml"),
            "--workflow-profile", "none", "--cores", "2", *arguments,
        ]  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake and return what it printed, both streams together."""
        command = self.command(*arguments)
        environment = {
            # Several tests run at a time, and what jobs take is measured.
            LENT_CORES: "none",
            **os.environ,
            "PYTHONPATH": str(self.root / "src"),
        }
        if self.root == ROOT and not self.anew:
            return preloaded.run(command[1:], self.folder, environment, together=True)
        return subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=environment,
        )

    def printed(self, *arguments: str) -> str:
        """Return what a run prints, which has to succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def dry_run(self, config: dict[str, Any]) -> str:
        """Return what a dry run with this configuration prints."""
        self.configure(config)
        return self.printed("--dry-run")

    def metrics(self, place: str) -> dict[str, Any]:
        """Return the metrics in a folder of results."""
        return json.loads((self.folder / "results" / place / "metrics.json").read_text())

    def missed(self, study: str, values: dict[str, float]) -> list[str]:
        """Return the names of those values that lie outside their intervals of 95 %."""
        found = self.metrics(study)
        ends = {name: (found[f"{name}_lower"], found[f"{name}_upper"]) for name in values}
        return [name for name, (low, high) in ends.items() if not low <= values[name] <= high]

    def copied(self, folder: Path) -> Workflow:
        """Return a copy, which Snakemake remembers as it does this one."""
        shutil.copytree(self.folder, folder)
        return Workflow(folder)
