"""Metrics and the table of claims of the test problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from popinv.downstream.claims import Claim
from popinv.downstream.fedhl.problem import fitted_exponents

__all__ = ["claims", "metrics"]

# The baselines that unequal ranks can use.
_OTHERS = ["hetlora", "flexlora", "flora"]
_ROUNDING = 1e-4
_OURS: tuple[tuple[str, str, Literal["paper", "this package"]], ...] = (
    ("fedhl", "FedHL", "paper"),
    ("fedhl_relative", "FedHL with relative epsilon", "this package"),
)


def metrics(result: xr.Dataset, invariants: Mapping[str, float]) -> dict[str, Any]:
    """Return every table's numbers, flat.

    Parameters
    ----------
    result : Dataset
        The merged parts of ``problem``.
    invariants : mapping
        From ``problem.invariants``.
    """
    numbers: dict[str, Any] = dict(invariants)
    last = result["accuracy"].isel(round=-1)
    for clients in result["clients"].values:
        for concentration in result["concentration"].values:
            division = "homogeneous" if np.isinf(concentration) else f"{concentration:g}"
            for rule in result["rule"].values:
                at = {"clients": clients, "concentration": concentration, "rule": rule}
                name = f"{clients}_clients_{division}_{rule}"
                values = last.sel(at).values
                numbers[f"accuracy_{name}"] = float(values.mean())
                numbers[f"accuracy_deviation_{name}"] = (
                    float(values.std(ddof=1)) if len(values) > 1 else 0.0
                )
                for what in ("truncation", "entropy", "bytes"):
                    numbers[f"{what}_{name}"] = float(result[what].sel(at).mean())
    for rule in ("fedhl", "fedhl_relative"):
        for other in _OTHERS:
            gains = last.sel(rule=rule) - last.sel(rule=other)
            numbers[f"gain_{rule}_over_{other}"] = float(gains.mean())
            means = gains.mean("seed").values
            numbers[f"settings_won_{rule}_over_{other}"] = int((means > 0).sum())
    numbers["settings"] = int(result.sizes["clients"] * result.sizes["concentration"])
    for case in result["case"].values:
        numbers[f"regression_{case}_optimum"] = float(result["optimum"].sel(case=case))
        for rule in result["regression_rule"].values:
            at = {"case": case, "regression_rule": rule}
            losses = result["loss"].sel(at).values
            numbers[f"regression_{case}_{rule}_last"] = float(losses[-1])
            numbers[f"regression_{case}_{rule}_least"] = float(losses.min())
            numbers[f"regression_{case}_{rule}_largest_weight"] = float(
                result["largest_weight"].sel(at)
            )
    return numbers | fitted_exponents(result)


def claims(found: Mapping[str, Any]) -> list[Claim]:
    """Return the table of claims from the metrics."""
    rows: list[Claim] = []
    for rule, words, source in _OURS:
        least = min(found[f"gain_{rule}_over_{other}"] for other in _OTHERS)
        rows.append(
            Claim(
                f"{words} is more accurate than the other methods for unequal ranks by 1 to 3 % "
                "(least of the mean gains over HetLoRA, FlexLoRA and FLoRA at least 0.01)",
                source, "0.01 to 0.03", least, least >= 0.01,
            )
        )  # fmt: skip
    for rule, words, source in _OURS:
        exponent = found[f"rate_exponent_{rule}"]
        rows.append(
            Claim(
                f"{words}: the mean squared gradient falls with the rounds to this power or faster "
                "(at most -0.5 + 0.05)",
                source, -0.5, exponent, exponent <= -0.45,
            )
        )  # fmt: skip
    idle, flex = found["idle_change_fedhl"], found["idle_change_flexlora"]
    rows += [
        Claim(
            "no local step changes nothing (relative change exactly 0)",
            "reconstruction", 0.0, idle, idle == 0,
        ),
        Claim(
            "no local step loses what is truncated in FlexLoRA (relative change above 0.001)",
            "reconstruction", "above 0", flex, flex > 1e-3,
        ),
        Claim(
            "weights sum to one (error below 1e-12)",
            "reconstruction", 0.0, found["weight_sum_error"], found["weight_sum_error"] < 1e-12,
        ),
        Claim(
            f"full rank everywhere and equal weights are FlexLoRA (difference below {_ROUNDING:g})",
            "reconstruction", 0.0, found["full_rank_difference"],
            found["full_rank_difference"] < _ROUNDING,
        ),
    ]  # fmt: skip
    return rows + _regression_claims(found)


def _regression_claims(found: Mapping[str, Any]) -> list[Claim]:
    def last(case: str, rule: str) -> float:
        return float(found[f"regression_{case}_{rule}_last"])

    share = last("none", "fedhl") / last("none", "flexlora")
    collapsed = found["regression_none_fedhl_largest_weight"]
    spread = found["regression_none_fedhl_relative_largest_weight"]
    growth = last("strong", "uniform") / found["regression_strong_uniform_least"]
    short = last("mild_short", "uniform") / found["regression_mild_short_uniform_least"]
    kept = last("strong", "fedhl_at_client") / last("strong", "uniform")
    return [
        Claim(
            "regression, equal clients: the base of full rank ends far below FlexLoRA (ratio of "
            "losses below 0.05)",
            "reconstruction", "below 0.05", share, share < 0.05,
        ),
        Claim(
            "with a tiny epsilon one client whose rank reaches that of W decides alone (largest "
            "weight above 0.99)",
            "reconstruction", 1.0, collapsed, collapsed > 0.99,
        ),
        Claim(
            "with a relative epsilon no client does (largest weight below 0.5)",
            "reconstruction", "below 0.5", spread, spread < 0.5,
        ),
        Claim(
            "regression, very unequal clients, long local training, equal weights: the loss rises "
            "again over the rounds (last over least above 1.5)",
            "reconstruction", "above 1.5", growth, growth > 1.5,
        ),
        Claim(
            "it does not with little local training and mildly unequal clients (below 1.1)",
            "reconstruction", "below 1.1", short, short < 1.1,
        ),
        Claim(
            "residuals frozen into the clients' base lower that loss (ratio of the last losses "
            "below 0.8)",
            "reconstruction", "below 0.8", kept, kept < 0.8,
        ),
    ]  # fmt: skip
