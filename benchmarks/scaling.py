"""Measure how processor time and memory of each stage grow with the size of a study.

    python benchmarks/scaling.py [--stages step heldout ...] [--largest 100000] [--write FILE]

Every size of every stage runs in a process of its own, on one thread, and reports processor
seconds (the lesser of two runs) and the memory that it took beyond the imports (its peak less that
after a warm-up). The surrogate is an untrained network of the default size: only the sizes matter.
Last in each row comes the exponent of the time from the size before it, and after each stage the
one fitted to all its sizes by least squares; nothing is asserted. FILE is the table of the
documentation (docs/tables/data/cost/scaling.csv), with the commit and the machine.

=============  ==================================================================================
step           one step of the descent on N systems, 50 observations, default settings
batch          the same with batches of 1000 systems
heldout        the tests on N held-out systems, 20 resamples
pseudo         the pseudo-likelihood of N systems and its scores
likelihood     the likelihood of N systems and its scores, 64 draws each, from their modes
storage        saving and loading observations of N systems
solve          N solves of porous flow in one dimension, 200 elements
training       one epoch on N solves
two_stage      the two-stage fit of N systems
observations   one step and its curvature, d observations, each with its own noise
full           the curvature of unrestricted noise of d observations
=============  ==================================================================================
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import xarray as xr

from benchmarks.machine import cpu_model
from popinv.baselines.two_stage import two_stage
from popinv.config.loading import load_file
from popinv.inference.checks.fitted_samples import FittedModel
from popinv.inference.checks.heldout_test import heldout_test
from popinv.inference.density.problem import Problem, begin
from popinv.inference.estimators.covariance_step import curvature_factor
from popinv.inference.estimators.descent import step
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.integrate import marginal, pseudo
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.terms import composed
from popinv.population.noise.unstructured import DiagonalNoise, FullNoise
from popinv.store import storage
from popinv.store.variables import variable
from popinv.surrogate import training
from popinv.surrogate.networks import build_network
from popinv.surrogate.standardisation import Standardisation
from popinv.surrogate.trained_network import Surrogate
from popinv.threads import fixed_threads
from popinv.workflow.records import commit_of

ROOT = Path(__file__).parents[1]
SIZES = {
    **dict.fromkeys(
        ("step", "batch", "heldout", "pseudo", "storage"), (100, 1000, 10_000, 100_000)
    ),
    **dict.fromkeys(("likelihood", "solve", "training", "two_stage"), (100, 1000, 10_000)),
    "observations": (10, 100, 300, 1000),
    "full": (20, 40, 80),
}
TITLES = {
    "step": "one step, N systems",
    "batch": "one step, batches of 1000 of N systems",
    "heldout": "held-out test, N systems, 20 resamples",
    "pseudo": "pseudo-likelihood and its scores, N systems",
    "storage": "saving and loading, N systems",
    "likelihood": "likelihood and its scores from near modes, N systems",
    "solve": "N solves, porous flow in one dimension",
    "training": "one epoch of training, N solves",
    "two_stage": "two-stage fit, N systems",
    "observations": "one step and its curvature, d observations, each with its own noise",
    "full": "curvature of unrestricted noise, d observations",
}
COLUMNS = (
    *("stage", "size", "processor s", "MB", "exponent", "exponent over all sizes"),
    *("commit", "machine"),
)
SETTINGS = DescentSettings()
D_Z, D_Y = 21, 50


def problem_of(count: int, d_y: int = D_Y, noise: NoiseModel | None = None) -> Problem:
    """Return a problem of ``count`` systems, observed through an untrained network."""
    torch.manual_seed(0)
    hyperparameters = {"width": 128, "depth": 3}
    units = Standardisation(np.zeros(D_Z), np.ones(D_Z), np.zeros(d_y), np.ones(d_y))
    surrogate = Surrogate(build_network(hyperparameters, D_Z, d_y), units, hyperparameters)
    noise = noise or KernelNoise(np.linspace(0.01, 0.99, d_y)[:, None], "exponential", nugget=False)
    law = normal_law([f"z_{i}" for i in range(D_Z)])
    data = np.random.default_rng(0).standard_normal((count, d_y))
    scale = np.concatenate([np.full(2 * D_Z, 0.5), noise.scale])
    return Problem(data, surrogate, law, composed(noise), scale)


def parameters_of(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return (alpha, gamma) of a spread-out law and a small noise."""
    return np.zeros(2 * D_Z), np.full(len(problem.noise.names), -1.0)


def one_step(problem: Problem, settings: DescentSettings, first: int = 3) -> Callable[[], Any]:
    """Return a step without (or, first = 0, with) the curvature that every twentieth renews."""
    state = begin(*parameters_of(problem), settings, np.eye(len(problem.scale)))
    return lambda: step(replace(state, iteration=first), problem, settings)


def pseudo_likelihood(problem: Problem) -> Callable[[], Any]:
    """Return an evaluation of the pseudo-likelihood with its scores."""
    omega = matched_draws(problem)
    alpha, gamma = (torch.from_numpy(part) for part in parameters_of(problem))
    return lambda: pseudo.evaluate(problem, moments_of_systems(problem, alpha, gamma, omega))


