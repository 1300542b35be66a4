"""Comparisons of models, and of baselines, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BASELINE_NAMES = {
    "blind": "this study",
    "distance": "distance alone",
    "noise_known": "noise known",
    "law_known": "law known",
    "full": "full gradient",
    "plain": "unweighted distance",
    "two_stage": "two-stage fit",
    "nuts": "hierarchical Bayes",
}
"""The answers that a comparison of baselines holds, as users read them."""

VERDICTS = {
    "best": "the best",
    "close": "not distinguishable from the best",
    "worse": "worse",
}
"""The verdict on each model in words."""

_HEADINGS = (
    "model",
    "law",
    "noise",
    "parameters",
    "log likelihood",
    "AIC",
    "BIC",
    "log score",
    "behind the best",
    "",
)
# With fewer systems, the standard error of a difference is itself uncertain.
_FEW = 30


def rows_of(comparison: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of the table, headings first, the best model before the others.

    Parameters
    ----------
    comparison : mapping
        ``comparison.json``; see :func:`popinv.inference.checks.model_comparison.compare`.
    """
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for name, model in comparison["models"].items():
        behind = ""
        if model["verdict"] != "best":
            behind = f"{model['score_difference']:.3f} ± {model['score_difference_error']:.3f}"
        rows.append(
            (
                name,
                model["law"],
                model["noise"],
                str(model["parameters"]),
                _number(model["log_likelihood"]),
                _number(model["aic"]),
                _number(model["bic"]),
                f"{model['score']:.3f}",
                behind,
                VERDICTS[model["verdict"]],
            )
        )
    return rows


def explained(comparison: Mapping[str, Any]) -> list[str]:
    """Return the meaning of the numbers of the table, in paragraphs."""
    systems, tested = comparison["systems"], comparison["tested_systems"]
    folds, models = comparison["tested_folds"], comparison["models"]
    if folds > 1:
        tests = f"All {tested} systems are tested, in {folds} folds, each without it in the fit."
    elif folds:
        tests = f"{tested} of the {systems} systems are tested, by a fit without them."
    else:
        tests = f"{tested} further systems are tested."
    if comparison["scored_by"] == "likelihood":
        score = "The log score is the log predictive density of a system, marginal over z."
    else:
        score = (
            "The log score uses the normal law with the model's mean and covariance (a "
            "pseudo-likelihood), as not every model has a reliable likelihood: "
            f"{comparison['scored_by_reason']}."
        )
    texts = [
        f"{score} {tests} The difference from the best is the mean over these systems with its "
        "standard error, in pairs. Beyond 2 standard errors a model is called worse.",
        f"AIC and BIC are of the fit to all systems, and smaller is better. BIC counts {systems} "
        "systems. Differences below 2 are weak evidence; beyond 10 they are decisive, if the "
        "models are not far from the truth.",
    ]
    if tested < _FEW:
        texts.append(f"With {tested} systems, the standard errors are themselves uncertain.")
    errors = [model["log_likelihood_error"] or 0.0 for model in models.values()]
    if max(errors) > 0.5:
        texts.append(
            f"The draws give the log likelihoods an error of up to {max(errors):.2g}; more draws "
            "('polish.draws') reduce this error."
        )
    first_order = [name for name, model in models.items() if model["refitted"] < max(folds, 1)]
    if first_order:
        texts.append(
            f"Not every fold could be refitted ({', '.join(first_order)}); the others are left out "
            "to first order."
        )
    return texts


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
