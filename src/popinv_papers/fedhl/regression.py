r"""The part of the test problem in which everything is known: a linear regression.

Client i observes y = W_i^* x for 100 rows x of its own, with W_i^* = W^* + D_i. W^* has rank 12 and
shape 40 x 30, and D_i is normal with a given deviation. Its loss is

.. math:: f_i(W) = \tfrac12 \operatorname{tr} (W - W_i^*) C_i (W - W_i^*)^T, \qquad
          \nabla f_i(W) = (W - W_i^*) C_i,

with C_i the second moments of its x. The mean loss has its minimum where its gradient is zero,
which is a linear system. A client that starts from a truncated W lacks E_i = W - W^{r_i}, so that
its first gradient is off by E_i C_i: the drift of a round with weights p_i is
|sum p_i E_i C_i|_F.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from tqdm import tqdm

from popinv.seeds import generator
from popinv.store.variables import variable
from popinv_papers.fedhl.clients import Local
from popinv_papers.fedhl.federation import Federation, begin, run, step
from popinv_papers.fedhl.lora import Dense
from popinv_papers.fedhl.server import (
    Weighting,
    aggregation_weights,
    decompose,
    squared_truncation_errors,
)
from popinv_papers.kit.kept import kept, kept_numbers

RANKS = np.array([2, 2, 4, 4, 4, 6, 6, 8, 8, 12])
_M, _N, _RANK, _ROWS = 40, 30, 12, 100
_LAYER = "w"


@dataclass(frozen=True)
class Regression:
    """The clients' losses.

    Parameters
    ----------
    targets : Tensor of shape (K, m, n)
        W_i^*.
    moments : Tensor of shape (K, n, n)
        C_i.
    noise : float
        Deviation of the normal noise that is added to each entry of a gradient. The seed is its
        address.
    """

    targets: torch.Tensor
    moments: torch.Tensor
    noise: float = 0.0
    seed: int = 0

    def gradient(self, dense: Dense, clients: np.ndarray, number: int, step: int) -> Dense:
        """Return (W - W_i^*) C_i with its noise. All rows are used, in every round and step."""
        exact = (dense[_LAYER] - self.targets[clients]) @ self.moments[clients]
        if not self.noise:
            return {_LAYER: exact}
        rng = generator(self.seed, f"fedhl/regression/noise/{step}", number)
        draws = torch.from_numpy(rng.standard_normal((len(self.targets), _M, _N)))
        return {_LAYER: exact + self.noise * draws[clients]}

    def loss(self, w: torch.Tensor) -> float:
        """Return the clients' mean loss of W (m, n)."""
        lost = w - self.targets
        return float(0.5 * ((lost @ self.moments) * lost).sum() / len(self.targets))

    def watch(self, dense: Dense) -> dict[str, float]:
        """Return the loss to record."""
        return {"loss": self.loss(dense[_LAYER])}

    def square(self, dense: Dense) -> dict[str, float]:
        """Return |grad f(W)|_F^2 of the mean loss, to be recorded."""
        each = (dense[_LAYER] - self.targets) @ self.moments
        return {"square": float((each.mean(dim=0) ** 2).sum())}

    def drift(self, w: torch.Tensor, weights: np.ndarray) -> float:
        """Return |sum p_i E_i C_i|_F, with E_i what W loses at the rank of client i."""
        u, s, vh = torch.linalg.svd(w, full_matrices=False)
        lost = torch.stack([(u[:, r:] * s[r:]) @ vh[r:] for r in RANKS.tolist()])
        total = torch.einsum("k,kmn->mn", torch.from_numpy(weights), lost @ self.moments)
        return float(torch.linalg.norm(total))

    def optimum(self) -> float:
        """Return the smallest mean loss of any W."""
        right = (self.targets @ self.moments).sum(dim=0)
        return self.loss(torch.linalg.solve(self.moments.sum(dim=0), right, left=False))


def regression(deviation: float, seed: int, noise: float = 0.0) -> Regression:
    """Return the clients of a given heterogeneity, the deviation of D_i's entries."""
    rng = generator(seed, "fedhl/regression")
    # |W^*|_F^2 is near 40, and the largest singular value near 4.
    common = rng.standard_normal((_M, _RANK)) @ rng.standard_normal((_RANK, _N))
    own = rng.standard_normal((len(RANKS), _M, _N))
    x = rng.standard_normal((len(RANKS), _ROWS, _N))
    return Regression(
        torch.from_numpy(common / np.sqrt(_RANK * _N) + deviation * own),
        torch.from_numpy(x.swapaxes(1, 2) @ x / _ROWS),
        noise,
        seed,
    )


@dataclass(frozen=True)
class RegressionRow:
    """One row of the table."""

    name: str
    deviation: float
    rate: float
    steps: int


