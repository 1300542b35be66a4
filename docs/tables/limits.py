"""Withdrawals, sites and certificates on systems with a limit of quantification, beside exact fits.

    cd docs && ../.venv/bin/python -m tables.limits

measures them on synthetic decays, of which about a fifth of the values lie below the limit, for
five seeds. The exact fit maximises the likelihood whose integrals are sums over a grid of both
standard normal numbers of a system; it shares no code with the package's likelihood. Distances are
the largest ones of a parameter, in standard errors of the answer with all systems.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize

from tables.cells import table

FILE = Path(__file__).parent / "data/studies/limits.csv"
COUNT, DRAWS, SEEDS, GONE = 200, 128, range(1, 6), 10
TIMES = torch.tensor([0.25, 0.5, 1.0, 1.5, 2.0, 3.0], dtype=torch.float64)
LIMIT = 0.4
# Means and log deviations of log rate and log level, log deviation and log share of the noise.
TRUTH = np.array([-0.3, 0.6, *np.log([0.25, 0.4, 0.05, 0.12])])
GRID = torch.linspace(-5.5, 5.5, 45, dtype=torch.float64)


def decays(z: torch.Tensor) -> torch.Tensor:
    """Return level exp(-rate t) for z = (rate, level)."""
    return z[:, 1:] * torch.exp(-z[:, :1] * TIMES)


def exact_loss(y: np.ndarray, p: np.ndarray) -> tuple[float, np.ndarray]:
    """Return minus the log likelihood of systems (N, 6), and its gradient."""
    at, data = torch.from_numpy(p).requires_grad_(True), torch.from_numpy(y)
    omega = torch.cartesian_prod(GRID, GRID)
    signal = decays(torch.exp(at[:2] + torch.exp(at[2:4]) * omega))
    deviation = torch.sqrt(torch.exp(2 * at[4]) + torch.exp(2 * at[5]) * signal**2)
    r = (data[:, None] - signal) / deviation
    seen = -0.5 * r**2 - torch.log(deviation) - 0.5 * np.log(2 * np.pi)
    below = torch.special.log_ndtr(r)
    each = torch.where(data[:, None] <= LIMIT, below, seen).sum(dim=2)
    loss = -torch.logsumexp(each - 0.5 * (omega**2).sum(dim=1), dim=1).sum()
    (gradient,) = torch.autograd.grad(loss, at)
    return loss.item(), gradient.numpy()


def exact_fit(y: np.ndarray) -> np.ndarray:
    """Return the maximum (6,) of the exact likelihood."""
    found = minimize(partial(exact_loss, y), TRUTH, jac=True, method="BFGS", options={"gtol": 1e-3})
    return np.asarray(found.x)


def measured(seed: int) -> dict[str, float]:
    """Return the distances of one seed."""
    # Imported here: the pages need the table alone.
    from popinv.inference.conditions import Conditions
    from popinv.inference.likelihood.fit_marginal import fit_marginal_likelihood
    from popinv.inference.likelihood.fit_pseudo import fit_pseudo_likelihood
    from popinv.inference.likelihood.marginal import MarginalSettings
    from popinv.inference.problem import Problem
    from popinv.inference.result import estimate_dataset
    from popinv.inference.settings import DescentSettings
    from popinv.methods.certificate.answer import contributions_of, learn_from, remove_from
    from popinv.methods.federated.channel import Channel
    from popinv.methods.federated.server import Server
    from popinv.methods.federated.site import sites_of
    from popinv.methods.withdrawal.influence import influence_of
    from popinv.methods.withdrawal.refit import Refitter
    from popinv.population.laws.lognormal.law import LognormalLaw
    from popinv.population.noise.isotropic.noise import IsotropicNoise
    from popinv.population.noise.varying import VaryingNoise

    rng = np.random.default_rng(seed)
    law, noise = LognormalLaw(["rate", "level"]), VaryingNoise(IsotropicNoise(6), "combined")
    omega, e = (torch.from_numpy(rng.standard_normal((2 * COUNT, n))) for n in (2, 6))
    blank = Problem(
        np.zeros((2 * COUNT, 6)), decays, law, noise, np.full(6, 0.5), seed, stage="polish"
    )
    y = np.maximum(blank.model(torch.from_numpy(TRUTH), omega, e).numpy(), LIMIT)
    whole = replace(blank, data=y, conditions=Conditions(limits=np.full(y.shape, LIMIT)))
    problem, reference = (whole.of_systems(rows) for rows in np.split(np.arange(2 * COUNT), 2))
    start = fit_pseudo_likelihood(problem, [TRUTH + 0.2]).p
    estimate = fit_marginal_likelihood(problem, start, MarginalSettings(draws=DRAWS))
    errors, every = estimate.standard_errors, np.arange(COUNT)

    def apart(p: np.ndarray, other: np.ndarray) -> float:
        return float(np.abs((p - other) / errors).max())

    exact = exact_fit(problem.data)
    found = {"below": float((y <= LIMIT).mean()), "all": apart(estimate.p, exact)}
    answer = estimate_dataset(problem, estimate, {"estimator": "likelihood"})
    influence = influence_of(answer)
    refitter = Refitter(problem, answer, influence, DescentSettings(), DRAWS)
    below = np.argsort(-(problem.data <= LIMIT).sum(axis=1), kind="stable")[:GONE]
    by_influence = np.argsort(-influence.sizes)[:GONE]
    for name, gone in (("below", below), ("influential", by_influence)):
        left = exact_fit(np.delete(problem.data, gone, axis=0))
        # The error of the draws is that of the answer with all systems.
        shift = left - exact
        found[f"{name}_shift"] = apart(left, exact)
        found[f"{name}_first_order"] = apart(influence.shift(gone), shift)
        found[f"{name}_short_fit"] = apart(refitter.without(gone).shift, shift)
    parts = {str(i): problem.of_systems(own) for i, own in enumerate(np.array_split(every, 3))}
    server = Server(sites_of(parts, DRAWS), Channel(3, True, seed))
    found["federated"] = apart(server.answer(TRUTH + 0.2, "likelihood").p, exact)
    reference = replace(reference, stage="reference")
    each = contributions_of(TRUTH + 0.2, reference, problem, "likelihood", DRAWS)
    learned = learn_from(each, seed, epsilon=1.0, epochs=10, rate=0.5, clipping=5.0)
    removed = remove_from(learned, below.tolist(), 20, seed)
    left = exact_fit(np.delete(problem.data, below, axis=0))
    found["certificate_without_noise"] = apart(each.answer(removed.exact_left), left)
    found["certificate"] = apart(each.answer(removed.means["batch"][0]), left)
    return found


ROWS = {
    "withdrawal": {
        "values below the limit": "below",
        "answer with all systems, from the exact one": "all",
        f"shift without the {GONE} systems with the most values below": "below_shift",
        "what the first order leaves of it": "below_first_order",
        "what a short fit leaves of it": "below_short_fit",
        f"shift without the {GONE} most influential systems": "influential_shift",
        "what the first order leaves of it (most influential)": "influential_first_order",
        "what a short fit leaves of it (most influential)": "influential_short_fit",
    },
    "federated": {
        "answer of one place, from the exact one": "all",
        "answer of three sites, from the exact one": "federated",
    },
    "certificate": {
        f"{GONE} systems removed, without noise, from the exact fit": "certificate_without_noise",
        "the same, with the noise of the certificate": "certificate",
    },
}


def rows_of(method: str) -> Iterator[str]:
    """Yield the table of a method: means over the seeds, and the largest ones."""
    found = pd.read_csv(FILE)
    rows = [
        [words, f"{found[name].mean():.3f}", f"{found[name].max():.3f}"]
        for words, name in ROWS[method].items()
    ]
    yield from table(["with a limit of quantification", "mean", "largest"], rows)
    yield from ("", FILE.with_name("limits_commit.txt").read_text(encoding="utf-8").strip())


TABLES = {method: partial(rows_of, method) for method in ROWS}


if __name__ == "__main__":
    rows = pd.DataFrame([measured(seed) for seed in SEEDS], index=pd.Index(SEEDS, name="seed"))
    rows.to_csv(FILE, float_format="%.4g")
    told = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    said = f"*Measured at commit {told.stdout[:10]} over {len(SEEDS)} seeds.*\n"
    FILE.with_name("limits_commit.txt").write_text(said, encoding="utf-8")