def work_of(stage: str, size: int) -> Callable[[], Any]:
    """Return what is measured."""
    if stage == "step":
        return one_step(problem_of(size), SETTINGS)
    if stage == "batch":
        return one_step(problem_of(size), SETTINGS.replace(batch_size=min(size, 1000)))
    if stage == "heldout":
        p = np.concatenate(parameters_of(problem_of(1000)))
        model = FittedModel(problem_of(1000), p, np.tile(p, (20, 1)))
        heldout = np.random.default_rng(1).standard_normal((size, D_Y))
        return lambda: heldout_test(model, heldout, 20)
    if stage == "pseudo":
        return pseudo_likelihood(problem_of(size))
    if stage == "likelihood":
        problem, given = problem_of(size), marginal.MarginalSettings()
        p = np.concatenate(parameters_of(problem))
        zero = np.zeros((size, D_Z)), np.zeros(size, dtype=int)
        memory = dict(zip(("modes", "corrections"), zero, strict=True))
        return lambda: marginal.evaluate(problem, p, given, memory)
    if stage == "storage":
        y = np.random.default_rng(0).standard_normal((size, D_Y))
        dataset = xr.Dataset({"y": variable(("system", "observation"), y, "observations")})

        def save_and_load() -> None:
            with tempfile.TemporaryDirectory() as folder:
                path = f"{folder}/y.zarr"
                storage.save(dataset, path, config={}, seed=0, created_by="benchmark")
                storage.load(path)

        return save_and_load
    if stage == "training":
        rng = np.random.default_rng(0)
        data = training.TrainingData(
            rng.standard_normal((size, D_Z)), rng.standard_normal((size, D_Y))
        )
        settings = training.TrainingSettings()
        ready = training.prepare(data, settings)
        start = training.initial_state(ready, settings)
        return lambda: training.step(start, ready, settings)
    if stage == "solve":
        forward = load_file(ROOT / "config" / "config.yaml").studies["porous_flow"].forward
        solver = forward.model(0)
        inputs = np.random.default_rng(0).standard_normal((size, D_Z))
        return lambda: solver.solve(inputs, "benchmark")
    if stage == "two_stage":
        problem = problem_of(size)
        return lambda: two_stage(problem, parameters_of(problem))
    if stage == "observations":
        return one_step(problem_of(1000, size, DiagonalNoise(size)), SETTINGS, first=0)
    noise = FullNoise(size, 0.1)
    problem = problem_of(300, size, noise)
    gamma = noise.from_natural({"standard_deviation": 1.0, "correlation": 0.0})
    at = torch.from_numpy(np.concatenate([parameters_of(problem)[0], gamma]))
    rng = np.random.default_rng(0)
    draws = (
        torch.from_numpy(rng.standard_normal((500, D_Z))),
        torch.from_numpy(rng.standard_normal((500, size))),
        None,
    )
    return lambda: curvature_factor(problem, SETTINGS, at, draws, 0)


def peak() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(stage: str, size: int) -> dict[str, float]:
    """Run one stage at one size, here: after the smallest size, which compiles what needs it."""
    with fixed_threads():
        smallest = SIZES[stage][0]
        work_of(stage, smallest)()
        before = peak()
        work = work_of(stage, size)
        seconds = []
        for _ in range(2):
            started = time.process_time()
            work()
            seconds.append(time.process_time() - started)
        return {"seconds": min(seconds), "bytes": peak() - before}


def in_its_own_process(stage: str, size: int) -> dict[str, float]:
    """Run :func:`measure` in a fresh interpreter."""
    command = [sys.executable, __file__, "--measure", stage, str(size)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def fitted_exponent(done: list[tuple[int, float]]) -> float:
    """Return the slope of log seconds against log size."""
    sizes, seconds = np.log(np.array(done)).T
    return float(np.polyfit(sizes, seconds, 1)[0])


def main() -> None:
    """Print a table with a row per stage and size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stages", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--largest", type=int, default=100_000)
    parser.add_argument("--write", type=Path, metavar="FILE")
    parser.add_argument("--measure", nargs=2, metavar=("STAGE", "SIZE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure[0], int(given.measure[1]))))
        return
    print(f"{'stage':14}{'size':>8}{'CPU s':>10}{'MB':>8}{'exponent':>10}")
    rows: list[list[str]] = []
    for stage in given.stages:
        done: list[tuple[int, float]] = []
        for size in (size for size in SIZES[stage] if size <= given.largest):
            measurement = in_its_own_process(stage, size)
            done.append((size, measurement["seconds"]))
            exponent = f"{fitted_exponent(done[-2:]):.2f}" if len(done) > 1 else ""
            megabytes = measurement["bytes"] / 1e6
            print(
                f"{stage:14}{size:>8}{measurement['seconds']:>10.3f}{megabytes:>8.0f}{exponent:>10}",
                flush=True,
            )
            cells = (f"{size:,}", f"{measurement['seconds']:.3f}", f"{megabytes:.0f}", exponent)
            rows.append([TITLES[stage], *cells, ""])
        if len(done) > 2:
            print(f"{stage:14}{'all':>8}{fitted_exponent(done):>28.2f}", flush=True)
            rows[-len(done)][-1] = f"{fitted_exponent(done):.2f}"
    if given.write is not None:
        where = commit_of(Path(__file__))[:8], f"{cpu_model()}, {os.cpu_count()} cores"
        with given.write.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([COLUMNS, *([*row, *where] for row in rows)])


if __name__ == "__main__":
    main()
