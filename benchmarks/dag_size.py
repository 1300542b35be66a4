"""The largest study: the cost of planning its jobs against the number of chunks.

Makes a study whose solves are cut into a given number of chunks, has Snakemake plan it
(``--dry-run``), and measures processor time, wall-clock time and peak memory of that process.
Prints a line for each number of chunks, and the exponents of growth between them.

    python benchmarks/dag_size.py [CHUNKS ...]
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
SIZES = (100, 1000, 10_000)
# Solves of the population and of the fresh ones that judge the surrogate; a chunk each.
_OTHERS = 2


def study_of(chunks: int) -> dict[str, Any]:
    """Return a configuration with this many chunk jobs."""
    study = {
        "forward": {"kind": "porous_flow"},
        "observations": {
            "count": 50,
            "heldout": 50,
            "truth": {
                "law": {"mean": 0.5, "standard_deviation": 0.4, "length": 0.3},
                "noise": {"amplitude": 0.1, "length": 0.1},
            },
        },
        "noise": {"kind": "kernel"},
        "active_learning": {
            "rounds": 1,
            "first_design": 100 * (chunks - _OTHERS),
            "chunk_size": 100,
        },
        "assessment": {"surrogate_check": 100},
    }
    return {"studies": {"large": study}}


def measure(chunks: int) -> dict[str, Any]:
    """Plan a study of this many chunks in a process of its own.

    Returns
    -------
    dict
        ``chunks``; ``processor_seconds``, ``wall_seconds`` and ``peak_megabytes`` of Snakemake.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.yaml").write_text(yaml.safe_dump(study_of(chunks)))
        command = [
            sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
            "--directory", folder, "--configfile", str(Path(folder) / "config.yaml"),
            "--workflow-profile", str(ROOT / "workflow/profiles/default"), "--cores", "2",
            "--dry-run", "--quiet", "all",
        ]  # fmt: skip
        started = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        printed = process.stdout.read()
        # This is the child's own use; getrusage gives the largest of all children so far.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"Snakemake ended with status {process.returncode}:\n{printed}")
    return {
        "chunks": chunks,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "wall_seconds": time.monotonic() - started,
        "peak_megabytes": _kilobytes(used) / 1024,
    }


def _kilobytes(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / 1024 if sys.platform == "darwin" else used.ru_maxrss


def exponent(small: dict[str, Any], large: dict[str, Any], key: str) -> float:
    """Return the power of the number of chunks with which a cost grows between two sizes."""
    return math.log(large[key] / small[key]) / math.log(large["chunks"] / small["chunks"])


def main(sizes: list[int]) -> None:
    """Print what each size costs, and how the costs grow."""
    print(f"{'chunks':>8} {'processor s':>12} {'wall s':>8} {'peak MB':>8}")
    rows = []
    for chunks in sizes:
        row = measure(chunks)
        rows.append(row)
        print(
            f"{chunks:8d} {row['processor_seconds']:12.1f} {row['wall_seconds']:8.1f} "
            f"{row['peak_megabytes']:8.0f}",
            flush=True,
        )
    for small, large in pairwise(rows):
        time_power, memory_power = (
            exponent(small, large, key) for key in ("processor_seconds", "peak_megabytes")
        )
        print(
            f"{small['chunks']} to {large['chunks']}: processor time grows with the power "
            f"{time_power:.2f}, memory with {memory_power:.2f}"
        )


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or list(SIZES))