CASES = (
    RegressionRow("none", 0.0, 0.05, 20),
    RegressionRow("mild_short", 0.034, 0.02, 5),
    RegressionRow("strong", 0.112, 0.05, 20),
)

# The columns: a method, its weights from truncation errors, and the place of its residuals.
RULES: dict[str, tuple[str, Weighting, bool]] = {
    "flexlora": ("flexlora", Weighting(), False),
    "uniform": ("fedhl", Weighting(power=0), False),
    "fedhl": ("fedhl", Weighting(), False),
    "fedhl_relative": ("fedhl", Weighting(epsilon=1.0, relative=True), False),
    "fedhl_at_client": ("fedhl", Weighting(power=0), True),
}

RATE_RULES = ("fedhl", "fedhl_relative", "flexlora")
FLOOR_RULES = ("fedhl", "uniform", "flexlora")
# Deviations of the clients for the powers of T and the floors: equal, and mildly unequal.
DEVIATIONS = {"equal": 0.0, "mild": 0.034}
# Rate of the shortest horizon, local steps, and noise of the gradients for the power of T.
_RATE, _STEPS, _NOISE = 0.1, 4, 0.2


def _federation(problem: Regression, local: Local, seed: int, stage: str) -> Federation:
    return Federation(
        "fedhl",
        {_LAYER: (_M, _N)},
        RANKS,
        np.ones(len(RANKS)),
        problem.gradient,
        local,
        dtype=torch.float64,
        seed=seed,
        stage=f"fedhl/regression/{stage}",
    )


def _problem(case: RegressionRow, seed: int) -> tuple[Regression, Federation]:
    problem = regression(case.deviation, seed)
    return problem, _federation(problem, Local(case.steps, case.rate), seed, case.name)


def _chosen(federation: Federation, rule: str) -> Federation:
    method, weighting, at_client = RULES[rule]
    return replace(federation, method=method, weighting=weighting, residual_at_client=at_client)


def _record(
    problem: Regression, federation: Federation, rounds: int, name: str
) -> dict[str, np.ndarray]:
    """Return the record of a federation, with ``loss``."""
    return kept(
        f"regression, {name}, seed {federation.seed}",
        lambda: run(federation, rounds, problem.watch, name)[1],
    )


def drifts(rounds: int, seed: int) -> dict[str, float]:
    """Return the mean drift over the rounds by weights, relative to equal weights.

    All have the increments of equal weights and the mildly unequal clients. The weights are the
    paper's, and the paper's in reverse order of the clients, from the largest error to the
    smallest.
    """
    problem, federation = _problem(CASES[1], seed)
    equal = np.full(len(RANKS), 1 / len(RANKS))

    def watch(dense: Dense) -> dict[str, float]:
        errors = squared_truncation_errors(decompose(dense), RANKS.tolist())
        weights = aggregation_weights(errors, Weighting())
        drift = {"weights": weights, "reversed": weights[::-1].copy(), "equal": equal}
        return {name: problem.drift(dense[_LAYER], p) for name, p in drift.items()}

    _, record = run(_chosen(federation, "uniform"), rounds, watch, "drift")
    return {name: record[name].mean() / record["equal"].mean() for name in ("weights", "reversed")}


def mean_squares(
    deviation: float, rule: str, horizons: Sequence[int], seed: int
) -> dict[str, list[float]]:
    """Return ``squares``, the means over T rounds at rates that fall as 1/sqrt(T), by T."""
    problem, squares = regression(deviation, seed, _NOISE), []
    for horizon in horizons:
        local = Local(_STEPS, _RATE * float(np.sqrt(horizons[0] / horizon)))
        asked = _chosen(_federation(problem, local, seed, f"rate/{horizon}"), rule)
        _, record = run(asked, horizon, problem.square, f"{rule}, {horizon} rounds")
        squares.append(float(record["square"][:-1].mean()))
    return {"squares": squares}


def falling_squares(deviation: float, rule: str, rounds: int, seed: int) -> dict[str, list[float]]:
    """Return the ``squares`` of the gradient before each round, at rates that fall as 1/sqrt(t)."""
    problem = regression(deviation, seed, _NOISE)
    asked = _chosen(_federation(problem, Local(_STEPS, _RATE), seed, "floor"), rule)
    state, squares = begin(asked), []
    for number in range(rounds):
        squares.append(problem.square(state.increments)["square"])
        rate = _RATE / float(np.sqrt(number + 1))
        state, _ = step(state, replace(asked, local=Local(_STEPS, rate)))
    return {"squares": squares}


