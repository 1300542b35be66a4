"""The figures of docs/how_it_works.md, computed by the package.

    python docs/explain.py        # writes docs/pictures/explain_*.svg, in about a minute

The pushes of the cut gradient are those of the template of ``popinv new-study --forward python``:
1000 curves ``size exp(-rate t)`` at ten times, lognormal size and rate, independent noise of
standard deviation 0.1. The descents are those of the default study, which has to be finished.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from popinv.charts.style import DATA, LIGHT, MODEL, TRUTH, style
from popinv.config.loading import load_file
from popinv.inference.estimators.descent import step
from popinv.inference.density.problem import Problem, begin
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.stages.descend_with_policy import descend_with_policy
from popinv.population.laws.gaussian import lognormal_law
from popinv.population.model import Model
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.store import storage

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
STUDY = ROOT / "results" / "porous_flow"
TIMES = torch.arange(1, 11, dtype=torch.float64) / 2
# Means of log size and log rate, logarithms of their deviations, logarithm of the noise's.
TRUE = np.array([0.5, -0.5, np.log(0.3), np.log(0.4), np.log(0.1)])
WRONG = np.array([0.3, -0.2, np.log(0.45), np.log(0.6)])
POLICIES = {"cut": MODEL, "full": TRUTH, "plain": LIGHT}
SYSTEMS = 1000
# Twice the fall of the log likelihood at the border of a 95 % region of two parameters.
REGION = 5.99


def curves(z: torch.Tensor) -> torch.Tensor:
    """Return size exp(-rate t) for z (n, 2) = (size, rate), shape (n, 10)."""
    return z[:, :1] * torch.exp(-z[:, 1:] * TIMES)


def template() -> Problem:
    """Return the template's problem with data drawn from the truth."""
    law, noise = lognormal_law(["size", "rate"]), IsotropicNoise(len(TIMES))
    rng = np.random.default_rng(1)
    z = law.sample(torch.from_numpy(TRUE[:4]), torch.from_numpy(rng.standard_normal((SYSTEMS, 2))))
    data = curves(z).numpy() + np.exp(TRUE[4]) * rng.standard_normal((SYSTEMS, len(TIMES)))
    return Problem(data, curves, law, noise, np.full(5, 0.5), seed=1, stage="explain")


def push_on_noise(problem: Problem, policy: str, alpha: np.ndarray, sizes: np.ndarray) -> list:
    """Return minus the derivative of the loss in the logarithm of the noise's size, by size."""
    settings = DescentSettings(policy=policy, iterations=1)
    return [
        -step(begin(alpha, np.array([np.log(size)]), settings), problem, settings)[1]["gradient"][4]
        for size in sizes
    ]


def draw_cut_gradient() -> Figure:
    """Draw the push of each policy on the size of the noise, and descents of the default study."""
    problem, sizes = template(), np.geomspace(0.04, 1.0, 25)
    figure = Figure(figsize=(9.6, 3.6))
    axes = figure.subplots(1, 3)
    for ax, alpha, title in zip(
        axes, (TRUE[:4], WRONG), ("Law right", "Law still wrong"), strict=False
    ):
        for policy in ("cut", "full"):
            push = push_on_noise(problem, policy, alpha, sizes)
            ax.plot(sizes, push, color=POLICIES[policy], label=policy)
            print(f"{title}, {policy}: no push at {np.interp(0, push[::-1], sizes[::-1]):.3f}")
        ax.axhline(0, color="black", linewidth=0.8)
        ax.axvline(np.exp(TRUE[4]), color=DATA, linestyle=":", linewidth=1.2)
        ax.set(xscale="log", ylim=(-1.6, 1.6), title=title, xlabel="size of the model's noise")
    axes[0].set_ylabel("push on its logarithm")
    draw_descents(axes[2])
    return figure


