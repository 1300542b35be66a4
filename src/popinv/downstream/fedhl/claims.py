"""Metrics and the table of claims of the test problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from popinv.downstream.claims import Claim, Source, compared
from popinv.downstream.fedhl.problem import fitted_exponents
from popinv.downstream.metrics import flatten

__all__ = ["claims", "metrics"]

# The baselines that allow unequal ranks.
_OTHERS = ["hetlora", "flexlora", "flora"]
_ROUNDING = 1e-4
_OURS: tuple[tuple[str, str, Source], ...] = (
    ("fedhl", "FedHL", "paper"),
    ("fedhl_relative", "FedHL with relative epsilon", "this package"),
)


def metrics(result: xr.Dataset, invariants: Mapping[str, float]) -> dict[str, Any]:
    """Return all numbers of the tables, flat.

    Parameters
    ----------
    result : Dataset
        The merged parts of ``problem``.
    invariants : mapping
        From ``problem.invariants``.
    """
    last = result["accuracy"].isel(round=-1)
    divisions = [
        "homogeneous" if np.isinf(concentration) else f"{concentration:g}"
        for concentration in result["concentration"].values
    ]
    means: dict[str, float] = {}
    deviation = last.std("seed", ddof=1) if last.sizes["seed"] > 1 else 0 * last.mean("seed")
    for name, values in (
        ("accuracy", last.mean("seed")),
        ("accuracy_deviation", deviation),
        *((name, result[name].mean("seed")) for name in ("truncation", "entropy", "bytes")),
    ):
        values = values.assign_coords(concentration=divisions)
        means |= flatten(values, f"{name}_{{clients}}_clients_{{concentration}}_{{rule}}")
    leads: dict[str, float] = {}
    for rule in ("fedhl", "fedhl_relative"):
        for other in _OTHERS:
            gains = last.sel(rule=rule) - last.sel(rule=other)
            leads[f"gain_{rule}_over_{other}"] = float(gains.mean())
            won = gains.mean("seed").values > 0
            leads[f"settings_won_{rule}_over_{other}"] = int(won.sum())
    regression = flatten(result["optimum"], "regression_{case}_optimum")
    for name, values in (
        ("last", result["loss"].isel(regression_round=-1)),
        ("least", result["loss"].min("regression_round")),
        ("largest_weight", result["largest_weight"]),
    ):
        regression |= flatten(values, f"regression_{{case}}_{{regression_rule}}_{name}")
    return {
        **invariants,
        **means,
        **leads,
        "settings": int(result.sizes["clients"] * result.sizes["concentration"]),
        **regression,
        **fitted_exponents(result),
    }


def claims(numbers: Mapping[str, float]) -> list[Claim]:
    """Return the table of claims from the metrics."""
    rows: list[Claim] = []
    for rule, words, source in _OURS:
        least = min(numbers[f"gain_{rule}_over_{other}"] for other in _OTHERS)
        rows.append(
            Claim(
                f"{words} is more accurate than the other methods for unequal ranks by 1 to 3 % "
                "(least of the mean gains over HetLoRA, FlexLoRA and FLoRA at least 0.01)",
                source,
                "0.01 to 0.03",
                least,
                least >= 0.01,
            )
        )
    for rule, words, source in _OURS:
        exponent = numbers[f"rate_exponent_{rule}"]
        rows.append(
            Claim(
                f"{words}: the mean squared gradient falls with the rounds to this power or faster "
                "(at most -0.5 + 0.05)",
                source,
                -0.5,
                exponent,
                exponent <= -0.45,
            )
        )
    idle = numbers["idle_change_fedhl"]
    rows += [
        Claim(
            "no local step changes nothing (relative change exactly 0)",
            "reconstruction",
            0.0,
            idle,
            idle == 0,
        ),
        compared(
            "no local step loses what is truncated in FlexLoRA (relative change above 0.001)",
            "reconstruction",
            numbers["idle_change_flexlora"],
            "above",
            1e-3,
            expected="above 0",
        ),
        compared(
            "weights sum to one (error below 1e-12)",
            "reconstruction",
            numbers["weight_sum_error"],
            "below",
            1e-12,
            expected=0.0,
        ),
        compared(
            f"full rank everywhere and equal weights are FlexLoRA (difference below {_ROUNDING:g})",
            "reconstruction",
            numbers["full_rank_difference"],
            "below",
            _ROUNDING,
            expected=0.0,
        ),
    ]
    return rows + _regression_claims(numbers)


def _regression_claims(numbers: Mapping[str, float]) -> list[Claim]:
    def last(case: str, rule: str) -> float:
        return float(numbers[f"regression_{case}_{rule}_last"])

    growth = last("strong", "uniform") / numbers["regression_strong_uniform_least"]
    short = last("mild_short", "uniform") / numbers["regression_mild_short_uniform_least"]
    table: tuple[tuple[str, float, Literal["below", "above"], float], ...] = (
        (
            "regression, equal clients: the base of full rank ends far below FlexLoRA (ratio of "
            "losses below 0.05)",
            last("none", "fedhl") / last("none", "flexlora"),
            "below",
            0.05,
        ),
        (
            "with a relative epsilon no client does (largest weight below 0.5)",
            numbers["regression_none_fedhl_relative_largest_weight"],
            "below",
            0.5,
        ),
        (
            "regression, very unequal clients, long local training, equal weights: the loss rises "
            "again over the rounds (last over least above 1.5)",
            growth,
            "above",
            1.5,
        ),
        (
            "it does not with little local training and mildly unequal clients (below 1.1)",
            short,
            "below",
            1.1,
        ),
        (
            "residuals frozen into the clients' base lower that loss (ratio of the last losses "
            "below 0.8)",
            last("strong", "fedhl_at_client") / last("strong", "uniform"),
            "below",
            0.8,
        ),
    )
    rows = [
        compared(words, "reconstruction", ours, relation, limit)
        for words, ours, relation, limit in table
    ]
    collapsed = compared(
        "with a tiny epsilon one client whose rank reaches that of W decides alone (largest "
        "weight above 0.99)",
        "reconstruction",
        numbers["regression_none_fedhl_largest_weight"],
        "above",
        0.99,
        expected=1.0,
    )
    return [rows[0], collapsed, *rows[1:]]
