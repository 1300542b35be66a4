"""Time what processes share, with one and with several of them, in one run.

    python benchmarks/shared_loops.py [--processes 2 ...] [--systems 1000] [--only likelihood ...]

The population comes from the template which ``popinv new-study --forward python`` writes, with ten
observations of each system. Each row states the seconds with one process and with several, their
ratio, and whether the results are the same to the last bit. Nothing is asserted or stored.

=================  =================================================================================
likelihood         likelihood and scores of all systems at one law and noise
pseudo_likelihood  the fit of the Gaussian quasi-likelihood, from the study's start
estimate           both likelihoods, from the study's start
posteriors         draws of the parameters of 200 systems
=================  =================================================================================
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.machine import cpu_model, load_average
from benchmarks.marginal_likelihood import START, TRUTH, estimate, problem
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate.marginal import MarginalSettings, evaluate
from popinv.methods.posterior.sampling import sample_posteriors
from popinv.threads import fixed_threads
from popinv.workers import processes


def _likelihood(given: Problem) -> np.ndarray:
    found = evaluate(given, TRUTH, MarginalSettings())
    return np.column_stack([found.log_likelihood, found.scores])


def _posteriors(given: Problem) -> np.ndarray:
    some = given.of_systems(np.arange(min(1000, len(given.data))))
    found = sample_posteriors(some, TRUTH, 4, 400, 4000)
    return np.concatenate([draws.ravel() for draws in found.draws])


WORK: dict[str, Callable[[Problem], np.ndarray]] = {
    "likelihood": _likelihood,
    "pseudo_likelihood": lambda given: fit_pseudo_likelihood(given, [START]).p,
    "estimate": lambda given: estimate(given).p,
    "posteriors": _posteriors,
}


def timed(work: Callable[[Problem], np.ndarray], given: Problem) -> tuple[float, np.ndarray]:
    """Return the seconds of some work, and its result."""
    began = time.perf_counter()
    found = work(given)
    return time.perf_counter() - began, found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each kind of work and each number of processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="*", default=[2])
    parser.add_argument("--systems", type=int, default=1000)
    parser.add_argument("--only", nargs="*", choices=WORK, default=list(WORK))
    asked = parser.parse_args(arguments)
    print(f"{cpu_model()}, {os.cpu_count()} cores, load {load_average()}")
    given = problem(asked.systems)
    with fixed_threads():
        # The code is compiled before anything is timed.
        _likelihood(problem(20))
        for name in asked.only:
            alone, expected = timed(WORK[name], given)
            for count in asked.processes:
                with processes(count):
                    together, found = timed(WORK[name], given)
                same = "the same bits" if np.array_equal(found, expected) else "OTHER RESULTS"
                ratio = f"{alone / together:5.2f} times as fast"
                times = f"{alone:8.2f} s, {together:8.2f} s with {count}"
                print(f"{name:20} {times}: {ratio}, {same}", flush=True)


if __name__ == "__main__":
    main()
