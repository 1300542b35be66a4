"""Judgements on the estimators: their arrival, agreement and standard errors."""

from __future__ import annotations

import math
from collections.abc import Iterator

from popinv.judgement.judgement import UNJUDGED, Judgement, is_number, readable, sentence
from popinv.judgement.metrics import Metrics

# If a p-value of Hausman's test is below the first number, estimators differ by more than chance.
# If a ratio of standard error and bound is above the second, the data contain more information.
_DIFFER, _INEFFICIENT = 0.005, 1.5
# Standard errors of fewer systems are too uncertain for their ratio to be judged.
_FEWEST_FOR_ERRORS = 50
# An error of the log likelihood that does not show.
_EXACT = 0.005


def estimator_judgement(metrics: Metrics) -> Iterator[Judgement]:
    """Yield the judgement of the estimator of the answer."""
    if "estimator" not in metrics:
        return
    name, why = readable(str(metrics["estimator"])), str(metrics["estimator_reason"])
    through = "the forward model itself" if metrics["through"] == "solver" else "the surrogate"
    yield Judgement(
        "Estimator",
        "neutral",
        f"the answer is that of the {name}",
        f"The answer is that of the {name}, through {through}: {why}.",
        "The likelihood has the smallest standard errors if the model is right. The "
        "pseudo-likelihood needs only means and covariances. The distance needs no density.",
    )


def arrival_judgement(metrics: Metrics) -> Iterator[Judgement]:
    """Yield the judgement of the descent's arrival."""
    if "descent_arrived" not in metrics:
        return
    arrived, left = bool(metrics["descent_arrived"]), metrics["descent_remaining"]
    # The descent's remaining distance is no reason to doubt an answer of another estimator.
    matters = metrics["estimator"] == "distance"
    yield Judgement(
        "Descent",
        "good" if arrived else "doubt" if matters else "neutral",
        f"has {'' if arrived else 'not '}arrived",
        f"The descent has {'' if arrived else 'not '}arrived: the parameter that is furthest from "
        f"convergence has {left:.2g} standard errors left to go.",
        "The remaining distance follows from the mean of the last gradients and their noise.",
    )


def convergence_judgement(metrics: Metrics) -> Iterator[Judgement]:
    """Yield the judgement of the convergence of an answer that is not the descent's own."""
    if "estimator_arrived" not in metrics or metrics["estimator"] == "distance":
        return
    arrived, name = bool(metrics["estimator_arrived"]), readable(str(metrics["estimator"]))
    found = f"has {'' if arrived else 'not '}converged"
    yield Judgement(
        "Convergence",
        "good" if arrived else "doubt",
        f"the search of the {name} {found}",
        f"The search for the maximum of the {name} {found}.",
        "A search that stops before its end gives an answer that depends on its start.",
    )


def agreement_judgement(metrics: Metrics) -> Iterator[Judgement]:
    """Yield the judgement of the agreement of the estimators."""
    if "agreement" not in metrics:
        return
    text, p = str(metrics["agreement"]), metrics.get("agreement_p_value")
    if p is None:
        yield Judgement("Agreement", "neutral", "not judged", f"{sentence(text)}.", UNJUDGED)
        return
    agree = p >= _DIFFER
    short = f"estimators {'agree' if agree else 'differ by more than chance'} (p = {p:.2g})"
    yield Judgement(
        "Agreement",
        "good" if agree else "doubt",
        short,
        f"{sentence(text)} (p = {p:.2g}).",
        "If the model is right, the estimators differ only by chance. A wrong model can affect "
        "them differently (Hausman's test).",
    )