def regressions(rounds: int, seeds: Sequence[int]) -> xr.Dataset:
    """Return losses, largest weights, optima and drifts of the regression's table."""
    shape = (len(CASES), len(RULES), len(seeds))
    losses = np.empty((*shape, rounds + 1))
    largest = np.empty(shape)
    optimum = np.empty((len(CASES), len(seeds)))
    found = np.empty((2, len(seeds)))
    for k, seed in enumerate(tqdm(seeds, desc="regressions", unit="seed", disable=None)):
        for i, case in enumerate(CASES):
            problem, federation = _problem(case, seed)
            optimum[i, k] = problem.optimum()
            for j, rule in enumerate(RULES):
                name = f"{case.name}, {rule}"
                record = _record(problem, _chosen(federation, rule), rounds, name)
                losses[i, j, k] = record["loss"]
                largest[i, j, k] = record["largest_weight"][-1]
        drift = kept_numbers(f"drifts, seed {seed}", partial(drifts, rounds, seed))
        found[:, k] = drift["weights"], drift["reversed"]
    dims = ("case", "regression_rule", "seed")
    return xr.Dataset(
        {
            "loss": variable((*dims, "regression_round"), losses, "mean loss of the clients"),
            "largest_weight": variable(dims, largest, "largest weight in the last round"),
            "optimum": variable(("case", "seed"), optimum, "least mean loss"),
            "drift": variable(("weights", "seed"), found, "drift relative to equal weights"),
        },
        coords={
            "case": variable("case", [case.name for case in CASES], "heterogeneity"),
            "regression_rule": variable("regression_rule", list(RULES), "rule"),
            "weights": variable("weights", ["paper", "reversed"], "weights"),
            "seed": variable("seed", list(seeds), "seed"),
        },
    )


def rates(horizons: Sequence[int], seeds: Sequence[int]) -> xr.Dataset:
    """Measure the mean squared gradient of the regression over T rounds, with noisy gradients.

    Plain stochastic descent with rates that fall as 1/sqrt(T), as the theorem has it; the gradient
    belongs to the mean loss at W itself.
    """
    values = _for_all("rates", RATE_RULES, seeds, partial(mean_squares, horizons=horizons))
    dims = ("spread", "rate_rule", "horizon", "seed")
    squares = variable(dims, np.moveaxis(values, 3, 2), "squared gradient, mean over rounds")
    horizon = variable("horizon", list(horizons), "rounds")
    coords = {**_coordinates("rate_rule", RATE_RULES, seeds), "horizon": horizon}
    return xr.Dataset({"squared_gradient": squares}, coords)


def _for_all(
    name: str, rules: Sequence[str], seeds: Sequence[int], measure: Callable[..., dict[str, Any]]
) -> np.ndarray:
    """Return what is measured for all deviations, rules and seeds, (spread, rule, seed, values)."""
    places = list(itertools.product(DEVIATIONS, rules, seeds))
    found = [
        kept(
            f"{name}, {spread}, {rule}, seed {seed}",
            partial(measure, DEVIATIONS[spread], rule, seed=seed),
        )["squares"]
        for spread, rule, seed in tqdm(places, desc=name, disable=None)
    ]
    return np.array(found).reshape(len(DEVIATIONS), len(rules), len(seeds), -1)


def floors(rounds: int, seeds: Sequence[int]) -> xr.Dataset:
    """Measure the squared gradient of the regression along many rounds, with rates that fall.

    The gradients are noisy, and the rate of round t is 1/sqrt(t) of the first. A method that
    converges goes on falling; one with a bias ends at a floor.
    """
    values = _for_all("floors", FLOOR_RULES, seeds, partial(falling_squares, rounds=rounds))
    dims = ("spread", "floor_rule", "seed", "falling_round")
    squares = variable(dims, values, "squared gradient before the round, at rates that fall")
    return xr.Dataset({"falling_square": squares}, _coordinates("floor_rule", FLOOR_RULES, seeds))


def _coordinates(dim: str, rules: Sequence[str], seeds: Sequence[int]) -> dict[str, xr.Variable]:
    """Return the coordinates of what is measured for all deviations, rules and seeds."""
    return {
        "spread": variable("spread", list(DEVIATIONS), "clients"),
        dim: variable(dim, rules, "rule"),
        "seed": variable("seed", list(seeds), "seed"),
    }


def fitted_exponents(rate: xr.Dataset) -> xr.DataArray:
    """Return the power of T in the mean squared gradient, along all dimensions but ``horizon``.

    A line is fitted to the logarithms.
    """
    squares = rate["squared_gradient"].transpose("horizon", ...)
    horizons = np.log(rate["horizon"].values.astype(float))
    shape = squares.shape[1:]
    slopes = np.polyfit(horizons, np.log(squares.values).reshape(len(horizons), -1), 1)[0]
    dims: list[Any] = list(squares.dims[1:])
    return xr.DataArray(slopes.reshape(shape), {d: squares[d] for d in dims}, dims)
