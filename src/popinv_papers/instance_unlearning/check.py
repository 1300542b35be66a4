"""The test problem: exact chains, a network that forgets images, and utility at equal epsilon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from popinv.store.variables import variable
from popinv.threads import fixed_threads
from popinv_papers.instance_unlearning.chains import (
    Chains,
    chain_metrics,
    compare,
    per_instance_steps,
)
from popinv_papers.instance_unlearning.claims import CHAINS, claims
from popinv_papers.instance_unlearning.difficulty import rank_correlation
from popinv_papers.instance_unlearning.equal_epsilon import (
    BOUNDS,
    CONVEX,
    EPSILONS,
    POINTS,
    Curves,
    curves,
)
from popinv_papers.instance_unlearning.experiment import (
    SCORES,
    TrainingOutcome,
    group_scores,
    memorised_share,
    solve,
)
from popinv_papers.instance_unlearning.figures import draw_curves, draw_steps, draw_utility
from popinv_papers.instance_unlearning.recipe import SIZES, Recipe, RecipeSize, datasets
from popinv_papers.kit.images import SETS, read_folder, read_images
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome


def metrics(
    cases: dict[str, Any],
    chains: Chains,
    outcomes: dict[str, TrainingOutcome],
    curves: Curves,
    size: RecipeSize,
) -> dict[str, Any]:
    """Return everything that was found, flat; ``cases`` are from :func:`chains.chain_metrics`."""
    losses, bounds, exact = chains
    numbers: dict[str, Any] = {
        **cases,
        "chain_steps_rank_correlation": rank_correlation(losses, exact),
        "chain_steps_bound_median_point": float(np.median(bounds)),
        "chain_steps_bound_worst_case": float(bounds.max()),
        "chain_steps_exact_median_point": float(np.median(exact)),
        "level": size.level,
        "fine_tuning_steps": size.tuning,
        **_utility_metrics(curves),
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
            label = _labelled(name, training)
            height = heights.mean(axis=0)
            numbers[f"barrier_correlation_{label}"] = rank_correlation(
                group_scores(outcome, "privacy"), height
            )
            numbers[f"barrier_easiest_{label}"] = float(height[0])
            numbers[f"barrier_hardest_{label}"] = float(height[size.quantiles - 1])
        for method in outcome.steps:
            numbers |= _method_metrics(outcome, method, size)
    return numbers


def _labelled(barrier: str, training: str) -> str:
    """Return the name of a barrier; both trainings have one from the trained models."""
    return f"{training}_{barrier}" if barrier.startswith("trained") else barrier


def _utility_metrics(curves: Curves) -> dict[str, Any]:
    """Return accuracy and noise at equal epsilon, at four numbers of unlearning steps."""
    numbers: dict[str, Any] = {"equal_epsilon_noiseless_accuracy": float(curves.noiseless.mean())}
    for name, share in zip(POINTS, curves.losses.mean(axis=0), strict=True):
        numbers[f"equal_epsilon_loss_{name}_over_uniform"] = float(share)
    # Means over draws and paths. What is NaN has no noise that the bound allows.
    accuracy, noise = curves.accuracy.mean(axis=(0, 1)), curves.noise.mean(axis=0)
    wanted = np.array([1, curves.at[-1] // 4, curves.at[-1] // 2, curves.at[-1]])
    for j, epsilon in enumerate(EPSILONS):
        for i, bound in enumerate(BOUNDS):
            for record in np.unique(np.searchsorted(curves.at, wanted)):
                name = f"equal_epsilon_{epsilon:g}_{bound}_after_{curves.at[record]}"
                if np.isfinite(noise[i, j, record]):
                    numbers[f"{name}_accuracy"] = float(accuracy[i, j, record])
                    numbers[f"{name}_noise"] = float(noise[i, j, record])
    return numbers


def _method_metrics(outcome: TrainingOutcome, method: str, size: RecipeSize) -> dict[str, Any]:
    steps = outcome.steps[method].mean(axis=0)
    numbers: dict[str, Any] = {}
    last = outcome.curves[method][:, -1].mean(axis=0)
    left = np.abs(last - outcome.reference.mean(axis=0))
    for name, difference in zip(outcome.names, left, strict=True):
        numbers[f"left_{method}_{name}"] = float(difference)
    every = np.asarray(outcome.reached[method].all(axis=0))
    numbers[f"censored_{method}"] = float(1 - outcome.reached[method].mean())
    for name, mean, reached in zip(outcome.names, steps, every, strict=True):
        numbers[f"steps_{method}_{name}"] = float(mean)
        numbers[f"reached_{method}_{name}"] = bool(reached)
    for score in SCORES:
        of_groups = group_scores(outcome, score)
        numbers[f"steps_correlation_{method}_{score}"] = rank_correlation(of_groups, steps)
    by_rank = group_scores(outcome, "privacy")[: size.quantiles], steps[: size.quantiles]
    numbers[f"steps_correlation_{method}_by_rank"] = rank_correlation(*by_rank)
    return numbers


def result_dataset(
    outcomes: dict[str, TrainingOutcome], curves: Curves, size: RecipeSize
) -> xr.Dataset:
    """Return losses, steps, curves and barriers by training and method; utility by bound."""
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
            label = _labelled(name, training)
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
    axes = ("draw", "bound", "epsilon", "unlearned")
    variables["utility"] = variable(
        axes, curves.accuracy.mean(axis=1), "accuracy on test images at equal epsilon"
    )
    variables["utility_noise"] = variable(axes, curves.noise, "noise sigma at equal epsilon")
    variables["utility_noiseless"] = variable(
        "draw", curves.noiseless, "accuracy with the lowest noise"
    )
    first = next(iter(outcomes.values()))
    return xr.Dataset(
        variables,
        coords={
            "forget_set": variable("forget_set", first.names, "forget set"),
            "tuned": variable("tuned", first.at, "fine-tuning steps"),
            "bound": variable("bound", BOUNDS, "bound, and point by rank"),
            "epsilon": variable("epsilon", EPSILONS, "epsilon of the guarantee"),
            "unlearned": variable("unlearned", curves.at, "steps of unlearning"),
        },
        attrs={"quantiles": size.quantiles},
    )


def check(given: CheckInput) -> CheckOutcome:
    """Compare bounds with exact chains, unlearn sets of images, and unlearn at equal epsilon."""
    seed, size, name = given.seed, SIZES[given.size], given.instance_images
    images = read_images(given.files[0], name) if name in SETS else read_folder(Path(name))
    with fixed_threads():
        recipe = Recipe(*datasets(images, size, seed), size, seed)
        memorised = memorised_share(recipe)
        outcomes = {training: solve(recipe, training, memorised) for training in ("sgld", "sgd")}
        utility = curves(images, CONVEX[given.size], size, seed)
    chains = per_instance_steps(seed)
    numbers = range(CHAINS)
    result = result_dataset(outcomes, utility, size)
    return CheckOutcome(
        metrics=metrics(chain_metrics(compare(seed)), chains, outcomes, utility, size),
        figures={
            "steps": draw_steps(result),
            "curves": draw_curves(result),
            "utility": draw_utility(result),
        },
        result=result,
        claims=claims(
            [compare(seed, number) for number in numbers],
            [per_instance_steps(seed, number) for number in numbers],
            outcomes,
            utility,
            size,
            seed,
        ),
    )