def draw_descents(ax: Axes) -> None:
    """Draw the length of the noise in the descents of the default study with each policy."""
    study = load_file(ROOT / "config" / "config.yaml").studies["porous_flow"]
    model = Model(study.forward, study.law, study.noise)
    last = STUDY / "rounds" / str(study.active_learning.rounds - 1)
    stores = (
        STUDY / "observations.zarr.zip",
        last / "surrogate.zarr.zip",
        last / "estimate.zarr.zip",
    )
    inputs = [storage.load(store) for store in stores]
    for policy, colour in POLICIES.items():
        settings = study.descent.replace(policy=policy)
        answer = descend_with_policy(model, settings, *inputs, seed=study.seed)
        path = answer["noise_path"].sel(noise_parameter="length").values
        print(f"{policy}: the length of the noise ends at {path[-1]:.4f}")
        ax.plot(np.arange(1, len(path) + 1), path, color=colour, label=policy)
    truth = study.observations.truth.noise["length"]
    ax.axhline(truth, color=DATA, linestyle=":", linewidth=1.2, label="truth")
    ax.set(title="Descent of the default study", xlabel="step", ylabel="length of the noise")
    ax.legend()


def gaussian(values: np.ndarray, covariance: np.ndarray) -> float:
    """Return the log likelihood of rows under a centred normal law, up to a constant."""
    _, log_determinant = np.linalg.slogdet(covariance)
    solved = np.linalg.solve(covariance, values.T)
    return -0.5 * (len(values) * log_determinant + float((values.T * solved).sum()))


def by_quadrature(values: np.ndarray, spread: float, noise: float) -> float:
    """Return the log likelihood of y = exp(s w) + noise, w standard normal, up to a constant."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    residuals = (values[:, None] - np.exp(spread * nodes)) / noise
    density = np.exp(-0.5 * residuals**2) @ (weights / weights.sum())
    return float(np.log(density / noise).sum())


def draw_identifiability() -> Figure:
    """Draw where the likelihood of the spreads of parameter and noise is large, in three cases."""
    rng = np.random.default_rng(1)
    omega, e = rng.standard_normal(SYSTEMS), rng.standard_normal((SYSTEMS, 2))
    spreads = noises = np.linspace(0.25, 0.75, 81)
    one = 0.5 * omega[:, None] + 0.5 * e[:, :1]
    two = 0.5 * omega[:, None] + 0.5 * e
    bent = np.exp(0.5 * omega) + 0.5 * e[:, 0]
    cases = {
        "One sensor, y = z": lambda s, t: gaussian(one, np.array([[s**2 + t**2]])),
        "Two sensors, y = (z, z)": lambda s, t: gaussian(two, s**2 + t**2 * np.eye(2)),
        "One sensor, y = exp(z)": lambda s, t: by_quadrature(bent, s, t),
    }
    figure = Figure(figsize=(9.6, 3.6))
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    for ax, (title, likelihood) in zip(axes, cases.items(), strict=True):
        fall = np.array([[likelihood(s, t) for s in spreads] for t in noises])
        fall = 2 * (fall.max() - fall)
        ax.contourf(spreads, noises, fall, levels=[0, REGION], colors=[MODEL], alpha=0.35)
        ax.contour(spreads, noises, fall, levels=[REGION], colors=[MODEL], linewidths=1.5)
        ax.plot(0.5, 0.5, "x", color=TRUTH, markersize=9, markeredgewidth=2.2)
        ax.set(title=title, xlabel="spread of z", aspect="equal")
        inside = fall < REGION
        print(f"{title}: spread of z from {spreads[inside.any(0)].min():.3f} "
              f"to {spreads[inside.any(0)].max():.3f}")  # fmt: skip
    axes[0].set_ylabel("spread of the noise")
    return figure


def save(figure: Figure, name: str) -> None:
    """Write an SVG that is the same for the same figure."""
    with matplotlib.rc_context({"svg.hashsalt": "popinv", "svg.fonttype": "path"}):
        figure.savefig(PICTURES / name, metadata={"Date": None})


if __name__ == "__main__":
    with style():
        save(draw_cut_gradient(), "explain_cut_gradient.svg")
        save(draw_identifiability(), "explain_identifiability.svg")