def efficiency_judgement(metrics: Metrics) -> Iterator[Judgement]:
    """Yield the judgement of the standard errors and their bound."""
    ratios = {
        key.removeprefix("efficiency_"): value
        for key, value in metrics.items()
        if key.startswith("efficiency_") and key != "efficiency_bound" and is_number(value)
    }
    if not ratios:
        return
    unknown = str(metrics.get("undetermined", "none"))
    if unknown != "none":
        yield Judgement(
            "Efficiency",
            "neutral",
            "not judged: some parameters are not determined",
            f"The standard errors are not compared with their bound, since {readable(unknown)} are "
            "not determined.",
            UNJUDGED,
        )
        return
    worst = max(ratios, key=lambda name: ratios[name])
    largest, bounding = ratios[worst], readable(str(metrics["efficiency_bound"]))
    systems = metrics.get("systems")
    if isinstance(systems, int) and systems < _FEWEST_FOR_ERRORS:
        yield Judgement(
            "Efficiency",
            "neutral",
            f"not judged: {systems} systems are too few",
            f"The standard errors are at most {largest:.2f} times those that the {bounding} allows "
            f"({readable(worst)}), but of {systems} systems both are uncertain themselves, by "
            f"about {100 / math.sqrt(2 * systems):.0f} %.",
            f"The ratio is judged from {_FEWEST_FOR_ERRORS} systems on.",
        )
        return
    fine, own = largest <= _INEFFICIENT, metrics.get("estimator") == "likelihood"
    short = f"standard errors at most {largest:.2f} times the bound"
    # The likelihood uses all that the data contain; the ratio is then one of two uncertain errors.
    yield Judgement(
        "Efficiency",
        "good" if fine else "neutral" if own else "doubt",
        short,
        f"The standard errors are at most {largest:.2f} times those that the {bounding} allows "
        f"({readable(worst)}).",
        f"Above {_INEFFICIENT:g} the data contain more information than an answer by another "
        "estimator than the likelihood uses.",
    )


def value_judgement(metrics: Metrics) -> Iterator[Judgement]:
    """Yield the log likelihood at its maximum, and the criteria by which models are compared."""
    if "aic" not in metrics:
        return
    value, error = metrics["log_likelihood"], metrics["log_likelihood_error"]
    criteria = f"AIC {metrics['aic']:.2f}, BIC {metrics['bic']:.2f}"
    exact = "" if error < _EXACT else f" (error of its draws {error:.2g})"
    yield Judgement(
        "Log likelihood",
        "neutral",
        f"{value:.2f}; {criteria}",
        f"The log likelihood at its maximum is {value:.2f}{exact}. {criteria}.",
        "Models of the same observations are compared by AIC or BIC: the smaller, the better. BIC "
        "counts the systems as the independent observations.",
    )


def standard_errors_judgement(metrics: Metrics) -> Iterator[Judgement]:
    """Yield the kind of the standard errors, and how they compare with the other kind."""
    if "standard_errors_by" not in metrics:
        return
    ratios = {}
    for key, value in metrics.items():
        name = key.removeprefix("model_standard_error_")
        robust = metrics.get(f"robust_standard_error_{name}")
        if name != key and is_number(value) and is_number(robust) and value > 0:
            ratios[name] = robust / value
    if not ratios:
        return
    low, high = (chosen(ratios, key=lambda name: ratios[name]) for chosen in (min, max))
    by_model = metrics["standard_errors_by"] == "model"
    used, other = ("by the model", "robust") if by_model else ("robust", "by the model")
    compared = (
        f"robust ones are {ratios[low]:.2f} ({readable(low)}) to {ratios[high]:.2f} "
        f"({readable(high)}) times those by the model"
    )
    yield Judgement(
        "Standard errors",
        "neutral",
        f"{used}; {compared}",
        f"The standard errors are {used}. The {compared}.",
        "With few systems, use those by the model: the robust ones rest on the scores of as many "
        "systems, and are too small. With many systems, the robust ones hold even if the model is "
        f"wrong. metrics.json and summary() have those that are {other}, too.",
    )


def boundaries_judgement(metrics: Metrics) -> Iterator[Judgement]:
    """Yield the judgement of each parameter at its boundary."""
    at = {k.removeprefix("boundary_"): v for k, v in metrics.items() if k.startswith("boundary_")}
    for name, where in at.items():
        told = readable(name)
        end = "from above" if where == "zero" else "from below"
        yield Judgement(
            "Boundary",
            "neutral",
            f"{told} is not distinguished from {where}",
            f"The data do not distinguish {told} from {where}; its interval has only an end {end}.",
            "Its value is fixed there, and the other parameters are estimated with it.",
        )
