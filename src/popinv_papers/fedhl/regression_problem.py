"""The part of the test problem in which everything is known: losses, drifts and rates."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.store.variables import variable
from popinv_papers.fedhl import regression
from popinv_papers.kit.kept import kept, kept_numbers

# Deviations of the clients for the powers of T and the floors: equal, and mildly unequal.
DEVIATIONS = {"equal": 0.0, "mild": 0.034}


def regressions(rounds: int, seeds: Sequence[int]) -> xr.Dataset:
    """Return losses, largest weights, optima and drifts of the regression's table."""
    names, rules = [case.name for case in regression.CASES], list(regression.RULES)
    shape = (len(names), len(rules), len(seeds))
    losses = np.empty((*shape, rounds + 1))
    largest = np.empty(shape)
    optimum = np.empty((len(names), len(seeds)))
    drifts = np.empty((2, len(seeds)))
    for k, seed in enumerate(tqdm(seeds, desc="regressions", unit="seed", disable=None)):
        for case, rule, record, best in regression.rows(rounds, seed):
            i, j = names.index(case.name), rules.index(rule)
            losses[i, j, k], largest[i, j, k] = record["loss"], record["largest_weight"][-1]
            optimum[i, k] = best
        drift = kept_numbers(f"drifts, seed {seed}", partial(regression.drifts, rounds, seed))
        drifts[:, k] = drift["weights"], drift["reversed"]
    dims = ("case", "regression_rule", "seed")
    return xr.Dataset(
        {
            "loss": variable((*dims, "regression_round"), losses, "mean loss of the clients"),
            "largest_weight": variable(dims, largest, "largest weight in the last round"),
            "optimum": variable(("case", "seed"), optimum, "least mean loss"),
            "drift": variable(("weights", "seed"), drifts, "drift over that of equal weights"),
        },
        coords={
            "case": variable("case", np.array(names, dtype=np.str_), "heterogeneity"),
            "regression_rule": variable("regression_rule", np.array(rules, dtype=np.str_), "rule"),
            "weights": variable("weights", np.array(["paper", "reversed"]), "weights"),
            "seed": variable("seed", list(seeds), "seed"),
        },
    )


def rates(horizons: Sequence[int], seeds: Sequence[int]) -> xr.Dataset:
    """Measure the mean squared gradient of the regression over T rounds, with noisy gradients.

    Plain stochastic descent with rates that fall as 1/sqrt(T), as the theorem has it; the gradient
    is that of the mean loss at W itself.
    """
    rules = regression.RATE_RULES
    values = _for_all("rates", rules, seeds, partial(_squares, horizons=horizons))
    return xr.Dataset(
        {
            "squared_gradient": variable(
                ("spread", "rate_rule", "horizon", "seed"),
                np.moveaxis(values, 3, 2),
                "squared gradient, mean over rounds",
            )
        },
        coords={
            "spread": variable("spread", np.array(list(DEVIATIONS), dtype=np.str_), "clients"),
            "rate_rule": variable("rate_rule", np.array(rules, dtype=np.str_), "rule"),
            "horizon": variable("horizon", list(horizons), "rounds"),
            "seed": variable("seed", list(seeds), "seed"),
        },
    )


def _squares(deviation: float, rule: str, seed: int, horizons: Sequence[int]) -> dict[str, Any]:
    return {"squares": list(regression.squared_gradients(deviation, rule, horizons, seed))}


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
    rules = regression.FLOOR_RULES
    values = _for_all("floors", rules, seeds, partial(regression.falling_squares, rounds=rounds))
    return xr.Dataset(
        {
            "falling_square": variable(
                ("spread", "floor_rule", "seed", "falling_round"),
                values,
                "squared gradient before the round, at rates that fall",
            )
        },
        coords={
            "spread": variable("spread", np.array(list(DEVIATIONS), dtype=np.str_), "clients"),
            "floor_rule": variable("floor_rule", np.array(rules, dtype=np.str_), "rule"),
            "seed": variable("seed", list(seeds), "seed"),
        },
    )


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
