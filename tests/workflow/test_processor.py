"""Answers on other processors: equal to rounding, or bit for bit with a fixed instruction set."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_study import TINY, Workflow

from popinv.workflow.processor import numerics_environment
from popinv.workflow.records import read_record

STUDY = Path("results/tiny")
# Between AVX2 and AVX-512 the answer of this study changes by 1e-10, as the likelihood refines it.
# The end of a descent is less sharply defined, so that users are promised no more than this.
LAW_TOLERANCE, NOISE_TOLERANCE = 1e-4, 1e-3

# Matrix products, factorisations and elementary functions of each library that popinv uses.
NUMERICS = """
import hashlib, os
import numba, numpy as np, scipy.linalg, torch

torch.set_num_threads(1)
rng = np.random.default_rng(0)
a, b = rng.normal(size=(60, 33)), rng.normal(size=(33, 41))
spd = a.T @ a + 33 * np.eye(33)

@numba.njit(fastmath={"reassoc"})
def kernel(x):
    total = 0.0
    for i in range(x.size):
        total += np.exp(x.flat[i]) * x.flat[i]
    return total

results = {
    "numpy": [a @ b, np.exp(a), np.sin(a), np.linalg.eigh(spd)[0], a.sum(0), a.mean()],
    "scipy": [scipy.linalg.cho_factor(spd)[0], scipy.linalg.expm(spd / 99)],
    "numba": [np.array(kernel(a))],
}
for kind in (torch.float32, torch.float64):
    x, y = torch.tensor(a, dtype=kind), torch.tensor(b, dtype=kind)
    found = [x @ y, torch.tanh(x), torch.exp(x), torch.logsumexp(x, 0), x.sum(0),
             torch.linalg.cholesky(torch.tensor(spd, dtype=kind))]
    results[str(kind)] = [each.numpy() for each in found]
for name, arrays in results.items():
    print(name, *(hashlib.sha1(np.ascontiguousarray(x)).hexdigest()[:8] for x in arrays))
"""


def answer(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / STUDY / "metrics.json").read_text())
    return found


PARAMETERS = {
    "alpha_mean": LAW_TOLERANCE,
    "alpha_standard_deviation": LAW_TOLERANCE,
    "alpha_length": LAW_TOLERANCE,
    "noise_amplitude": NOISE_TOLERANCE,
    "noise_length": NOISE_TOLERANCE,
}


@pytest.mark.full
@pytest.mark.firedrake
def test_another_instruction_set_gives_the_same_answer_to_the_stated_tolerance(
    untouched: Workflow, tmp_path: Path
) -> None:
    """The results of the native set are made again, and nothing changes beyond the tolerance."""
    workflow = untouched.copied(tmp_path / "copy")
    config = copy.deepcopy(TINY) | {"instruction_set": "avx2"}
    workflow.configure(config)
    assert "made with the instruction set 'native', not 'avx2'" in workflow.printed()
    record = read_record(workflow.folder / STUDY / "made/deconvolve.json")
    assert record.machine["instruction_set"] == "avx2"
    before, now = answer(untouched.folder), answer(workflow.folder)
    for name, tolerance in PARAMETERS.items():
        assert now[name] == pytest.approx(before[name], rel=tolerance), name
    assert now != before
    again = workflow.run()
    assert "Nothing to be done" in again.stdout
    workflow.configure(TINY)
    assert "Nothing to be done" in workflow.run().stdout


def numerics(chosen: str, processor: str | None) -> str:
    """Return hashes of results, on this processor or on one that QEMU emulates."""
    environment = {**os.environ, **numerics_environment(chosen, os.environ)}
    emulator = ["qemu-x86_64", "-cpu", processor] if processor else []
    command = [*emulator, sys.executable, "-W", "ignore", "-c", NUMERICS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.full
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs Debian's qemu-user")
@pytest.mark.parametrize(
    ("chosen", "processor"),
    [("avx2", "Haswell-noTSX"), ("portable", "Haswell-noTSX"), ("portable", "EPYC-Milan")],
)
def test_a_fixed_set_gives_equal_bits_on_emulated_processors(chosen: str, processor: str) -> None:
    """The same libraries run here and on a processor without AVX-512, or of another maker."""
    assert numerics(chosen, None) == numerics(chosen, processor)
