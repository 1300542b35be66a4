"""The test problem: what the paper claims beside exact chains and an experiment on images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from popinv.downstream.claims import Claim
from popinv.downstream.instance_unlearning.experiment import (
    METHODS,
    SCORES,
    Outcome,
    Size,
)
from popinv.downstream.instance_unlearning.forgetting import rank_correlation
from popinv.store.variables import variable

__all__ = ["claims", "group_scores", "metrics", "result_dataset"]

_WORDS = {
    "sgld": "Langevin descent",
    "sgd": "plain descent",
    "l1": "sparse unlearning",
    "gradient_norm": "mean gradient norm",
    "el2n": "EL2N",
    "c_proxy": "C-proxy",
    "memorisation": "memorisation",
}
# A rank correlation counts as positive if chance gives one so large in less than this share.
_LEVEL = 0.05

Chains = tuple[np.ndarray, np.ndarray, np.ndarray]


def group_scores(outcome: Outcome, score: str) -> np.ndarray:
    """Return the mean of a score over each forget set, shape (groups,)."""
    return outcome.scores[score][outcome.groups].mean(axis=1)


def _chance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the one-sided p-value of a positive rank correlation."""
    if not (np.ptp(a) and np.ptp(b)):
        return 1.0
    return float(spearmanr(a, b, alternative="greater").pvalue)


def metrics(
    cases: dict[str, Any], chains: Chains, outcomes: dict[str, Outcome], size: Size
) -> dict[str, Any]:
    """Return everything that was found, flat.

    Parameters
    ----------
    cases : dict
        From :func:`chains.chain_metrics`.
    chains : tuple
        From :func:`chains.per_instance_steps`.
    outcomes : dict of str to Outcome
        The outcomes of the trainings ``sgld`` and ``sgd``.
    size : Size
    """
    losses, bounds, exact = chains
    numbers: dict[str, Any] = {
        **cases,
        "chain_steps_rank_correlation": rank_correlation(losses, exact),
        "chain_steps_bound_median_point": float(np.median(bounds)),
        "chain_steps_bound_worst_case": float(bounds.max()),
        "chain_steps_exact_median_point": float(np.median(exact)),
        "tolerance": size.tolerance,
        "fine_tuning_steps": size.tuning,
    }
    for training, outcome in outcomes.items():
        numbers |= outcome.numbers
        for score in SCORES[1:]:
            numbers[f"points_correlation_{score}_{training}"] = rank_correlation(
                outcome.scores["privacy"], outcome.scores[score]
            )
        largest, middle = outcome.scores["privacy"].max(), np.median(outcome.scores["privacy"])
        numbers[f"privacy_largest_{training}"] = float(largest)
        numbers[f"privacy_largest_over_median_{training}"] = float(largest / middle)
        for name, heights in outcome.barriers.items():
            # Both trainings have barriers from the trained models.
            label = name if not name.startswith("trained") else f"{training}_{name}"
            height = heights.mean(axis=0)
            numbers[f"barrier_correlation_{label}"] = rank_correlation(
                group_scores(outcome, "privacy"), height
            )
            numbers[f"barrier_easiest_{label}"] = float(height[0])
            numbers[f"barrier_hardest_{label}"] = float(height[size.quantiles - 1])
        for method in outcome.steps:
            numbers |= _method_metrics(outcome, method, size)
    return numbers


def _method_metrics(outcome: Outcome, method: str, size: Size) -> dict[str, Any]:
    steps = outcome.steps[method].mean(axis=0)
    numbers: dict[str, Any] = {}
    last = outcome.curves[method][:, -1].mean(axis=0)
    left = np.abs(last - outcome.reference.mean(axis=0))
    for name, difference in zip(outcome.names, left, strict=True):
        numbers[f"left_{method}_{name}"] = float(difference)
    every = np.asarray(outcome.reached[method].all(axis=0))
    for name, mean, reached in zip(outcome.names, steps, every, strict=True):
        numbers[f"steps_{method}_{name}"] = float(mean)
        numbers[f"reached_{method}_{name}"] = bool(reached)
    for score in SCORES:
        of_groups = group_scores(outcome, score)
        numbers[f"steps_correlation_{method}_{score}"] = rank_correlation(of_groups, steps)
    by_rank = group_scores(outcome, "privacy")[: size.quantiles], steps[: size.quantiles]
    numbers[f"steps_correlation_{method}_by_rank"] = rank_correlation(*by_rank)
    numbers[f"steps_chance_{method}_by_rank"] = _chance(*by_rank)
    return numbers


