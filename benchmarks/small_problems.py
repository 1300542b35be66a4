"""Fit small data sets of R's nlme by popinv and by nlme, each in a new process.

    python benchmarks/small_problems.py [--only Orthodont ...] [--tests]

Each row states both estimates and both log likelihoods, the log likelihood at popinv's answer by
adaptive Gauss-Hermite quadrature of its own (20 nodes for each parameter that varies), and the
processor and wall seconds of both processes with all their imports. nlme maximises an approximation
where the model is not linear, so that only its estimates for Orthodont must agree. ``--tests``
tests the model with systems that it has not seen too.

=========  ========================================================================================
Orthodont  a line for each child, with correlated intercepts and slopes
Loblolly   asymptotic growth of pines, whose asymptote varies
Indometh   two exponentials, with three parameters that vary
Soybean    logistic growth of plots, two parameters that vary, noise proportional to the signal
=========  ========================================================================================

It needs ``Rscript`` with nlme (Debian: r-base-core, r-cran-nlme); nothing is asserted or stored.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.machine import by_rscript

_NODES = 20
_IN_R = "library(nlme); d <- as.data.frame({name}); write.csv(d, row.names = FALSE)"
_FIT_IN_R = """library(nlme); d <- as.data.frame({name}); f <- {call}
cat(paste(c(fixef(f), as.numeric(VarCorr(f)[, "StdDev"]), logLik(f)), collapse = " "))"""


def _line(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    return z[:, :1] + z[:, 1:] * torch.as_tensor(times)


def _asymptotic(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    decay = torch.exp(-torch.exp(z[:, 2:]) * torch.as_tensor(times))
    return z[:, :1] + (z[:, 1:2] - z[:, :1]) * decay


def _exponentials(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    t = torch.as_tensor(times)
    fast, slow = (torch.exp(-torch.exp(rate) * t) for rate in (z[:, 1:2], z[:, 3:]))
    return z[:, :1] * fast + z[:, 2:3] * slow


def _logistic(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    return z[:, :1] / (1 + torch.exp((z[:, 1:2] - torch.as_tensor(times)) / z[:, 2:]))


@dataclass(frozen=True)
class Case:
    """A data set, its model, and the call of nlme.

    Attributes
    ----------
    model : callable
    columns : tuple of str
        Columns of the system, the time and the value.
    start : mapping of str to (float, float)
        Mean and standard deviation of each parameter; one that is 0 stays 0.
    noise : float
        Standard deviation of the noise at the start, of the signal's share if it is proportional.
    call : str
    """

    model: Callable[[torch.Tensor, np.ndarray], torch.Tensor]
    columns: tuple[str, str, str]
    start: Mapping[str, tuple[float, float]]
    noise: float
    call: str
    correlated: bool = False
    proportional: bool = False


CASES = {
    "Orthodont": Case(
        _line,
        ("Subject", "age", "distance"),
        {"intercept": (17.0, 2.0), "slope": (0.7, 0.3)},
        1.0,
        "lme(distance ~ age, d, ~ age | Subject, method = 'ML')",
        correlated=True,
    ),
    "Loblolly": Case(
        _asymptotic,
        ("Seed", "age", "height"),
        {"Asym": (103.0, 5.0), "R0": (-8.5, 0.0), "lrc": (-3.3, 0.0)},
        1.0,
        "nlme(height ~ SSasymp(age, Asym, R0, lrc), d, Asym + R0 + lrc ~ 1, Asym ~ 1, ~ Seed, "
        "start = c(103, -8.5, -3.3))",
    ),
    "Indometh": Case(
        _exponentials,
        ("Subject", "time", "conc"),
        {"A1": (2.8, 0.5), "lrc1": (0.8, 0.2), "A2": (0.5, 0.1), "lrc2": (-1.3, 0.0)},
        0.1,
        "nlme(conc ~ SSbiexp(time, A1, lrc1, A2, lrc2), d, A1 + lrc1 + A2 + lrc2 ~ 1, "
        "pdDiag(A1 + lrc1 + A2 ~ 1), ~ Subject, start = c(2.8, .77, .46, -1.35))",
    ),
    "Soybean": Case(
        _logistic,
        ("Plot", "Time", "weight"),
        {"Asym": (19.0, 4.0), "xmid": (55.0, 3.0), "scal": (8.4, 0.0)},
        0.3,
        "nlme(weight ~ SSlogis(Time, Asym, xmid, scal), d, Asym + xmid + scal ~ 1, "
        "pdDiag(Asym + xmid ~ 1), ~ Plot, start = c(19, 55, 8.4), weights = varPower(fixed = 1))",
        proportional=True,
    ),
}


def data_of(name: str) -> pd.DataFrame:
    """Return a data set of nlme, with the columns of its case."""
    script = _IN_R.format(name=name)
    return pd.read_csv(io.StringIO(by_rscript("-e", script)))[list(CASES[name].columns)]


def fitted(name: str, data: pd.DataFrame, tests: bool) -> dict[str, float]:
    """Return the numbers of popinv's fit."""
    import popinv  # its import is part of what the new process measures

    case = CASES[name]
    start = {key: {"mean": m, "standard_deviation": s} for key, (m, s) in case.start.items()}
    law = {"kind": "normal", "correlations": case.correlated, "start": start}
    noise: dict[str, Any] = {"kind": "isotropic", "start": {"standard_deviation": case.noise}}
    if case.proportional:
        noise["errors"] = {"grows": "proportional"}
    system, times, value = case.columns
    result = popinv.fit(
        data,
        case.model,
        law=law,
        noise=noise,
        system_column=system,
        time_column=times,
        value_column=value,
        tests=tests,
        progress=False,
    )
    numbers = result.summary()["estimate"].to_dict()
    return {**numbers, **{k: result.metrics[k] for k in ("log_likelihood", "log_likelihood_error")}}


