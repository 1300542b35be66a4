"""Time whole runs of a study in turns, with and without sharing between its jobs.

    python -m benchmarks.runs CONFIG [TARGET ...] [--cores 2] [--ways alone shared forked]
        [--repeats 3] [--write FILE]

Each run starts from nothing, in a folder of its own. FILE is a table of the medians, with the
machine and the commit. It states whether all stores have the same content as in the first run.

=======  ===========================================================================================
one      one core, and each script starts anew
alone    each job has one core, and each script starts anew
shared   jobs lend each other free cores
forked   the same, and scripts are forks of a process that has imported what they need
=======  ===========================================================================================
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.machine import ROOT, cpu_model, load_average
from popinv.store import storage
from popinv.workers import LENT_CORES
from popinv.workflow.preloaded import PRELOADED
from popinv.workflow.records import commit_of

_NONE = {LENT_CORES: "none", PRELOADED: "none"}
WAYS = {
    "one": _NONE,
    "alone": _NONE,
    "shared": {LENT_CORES: "", PRELOADED: "none"},
    "forked": {LENT_CORES: "", PRELOADED: ""},
}


def run(
    config: Path, targets: Sequence[str], cores: int, way: str, folder: Path
) -> tuple[float, float]:
    """Run a study in an empty folder, and return seconds by the clock and of the processor.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails; its output states the reason.
    """
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(config.resolve())),
        *("--cores", "1" if way == "one" else str(cores), "--workflow-profile", "none", *targets),
    ]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    log = folder / "log.txt"
    with log.open("w") as output:
        done = subprocess.run(
            command, stdout=output, stderr=output, env={**os.environ, **WAYS[way]}, check=False
        )
    if done.returncode:
        print(log.read_text()[-3000:])
        done.check_returncode()
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def contents(folder: Path) -> dict[str, str]:
    """Return the hashes of what is in the stores of a run."""
    stores = sorted(folder.rglob("*.zarr.zip"))
    return {
        str(path.relative_to(folder)): storage.load(path).attrs["content_sha256"] for path in stores
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print and write a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["alone", "shared", "forked"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args(arguments)
    print(f"{cpu_model()}, {os.cpu_count()} cores, load {load_average()}")
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in asked.ways}
    same: dict[str, bool] = dict.fromkeys(asked.ways, True)
    first: dict[str, str] = {}
    for _ in range(asked.repeats):
        for way in asked.ways:
            with tempfile.TemporaryDirectory() as name:
                times[way].append(run(asked.config, asked.targets, asked.cores, way, Path(name)))
                found = contents(Path(name))
            first = first or found
            same[way] &= found == first
            print(f"{way:8} {times[way][-1][0]:7.1f} s", flush=True)
    rows: list[dict[str, Any]] = []
    slowest = np.median([seconds for seconds, _ in times[asked.ways[0]]])
    for way, each in times.items():
        seconds, processor = np.array(each).T
        rows.append(
            {
                "way": way,
                "cores": 1 if way == "one" else asked.cores,
                "seconds": f"{np.median(seconds):.1f}",
                "range": f"{seconds.min():.1f} to {seconds.max():.1f}",
                "times as fast": f"{slowest / np.median(seconds):.2f}",
                "processor s": f"{np.median(processor):.0f}",
                "same bits": "yes" if same[way] else "NO",
                "machine": f"{cpu_model()}, {os.cpu_count()} cores",
                "commit": commit_of(Path(__file__))[:8],
            }
        )
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    if asked.write is not None:
        table.to_csv(asked.write, index=False)


if __name__ == "__main__":
    main()
