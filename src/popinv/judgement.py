"""How far the answer of a study can be trusted, judged by its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from popinv.metrics import Metrics, Parameter

__all__ = ["COVERAGE_WANTED", "Judgement", "judgements"]

# Coverage of 95 % intervals within this band is what a study of some tens of replications can ask.
COVERAGE_WANTED = (0.85, 0.99)

# A p-value below this says that model and data differ.
_LEVEL = 0.05
_UNJUDGED = "What was not judged speaks neither for the answer nor against it."
_SURROGATE = (
    "What the surrogate gets wrong ends up in the law and the noise, unless it is taken off."
)
# A p-value of Hausman's test below this says that estimators differ by more than chance; a ratio of
# standard error and bound above that, that the data could tell more.
_DIFFER, _INEFFICIENT = 0.01, 1.5


@dataclass(frozen=True)
class Judgement:
    """One answer to the question how far the result can be trusted.

    Attributes
    ----------
    name : str
        What was looked at.
    verdict : {"good", "doubt", "neutral"}
        Good, or a reason for doubt; neutral where there is nothing to compare with.
    short : str
        What was found, in a few words.
    finding : str
        The same in a sentence.
    meaning : str
        How to read that.
    """

    name: str
    verdict: Literal["good", "doubt", "neutral"]
    short: str
    finding: str
    meaning: str


def judgements(
    metrics: Metrics, parameters: Sequence[Parameter], calibration: Metrics | None = None
) -> tuple[Judgement, ...]:
    """Return what a sceptic would ask, and the answers.

    Parameters
    ----------
    metrics : mapping
        ``metrics.json`` of the study.
    parameters : sequence of Parameter
        From :func:`~popinv.summary.parameters_in`.
    calibration : mapping, optional
        ``evidence/calibration.json``.
    """
    parts = (
        _truth(metrics, parameters),
        _estimator(metrics),
        _arrival(metrics),
        _agreement(metrics),
        _efficiency(metrics),
        _boundaries(metrics),
        _heldout(metrics),
        _predictions(metrics),
        _noise_family(metrics),
        _identifiability(metrics),
        _surrogate(metrics),
        _sampling_error(metrics),
        _solver(metrics),
        _calibration(calibration),
    )
    return tuple(judgement for part in parts for judgement in part)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _truth(metrics: Metrics, parameters: Sequence[Parameter]) -> Iterator[Judgement]:
    if "alpha_relative_error_max" not in metrics:
        return
    law = f"{metrics['alpha_relative_error_max']:.3f}"
    noise = f"{metrics['noise_covariance_relative_frobenius_error']:.3f}"
    short = f"largest error {law} (law), {noise} (noise)"
    text = (
        f"The largest relative error of the law is {law} (absolute where the truth is below 0.1), "
        f"that of the noise covariance {noise}."
    )
    for key, of, told in (
        ("alpha_error_to_oracle", "law", "noise"),
        ("noise_error_to_oracle", "noise", "law"),
    ):
        if key in metrics:
            short += f"; {of} {metrics[key]:.2f} times its oracle's"
            text += (
                f" The root mean square error of the {of} is {metrics[key]:.2f} times that of an "
                f"estimate that is told the {told}."
            )
    known = [p.holds for p in parameters if p.holds is not None]
    if not known:
        meaning = "There are no intervals to hold against the truth."
        yield Judgement("Against the truth", "neutral", short, text, meaning)
        return
    text += f" {sum(known)} of {len(known)} intervals (of 95 %) hold the true value."
    short += f"; {sum(known)} of {len(known)} intervals hold the truth"
    missed = len(known) - sum(known)
    # With 95 % intervals one in twenty misses; many at once do not, by chance alone.
    doubtful = missed > max(1, 0.2 * len(known))
    yield Judgement(
        "Against the truth",
        "doubt" if doubtful else "good",
        short,
        text,
        "One interval in twenty misses by chance; the parameters are not independent.",
    )


def _heldout(metrics: Metrics) -> Iterator[Judgement]:
    if "heldout_p_value" not in metrics:
        return
    p = metrics["heldout_p_value"]
    if not _is_number(p):
        yield Judgement(
            "Held-out systems", "neutral", "not judged", "The test has no result.", _UNJUDGED
        )
        return
    differ = p < _LEVEL
    verb = "do not look" if differ else "look"
    yield Judgement(
        "Held-out systems",
        "doubt" if differ else "good",
        f"{verb} like draws of the fitted model (p = {p:.2g})",
        f"Systems that were kept aside {verb} like draws of the fitted model: energy distance "
        f"{metrics['heldout_energy_distance']:.3g}, which stays below "
        f"{metrics['heldout_energy_null_95']:.3g} in 95 of 100 cases when they are "
        f"(p = {p:.2g}).",
        "A small p-value would say that law, noise or surrogate are wrong together.",
    )


def _noise_family(metrics: Metrics) -> Iterator[Judgement]:
    if "noise_misfit" not in metrics:
        return
    found = str(metrics["noise_misfit"])
    if found.startswith("not judged: "):
        reason = found.removeprefix("not judged: ")
        text = f"Not judged: {reason}."
        yield Judgement("Family of the noise", "neutral", "not judged", text, _UNJUDGED)
        return
    fine = found == "none seen"
    p = f" (p = {metrics['noise_misfit_p_value']:.2g})" if "noise_misfit_p_value" in metrics else ""
    text = (
        f"The chosen family explains the second moments{p}." if fine else f"{_sentence(found)}{p}."
    )
    yield Judgement(
        "Family of the noise",
        "good" if fine else "doubt",
        f"{'explains' if fine else 'does not explain'} the second moments{p}",
        text,
        "Compares the covariance of the systems kept aside with that of the fitted model; a wrong "
        "law or surrogate can raise it too.",
    )


def _identifiability(metrics: Metrics) -> Iterator[Judgement]:
    if "identifiability_warning" not in metrics:
        return
    warning = str(metrics["identifiability_warning"])
    direction = _readable(str(metrics["weakest_direction"])).replace("-", "−")
    weakest = (
        f"The combination of parameters that is known least, {direction}, has a standard error of "
        f"{metrics['weakest_direction_error']:.2g} of the first design's spread."
    )
    fine = warning == "none"
    text = f"{'The data determine every parameter' if fine else _readable(warning)}. {weakest}"
    yield Judgement(
        "Identifiability",
        "good" if fine else "doubt",
        f"the data {'' if fine else 'do not '}determine every parameter",
        text,
        "From the standard errors that mean, covariance and third moments of the observations "
        "allow with so many systems.",
    )


def _surrogate(metrics: Metrics) -> Iterator[Judgement]:
    if "surrogate_whitened_rmse" not in metrics:
        return
    error = metrics["surrogate_whitened_rmse"]
    if not _is_number(error):
        text = "No fresh solve succeeded on which it could be judged."
        yield Judgement("Surrogate", "doubt", "not judged", text, _SURROGATE)
        return
    push = metrics["surrogate_push"]
    taken = (
        "The answer went through the forward model itself."
        if metrics["through"] == "solver"
        else "Its push has been taken off the answer."
    )
    yield Judgement(
        "Surrogate",
        "good" if metrics["surrogate_good_enough"] else "doubt",
        f"errs by {error:.2g} deviations of the noise, pushes by {push:.2g} standard errors",
        f"On fresh solves it errs by {error:.3g} standard deviations of the noise; the study asks "
        f"for {metrics['surrogate_threshold']:g}. That pushes the answer by {push:.2g} of its "
        f"standard errors; the study asks for {metrics['surrogate_push_threshold']:g}. {taken}",
        _SURROGATE,
    )


def _sampling_error(metrics: Metrics) -> Iterator[Judgement]:
    if "sampling_error_share" not in metrics:
        return
    share = f"{100 * metrics['sampling_error_share']:.2g} %"
    taken_off = bool(metrics["sampling_error_taken_off"])
    text = (
        f"Averages over a finite time have a sampling error, which is {share} of the variance that "
        "noise and it have together. It has been taken off the noise."
        if taken_off
        else f"{share} of the recovered noise's variance is the sampling error of averages over a "
        "finite time."
    )
    yield Judgement(
        "Sampling error of the model",
        "neutral",
        f"{share} of the variance beside the signal{', taken off the noise' if taken_off else ''}",
        text,
        "Measured by repeated solves; it cannot be told from noise by the observations alone.",
    )


def _solver(metrics: Metrics) -> Iterator[Judgement]:
    failures = metrics.get("solver_failures", 0)
    if not failures:
        return
    yield Judgement(
        "Solver",
        "doubt",
        f"{failures} of {metrics['solver_calls']} solves failed",
        f"{failures} of {metrics['solver_calls']} solves failed "
        f"({metrics['solver_failure_reasons']}).",
        "Failures that depend on the parameters bias the law towards what could be solved.",
    )


def _calibration(calibration: Metrics | None) -> Iterator[Judgement]:
    if calibration is None:
        return
    share, count = calibration["coverage_mean"], calibration["calibration_replications"]
    low, high = COVERAGE_WANTED
    yield Judgement(
        "Calibration",
        "good" if low <= share <= high else "doubt",
        f"{100 * share:.0f} % of the intervals hold the truth on {count} new data sets",
        f"On {count} new data sets like this one {100 * share:.1f} % of the 95 % intervals hold "
        "the truth.",
        f"Between {100 * low:.0f} and {100 * high:.0f} % is what was asked for.",
    )


def _estimator(metrics: Metrics) -> Iterator[Judgement]:
    if "estimator" not in metrics:
        return
    name, why = _readable(str(metrics["estimator"])), str(metrics["estimator_reason"])
    through = "the forward model itself" if metrics["through"] == "solver" else "the surrogate"
    yield Judgement(
        "Estimator",
        "neutral",
        f"the answer is that of the {name}",
        f"The answer is that of the {name}, through {through}: {why}.",
        "The likelihood has the smallest standard errors when the model is right; the "
        "pseudo-likelihood needs means and covariances alone, the distance no density.",
    )


def _arrival(metrics: Metrics) -> Iterator[Judgement]:
    if "descent_arrived" not in metrics:
        return
    arrived, left = bool(metrics["descent_arrived"]), metrics["descent_remaining"]
    # What the descent left to go is no doubt of an answer that is not its own.
    matters = metrics["estimator"] == "distance"
    yield Judgement(
        "Descent",
        "good" if arrived else "doubt" if matters else "neutral",
        f"has {'' if arrived else 'not '}arrived",
        f"The descent has {'' if arrived else 'not '}arrived: {left:.2g} standard errors are left "
        "to go, in the parameter with the most.",
        "From the mean of its last gradients, beside their randomness.",
    )


def _agreement(metrics: Metrics) -> Iterator[Judgement]:
    if "agreement" not in metrics:
        return
    text, p = str(metrics["agreement"]), metrics.get("agreement_p_value")
    if p is None:
        yield Judgement("Agreement", "neutral", "not judged", f"{_sentence(text)}.", _UNJUDGED)
        return
    agree = p >= _DIFFER
    short = f"estimators {'agree' if agree else 'differ by more than chance'} (p = {p:.2g})"
    yield Judgement(
        "Agreement",
        "good" if agree else "doubt",
        short,
        f"{_sentence(text)} (p = {p:.2g}).",
        "Estimators that are all right under a right model differ by chance alone; what they make "
        "of a wrong one is different (Hausman's test).",
    )


def _efficiency(metrics: Metrics) -> Iterator[Judgement]:
    ratios = {
        key.removeprefix("efficiency_"): value
        for key, value in metrics.items()
        if key.startswith("efficiency_") and key != "efficiency_bound" and _is_number(value)
    }
    if not ratios:
        return
    worst = max(ratios, key=lambda name: ratios[name])
    largest, of = ratios[worst], _readable(str(metrics["efficiency_bound"]))
    fine = largest <= _INEFFICIENT
    short = f"standard errors at most {largest:.2f} times the bound"
    yield Judgement(
        "Efficiency",
        "good" if fine else "doubt",
        short,
        f"The standard errors are at most {largest:.2f} times those that the {of} allows "
        f"({_readable(worst)}).",
        f"Above {_INEFFICIENT:g} the data could tell more than the answer does.",
    )


def _boundaries(metrics: Metrics) -> Iterator[Judgement]:
    at = {k.removeprefix("boundary_"): v for k, v in metrics.items() if k.startswith("boundary_")}
    for name, where in at.items():
        told = _readable(name)
        end = "from above" if where == "zero" else "from below"
        yield Judgement(
            "Boundary",
            "neutral",
            f"{told} is not told from {where}",
            f"The data do not tell {told} from {where}; its interval has an end {end} alone.",
            "Its value is held there, and the other parameters are estimated beside it.",
        )


def _predictions(metrics: Metrics) -> Iterator[Judgement]:
    for key, title, what in (
        (
            "heldout_calibration_p_value",
            "Single observations",
            "Held-out values of single observations",
        ),
        ("heldout_log_score_p_value", "Log score", "Log densities of held-out systems"),
    ):
        if not _is_number(metrics.get(key)):
            continue
        p = metrics[key]
        differ = p < _LEVEL
        verb = "do not have" if differ else "have"
        yield Judgement(
            title,
            "doubt" if differ else "good",
            f"{verb} the distribution that the model predicts (p = {p:.2g})",
            f"{what} {verb} the distribution that the fitted model predicts (p = {p:.2g}).",
            "Compared with systems drawn from the fitted model, whose own error counts as it does "
            "in the data.",
        )


def _readable(name: str) -> str:
    return name.replace("_", " ")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
