"""The posterior of the law beside NUTS on the joint model, which samples all systems' parameters.

    python -m benchmarks.joint_model    # docs/tables/data/law_posterior_joint.csv

The names of data sets after the command measure these alone, and leave the other rows of the table.

*Rails*: six rails of R's nlme, each measured three times, y_nj = z_n + xi_nj, in units of 10 ns.

*Cooling*: ten cups, y_nj = exp(-exp(z_n) t_j) + xi_nj at four times, drawn from a known truth.

In both z_n ~ N(m, s^2) and xi_nj ~ N(0, sigma^2). The prior is flat in m, and half-Student-t with 4
degrees of freedom in s and sigma. The joint model is written in NumPyro (Phan, Pradhan and
Jankowiak, arXiv:1912.11554, 2019), with z_n = m + s omega_n, and shares no code with the package.
The error of a mean or of a quantile is that of ArviZ (Vehtari et al., Bayesian Analysis 16, 2021),
and the column of differences is in errors of both together.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import arviz
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import torch
from numpyro.infer import MCMC, NUTS

from benchmarks.few_systems import DATA, NAMES
from benchmarks.machine import ROOT, cpu_model
from popinv.inference.density.problem import Problem
from popinv.inference.uncertainty.law_posterior import ChainSettings, sample_law
from popinv.population.constraints import POSITIVE
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.terms import Noise
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.population.priors.prior import EntryPriors, Prior, StatedPrior, half_student
from popinv.workflow.records import commit_of

TABLE = DATA / "law_posterior_joint.csv"
TIMES = np.array([0.5, 1.0, 2.0, 3.0])
QUANTILES = (0.05, 0.5, 0.95)
# The package takes its default numbers of draws.
CHAINS = 4
JOINT_KEPT, JOINT_WARMUP, ACCEPTED = 2500, 1000, 0.95


@dataclass(frozen=True)
class DataSet:
    """Observations y (N, n), and their signal for numbers z (N, 1), in either array library.

    ``start`` is that of (m, s, sigma); it sets the scales of the prior.
    """

    y: np.ndarray
    start: tuple[float, float, float]
    signal: Callable[..., Any]


def rails() -> DataSet:
    """Return the rails."""
    with (ROOT / "config/examples/real_data/Rail.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    every = sorted({row["Rail"] for row in rows}, key=int)
    y = [[float(row["travel"]) / 10 for row in rows if row["Rail"] == rail] for rail in every]
    return DataSet(np.array(y), (6.0, 1.5, 0.5), lambda z, times, library: z + 0.0 * times[:3])


def cooling() -> DataSet:
    """Return cups that cool at rates of their own."""
    rng = np.random.default_rng(46)
    z = -0.3 + 0.5 * rng.standard_normal((10, 1))
    y = np.exp(-np.exp(z) * TIMES) + 0.05 * rng.standard_normal((10, len(TIMES)))
    return DataSet(
        y, (-0.3, 0.5, 0.05), lambda z, times, library: library.exp(-library.exp(z) * times)
    )


SETS = {"rails": rails, "cooling": cooling}


def of_law(data: DataSet, seed: int = 1) -> np.ndarray:
    """Return draws (chains, draws, 3) of (m, s, sigma) by the package."""
    start = np.array([data.start[0], *np.log(data.start[1:])])
    times, width = torch.from_numpy(TIMES), data.y.shape[1]
    problem = Problem(
        data.y,
        lambda z: data.signal(z, times, torch),
        normal_law(["z"]),
        Noise(IsotropicNoise(width)),
        np.array([max(float(data.y.std()), 1e-3), 0.5, 0.5]),
        seed=seed,
    )
    densities = tuple(half_student(4.0, 2.5 * s, POSITIVE.ends) for s in data.start[1:])
    stated = EntryPriors(np.array([1, 2]), (POSITIVE, POSITIVE), densities)
    prior = Prior.of(problem.law, problem.noise, StatedPrior((stated,)))
    found = sample_law(problem, start, prior, ChainSettings(chains=CHAINS))
    if reason := found.reason(NAMES):
        sys.exit(f"the posterior of the law: {reason}")
    return np.concatenate([found.p[..., :1], np.exp(found.p[..., 1:])], axis=-1)


def of_joint_model(data: DataSet, seed: int = 1) -> np.ndarray:
    """Return draws (chains, draws, 3) of (m, s, sigma) by NUTS on the joint model."""
    scale = 2.5 * np.array(data.start[1:])

    def joint() -> None:
        mean = numpyro.sample("mean", dist.ImproperUniform(dist.constraints.real, (), ()))
        deviations = numpyro.sample("deviations", dist.HalfNormal(1.0).expand([2]).mask(False))
        numpyro.factor("prior", -2.5 * jnp.log1p((deviations / scale) ** 2 / 4).sum())
        omega = numpyro.sample("omega", dist.Normal(0.0, 1.0).expand([len(data.y), 1]))
        signal = data.signal(mean + deviations[0] * omega, TIMES, jnp)
        numpyro.sample("y", dist.Normal(signal, deviations[1]), obs=data.y)

    numpyro.enable_x64()
    sampler = NUTS(joint, target_accept_prob=ACCEPTED)
    chains = MCMC(
        sampler,
        num_warmup=JOINT_WARMUP,
        num_samples=JOINT_KEPT,
        num_chains=CHAINS,
        chain_method="sequential",
        progress_bar=False,
    )
    chains.run(jax.random.PRNGKey(seed))
    drawn = chains.get_samples(group_by_chain=True)
    return np.concatenate([np.asarray(drawn["mean"])[..., None], drawn["deviations"]], axis=-1)


def read(draws: np.ndarray) -> Iterator[tuple[str, float, float]]:
    """Yield name, value and Monte-Carlo error of the mean and the quantiles of draws."""
    yield "mean", float(draws.mean()), float(np.ravel(arviz.mcse(draws))[0])
    for level in QUANTILES:
        error = float(arviz.mcse(draws, method="quantile", prob=level))
        yield f"{100 * level:.0f} %", float(np.quantile(draws, level)), error


def compared(name: str) -> list[dict[str, str]]:
    """Return the rows of a data set."""
    data, rows = SETS[name](), []
    both = of_law(data), of_joint_model(data)
    for k, parameter in enumerate(NAMES):
        r_hat = max(float(arviz.rhat(draws[..., k])) for draws in both)
        for (what, value, own), (_, other, error) in zip(
            *(read(draws[..., k]) for draws in both), strict=True
        ):
            rows.append(
                {
                    "data set": name,
                    "systems": f"{len(data.y)}",
                    "parameter": parameter,
                    "of": what,
                    "posterior of the law": f"{value:.4f}",
                    "joint model": f"{other:.4f}",
                    "error of both": f"{np.hypot(own, error):.4f}",
                    "difference, errors": f"{(value - other) / np.hypot(own, error):+.1f}",
                    "largest R-hat": f"{r_hat:.3f}",
                }
            )
    return rows


def write(names: list[str]) -> None:
    """Measure data sets, and write their rows among those of others."""
    told = {"commit": commit_of(ROOT / "benchmarks/joint_model.py")[:8], "machine": cpu_model()}
    measured, kept = [row for name in names for row in compared(name)], []
    if TABLE.is_file():
        with TABLE.open(newline="") as file:
            kept = [row for row in csv.DictReader(file) if row["data set"] not in names]
    rows = kept + [{**row, **told} for row in measured]
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: list(SETS).index(row["data set"])))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if unknown := set(sys.argv[1:]) - set(SETS):
        sys.exit(f"no data set {', '.join(sorted(unknown))}; there are {', '.join(SETS)}")
    write(sys.argv[1:] or list(SETS))