def quadrature(name: str, data: pd.DataFrame, numbers: Mapping[str, float]) -> float:
    """Return the log likelihood at an answer, by adaptive Gauss-Hermite quadrature."""
    case, names = CASES[name], list(CASES[name].start)
    varying = [i for i, (_, deviation) in enumerate(case.start.values()) if deviation]
    mean = np.array([numbers[f"{key}_mean"] for key in names])
    deviations = [numbers[f"{names[i]}_standard_deviation"] for i in varying]
    root = np.diag(deviations)
    if case.correlated:
        r = numbers[f"{names[0]}_{names[1]}_correlation"]
        root = root @ np.array([[1.0, 0.0], [r, np.sqrt(1 - r**2)]])
    sigma, d = numbers["noise_standard_deviation"], len(varying)
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    grid = np.stack(np.meshgrid(*[nodes] * d, indexing="ij"), axis=-1).reshape(-1, d)
    logs = np.stack(np.meshgrid(*[np.log(weights)] * d, indexing="ij"), axis=-1).sum(axis=-1)
    system, times, value = case.columns
    total = 0.0
    for _, own in data.groupby(system):
        t, y = np.array(own[times], dtype=float), np.array(own[value], dtype=float)

        def negative(u: np.ndarray, t: np.ndarray = t, y: np.ndarray = y) -> np.ndarray:
            """Return -log p(y, u) for rows of standard normal u."""
            z = np.tile(mean, (len(u), 1))
            z[:, varying] += u @ root.T
            g = case.model(torch.from_numpy(z), t).numpy()
            spread = sigma * np.abs(g) if case.proportional else np.full_like(g, sigma)
            fall = 0.5 * ((y - g) / spread) ** 2 + np.log(spread)
            prior = 0.5 * (u**2).sum(axis=1)
            return fall.sum(axis=1) + prior + 0.5 * (len(y) + d) * np.log(2 * np.pi)

        mode, scale = _mode(negative, d)
        points = mode + grid @ scale.T
        terms = -negative(points) + 0.5 * (grid**2).sum(axis=1) + logs.ravel()
        total += float(np.logaddexp.reduce(terms) + np.log(np.linalg.det(scale)))
    return total


def _mode(negative: Callable[[np.ndarray], np.ndarray], d: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mode (d,) of a posterior, and the root of its covariance there (d, d)."""
    from scipy.optimize import minimize

    mode = minimize(lambda u: float(negative(u[None])[0]), np.zeros(d), tol=1e-10).x
    step, eye = 1e-3, np.eye(d)
    shifts = [(a, b) for a in (eye, -eye) for b in (eye, -eye)]
    corners = [[negative(mode + step * (a[:, None] + b)[k]) for k in range(d)] for a, b in shifts]
    plus, one, two, minus = np.array(corners)
    hessian = (plus - one - two + minus) / (4 * step**2)
    return mode, np.linalg.inv(np.linalg.cholesky((hessian + hessian.T) / 2)).T


def timed(command: Sequence[str], text: str = "") -> tuple[str, float, float]:
    """Return what a new process prints, and its processor and wall seconds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def compare(name: str, tests: bool) -> None:
    """Print both fits of one data set."""
    data = data_of(name)
    command = [sys.executable, __file__, "--fit", name, *(["--tests"] if tests else [])]
    told, own, own_wall = timed(command, data.to_csv(index=False))
    numbers = json.loads(told.splitlines()[-1])
    call = _FIT_IN_R.format(name=name, call=CASES[name].call)
    peer, theirs, theirs_wall = timed(["Rscript", "-e", call])
    *estimates, value = map(float, peer.split())
    # Rows of VarCorr: the deviations of what varies, and of the noise.
    varying = [key for key, (_, deviation) in CASES[name].start.items() if deviation]
    keys = [f"{key}_mean" for key in CASES[name].start]
    keys += [f"{key}_standard_deviation" for key in [*varying, "noise"]]
    print(f"\n{name}: {'popinv':>30} {'nlme':>12}")
    for key, estimate in zip(keys, estimates, strict=True):
        print(f"  {key:<30} {numbers[key]:>10.5g} {estimate:>12.5g}")
    error = numbers["log_likelihood_error"]
    print(f"  {'log likelihood':<30} {numbers['log_likelihood']:>10.3f} {value:>12.3f}")
    exact = quadrature(name, data, numbers)
    print(f"  {'at the answer, by quadrature':<30} {exact:>10.3f}    (error of popinv {error:.3f})")
    print(f"  {'processor seconds':<30} {own:>10.2f} {theirs:>12.2f}    ratio {own / theirs:.1f}")
    print(f"  {'wall seconds':<30} {own_wall:>10.2f} {theirs_wall:>12.2f}")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--tests", action="store_true", help="test the model too")
    parser.add_argument("--fit", choices=CASES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fit:
        print(json.dumps(fitted(given.fit, pd.read_csv(sys.stdin), given.tests)))
        return
    for name in given.only:
        compare(name, given.tests)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