def claims(numbers: Mapping[str, float], outcomes: dict[str, Outcome], size: Size) -> list[Claim]:
    """Return the table of claims.

    Parameters
    ----------
    numbers : mapping
        From :func:`metrics`.
    outcomes, size
        The arguments of :func:`metrics`.
    """
    table = []
    for quantity, words in (
        ("loss", "composed losses of points above their exact divergence"),
        ("divergence", "bounds on the divergence after fine-tuning above the exact one"),
        ("steps", "bounds on the number of steps above the exact number"),
    ):
        total, wrong = numbers[f"chain_{quantity}_bounds"], numbers[f"chain_{quantity}_violations"]
        ratio = numbers[f"chain_{quantity}_ratio_median"]
        infinite = numbers[f"chain_{quantity}_bounds_infinite"]
        ours = (
            f"{wrong} violated of {total}, {infinite} infinite; {ratio:.3g} times as large (median)"
        )
        table.append(
            Claim(f"normal chains: {words}", "reconstruction", "none violated", ours, wrong == 0)
        )
    median, worst = (
        numbers[f"chain_steps_bound_{which}"] for which in ("median_point", "worst_case")
    )
    table.append(
        Claim(
            "normal chains: with its own loss in place of the worst case, the median point of 50 "
            "has a smaller bound",
            "paper",
            f"below {worst:.0f} steps",
            f"{median:.0f} steps (exact: {numbers['chain_steps_exact_median_point']:.0f})",
            median < worst,
        )
    )
    for method in METHODS:
        rank = numbers[f"steps_correlation_{method}_by_rank"]
        chance = numbers[f"steps_chance_{method}_by_rank"]
        table.append(
            Claim(
                f"{_WORDS[method]}: steps to unlearn a set rise with its loss (rank correlation "
                f"over {size.quantiles} sets, below {100 * _LEVEL:.0f} % by chance)",
                "paper",
                "positive",
                f"{rank:.2f} (chance {chance:.2g})",
                rank > 0 and chance < _LEVEL,
            )
        )
        table.append(_hardest(numbers, method, size))
    for training in outcomes:
        agreement = {s: numbers[f"points_correlation_{s}_{training}"] for s in SCORES[1:]}
        words = ", ".join(f"{_WORDS[name]} {value:.2f}" for name, value in agreement.items())
        table.append(
            Claim(
                f"{_WORDS[training]}: the loss correlates well with other measures (rank "
                "correlation over points above 0.5 with all)",
                "paper",
                "above 0.5",
                words,
                min(agreement.values()) > 0.5,
            )
        )
    for training in outcomes:
        for against, words in (("mean", "mean of both ends"), ("line", "line between both ends")):
            label = f"{training}_trained_above_{against}"
            rank = numbers[f"barrier_correlation_{label}"]
            low, high = (numbers[f"barrier_{end}_{label}"] for end in ("easiest", "hardest"))
            table.append(
                Claim(
                    f"{_WORDS[training]}: barriers to models without the set rise with its loss "
                    f"(rank correlation over {len(outcomes[training].names)} sets above 0.5; "
                    f"barrier above the {words}, the paper's own definition is unknown to us)",
                    "paper",
                    "positive",
                    f"{rank:.2f} (easiest {low:.2g}, hardest {high:.2g})",
                    rank > 0.5 and high > low,
                )
            )
    return table


def _hardest(numbers: Mapping[str, float], method: str, size: Size) -> Claim:
    def difficulty(name: str) -> tuple[float, float]:
        return numbers[f"steps_{method}_{name}"], numbers[f"left_{method}_{name}"]

    def told(name: str) -> str:
        steps, left = difficulty(name)
        return f"{steps:.0f} steps, {100 * left:.0f} points left"

    own = f"privacy_{size.quantiles}"
    longest = max((f"hardest_{name}" for name in SCORES[1:]), key=difficulty)
    return Claim(
        f"{_WORDS[method]}: the set of largest loss is at least as hard to unlearn as those that "
        f"other measures call hardest (steps, at most {size.tuning}, then the difference in "
        "accuracy that is left)",
        "paper",
        f"{_WORDS[longest.removeprefix('hardest_')]}: {told(longest)}",
        told(own),
        difficulty(own) >= difficulty(longest),
    )


def result_dataset(outcomes: dict[str, Outcome], size: Size) -> xr.Dataset:
    """Return losses, steps, curves and barriers, by training and method."""
    variables: dict[str, Any] = {}
    for training, outcome in outcomes.items():
        for score in SCORES:
            variables[f"{training}_{score}"] = variable(
                "point", outcome.scores[score], f"{score} of the points, {training}"
            )
            variables[f"{training}_{score}_of_set"] = variable(
                "forget_set", group_scores(outcome, score), f"mean {score}, {training}"
            )
        dims = ("run", "forget_set")
        for name, values in (("trained", outcome.trained), ("reference", outcome.reference)):
            variables[f"{training}_{name}"] = variable(
                dims, values, f"accuracy on the set, {name}, {training}"
            )
        for name, values in outcome.barriers.items():
            label = name if not name.startswith("trained") else f"{training}_{name}"
            variables[f"{label}_barrier"] = variable(dims, values, f"loss barrier, {label}")
        for method in outcome.steps:
            variables[f"{method}_steps"] = variable(
                dims, outcome.steps[method], f"steps to unlearn, {method}"
            )
            variables[f"{method}_accuracy"] = variable(
                ("run", "tuned", "forget_set"),
                outcome.curves[method],
                f"accuracy on the set along fine-tuning, {method}",
            )
    first = next(iter(outcomes.values()))
    return xr.Dataset(
        variables,
        coords={
            "forget_set": variable("forget_set", np.array(first.names, np.str_), "forget set"),
            "tuned": variable("tuned", first.at, "fine-tuning steps"),
        },
        attrs={"quantiles": size.quantiles},
    )
