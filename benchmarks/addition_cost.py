"""The cost of an addition to the default study in the workflow, beside a rerun of all systems.

    python -m benchmarks.addition_cost [FOLDER]   # writes docs/tables/data/additions_cost.csv

In a temporary folder, or the stated one, observations of the default study (config/config.yaml)
are drawn: of 1000 systems, and of 10 more. Each command has one core. Its processor time is that of
all its processes. Snakemake measures the parts, which are jobs. The rest is the start of programs,
the import of libraries, and Snakemake itself.
"""

from __future__ import annotations

from benchmarks.machine import ROOT, confine

if __name__ == "__main__":
    confine()

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks.additions import porous_flow
from benchmarks.measured_rows import write_rows
from popinv.config.loading import load_file

CONFIG = ROOT / "config/config.yaml"
ADDED = 10
# Jobs that are no estimates.
_PARTS = {"assess_population": "tests", "plot_figures": "figures"}


def _command(folder: Path, study: str, *arguments: str) -> dict[str, float]:
    """Run popinv, and return its wall time and its processor times, in seconds."""
    program = "from popinv.cli.commands import popinv; popinv()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    command = [sys.executable, "-c", program, *arguments, "--", "--cores", "1"]
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=log, stderr=log)
    wall, after = time.time() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    parts = dict.fromkeys(["estimates", "tests", "figures"], 0.0)
    for file in (folder / "results" / study / "benchmarks").glob("*.tsv"):
        if file.stat().st_mtime >= began:
            part = _PARTS.get(file.stem, "estimates")
            parts[part] += float(pd.read_csv(file, sep="\t")["cpu_time"].iloc[-1])
    return {"wall": wall, "whole": used, **parts, "rest": used - sum(parts.values())}


def _study(folder: Path, name: str, data: np.ndarray) -> str:
    """Write a configuration of the default study with observations of a file; return its name."""
    pd.DataFrame(data).add_prefix("y").to_csv(folder / f"{name}.csv", index=False)
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    study = config["studies"].pop("porous_flow")
    # Observations of a file are at stated places.
    places = load_file(CONFIG).studies["porous_flow"].forward.observed(config["seed"]).coordinates
    study["forward"]["sensors"] = {"positions": places[:, 0].tolist()}
    study["observations"] = {"file": f"{name}.csv"}
    config["studies"][name] = study
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return f"{name}.yaml"


def measure(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the table."""
    data, _ = porous_flow()
    first, whole = _study(folder, "first", data[:-ADDED]), _study(folder, "whole", data)
    pd.DataFrame(data[-ADDED:]).add_prefix("y").to_csv(folder / "more.csv", index=False)
    count = len(data)
    times = {
        f"`popinv run` of {count - ADDED} systems": _command(folder, "first", "run", first),
        f"`popinv add` of {ADDED} systems": _command(folder, "first", "add", first, "more.csv"),
        f"`popinv run` of {count} systems": _command(folder, "whole", "run", whole),
    }
    rerun = list(times.values())[-1]
    return [
        {
            "command": command,
            "wall time, s": f"{found['wall']:.0f}",
            "processor time, s": f"{found['whole']:.1f}",
            **{f"of it {part}": f"{found[part]:.1f}" for part in list(found)[2:]},
            "processor time, % of the last row": f"{100 * found['whole'] / rerun['whole']:.0f}",
            "of estimates, %": f"{100 * found['estimates'] / rerun['estimates']:.0f}",
        }
        for command, found in times.items()
    ]


def main(folder: str | None) -> None:
    """Write the table."""
    if folder is not None:
        rows = measure(Path(folder))
    else:
        with tempfile.TemporaryDirectory() as own:
            rows = measure(Path(own))
    print(pd.DataFrame(rows).to_string())
    write_rows("additions_cost", rows)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
