"""Judgements on how far a study's answer can be trusted, from its metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from popinv.judgement.estimators import (
    agreement_judgement,
    arrival_judgement,
    boundaries_judgement,
    convergence_judgement,
    efficiency_judgement,
    estimator_judgement,
    standard_errors_judgement,
    value_judgement,
)
from popinv.judgement.judgement import UNJUDGED, Judgement, is_number, readable, sentence
from popinv.judgement.metrics import Metrics, Parameter

# A study of some tens of replications can require a coverage of 95 % intervals within this band.
COVERAGE_WANTED = (0.85, 0.99)

# If the p-value of the held-out systems is below this, model and data differ. It is small, since
# a right model is to get no doubt at all in 95 of 100 studies.
_LEVEL = 0.01
# The parts of a model that are tested, and their names.
_PARTS = {
    "law": ("Law", "law"),
    "noise": ("Noise", "noise"),
    "simulator": ("Simulator", "simulator"),
}
_ADJUSTED = (
    "Each test asks all systems whether a larger model describes them better. The p-value is the "
    "chance that a right model shows as much in any of the tests of law, noise and simulator."
)
_SURROGATE = "The surrogate's error biases the law and the noise, unless it is corrected."
# Noise below this share of the observations' spread has collapsed, or is very precise.
_COLLAPSED = 1e-3


def judgements(
    metrics: Metrics, parameters: Sequence[Parameter], calibration: Metrics | None = None
) -> tuple[Judgement, ...]:
    """Return the checks of the answer and their results.

    Parameters
    ----------
    metrics : mapping
        ``metrics.json`` of the study.
    parameters : sequence of Parameter
        From :func:`~popinv.cli.show.parameters_in`.
    calibration : mapping, optional
        ``evidence/calibration.json``.
    """
    parts = (
        _truth(metrics, parameters),
        estimator_judgement(metrics),
        convergence_judgement(metrics),
        arrival_judgement(metrics),
        agreement_judgement(metrics),
        efficiency_judgement(metrics),
        standard_errors_judgement(metrics),
        value_judgement(metrics),
        boundaries_judgement(metrics),
        _specification(metrics),
        _heldout(metrics),
        _noise_size(metrics),
        _identifiability(metrics),
        _surrogate(metrics),
        _sampling_error(metrics),
        _solver(metrics),
        _calibration(calibration),
    )
    return tuple(judgement for part in parts for judgement in part)


def _truth(metrics: Metrics, parameters: Sequence[Parameter]) -> Iterator[Judgement]:
    if "alpha_relative_error_max" not in metrics:
        return
    law = f"{metrics['alpha_relative_error_max']:.3f}"
    noise = f"{metrics['noise_covariance_relative_frobenius_error']:.3f}"
    short = f"largest error {law} (law), {noise} (noise)"
    text = (
        f"The largest relative error of the law is {law} (absolute if the truth is below 0.1). The "
        f"relative error of the noise covariance is {noise}."
    )
    for key, part, told in (
        ("alpha_error_to_oracle", "law", "noise"),
        ("noise_error_to_oracle", "noise", "law"),
    ):
        if key in metrics:
            short += f"; {part} {metrics[key]:.2f} times its oracle's"
            text += (
                f" The root mean square error of the {part} is {metrics[key]:.2f} times that of an "
                f"estimate that is told the {told}."
            )
    known = [p.holds for p in parameters if p.holds is not None]
    if not known:
        meaning = "There are no intervals to compare with the truth."
        yield Judgement("Against the truth", "neutral", short, text, meaning)
        return
    text += f" {sum(known)} of {len(known)} intervals (of 95 %) hold the true value."
    short += f"; {sum(known)} of {len(known)} intervals hold the truth"
    missed = len(known) - sum(known)
    # One in twenty 95 % intervals misses the truth by chance. Many at once do not.
    doubtful = missed > max(1, 0.2 * len(known))
    yield Judgement(
        "Against the truth",
        "doubt" if doubtful else "good",
        short,
        text,
        "One interval in twenty misses the truth by chance. The parameters are not independent.",
    )


def _heldout(metrics: Metrics) -> Iterator[Judgement]:
    if "heldout_p_value" not in metrics:
        return
    p = metrics["heldout_p_value"]
    if not is_number(p):
        yield Judgement(
            "Held-out systems", "neutral", "not judged", "The test has no result.", UNJUDGED
        )
        return
    differ = p < _LEVEL
    verb = "do not look" if differ else "look"
    yield Judgement(
        "Held-out systems",
        "doubt" if differ else "good",
        f"{verb} like draws of the fitted model (p = {p:.2g})",
        f"Systems that were kept aside {verb} like draws of the fitted model. Their energy "
        f"distance is {metrics['heldout_energy_distance']:.3g}; for draws of the model it is below "
        f"{metrics['heldout_energy_null_95']:.3g} in 95 of 100 cases (p = {p:.2g}).",
        "A small p-value says that law, noise and surrogate together do not describe the data.",
    )


def _specification(metrics: Metrics) -> Iterator[Judgement]:
    """Yield whether the law, the noise and the simulator are those of the data."""
    for part, (title, subject) in _PARTS.items():
        if (key := f"{part}_misfit") not in metrics:
            continue
        misfit = str(metrics[key])
        if misfit.startswith("not judged: "):
            reason = misfit.removeprefix("not judged: ")
            yield Judgement(title, "neutral", "not judged", f"Not judged: {reason}.", UNJUDGED)
            continue
        p, count = metrics[f"{key}_p_value"], metrics[f"{key}_tests"]
        unseen = str(metrics[f"{key}_unseen"])
        blind = 0 if unseen == "none" else len(unseen.split("; "))
        if misfit != "none seen":
            short = f"{misfit.split(' (')[0]} (p = {p:.2g})"
            yield Judgement(title, "doubt", short, f"{sentence(misfit)} (p = {p:.2g}).", _ADJUSTED)
            continue
        short = f"no mistake seen in {count} tests (p = {p:.2g})"
        text = f"No mistake of the {subject} is seen in {count} tests (p = {p:.2g})."
        if blind:
            short += f"; {blind} of them would hardly see a large one"
            text += f" With so few systems these would hardly be seen even if large: {unseen}."
        yield Judgement(title, "neutral" if blind else "good", short, text, _ADJUSTED)


def _noise_size(metrics: Metrics) -> Iterator[Judgement]:
    """Yield a doubt if the noise is close to zero, where a likelihood may have no maximum."""
    share = metrics.get("noise_least_share")
    if share is None or not math.isfinite(share) or share >= _COLLAPSED:
        return
    where = str(metrics["noise_least_share_at"])
    fewest, varying = metrics["fewest_observations_of_a_system"], metrics["varying_parameters"]
    text = (
        f"The recovered noise of {where} is {share:.1g} of the spread of the observations over the "
        "systems."
    )
    if fewest <= varying:
        text += (
            f" Some systems have {fewest} observations and {varying} parameters that vary, so that "
            "the model can pass through all of them without noise: the likelihood then grows "
            "without bound as the noise goes to zero, and this answer is where the search stopped."
        )
    yield Judgement(
        "Size of the noise",
        "doubt",
        f"{share:.1g} of the spread of the observations",
        text,
        "If the measurements are not that precise, the noise has collapsed, and law and intervals "
        "are not to be used. Take one size of noise for all observations (noise.kind: isotropic) "
        "or start it higher (noise.start); let fewer parameters vary (law.fixed, or a standard "
        "deviation of 0 in law.start); or observe each system more often: replicates determine "
        "the noise by themselves.",
    )


def _identifiability(metrics: Metrics) -> Iterator[Judgement]:
    if "identifiability_warning" not in metrics:
        return
    warning = str(metrics["identifiability_warning"])
    direction = readable(str(metrics["weakest_direction"])).replace("-", "−")
    weakest = (
        f"The weakest combination of parameters, {direction}, has a standard error of "
        f"{metrics['weakest_direction_error']:.2g} of the first design's spread."
    )
    by = metrics.get("identifiability_by", "mean, covariance and third moments of the observations")
    fine = warning == "none"
    text = f"{'The data determine every parameter' if fine else readable(warning)}. {weakest}"
    yield Judgement(
        "Identifiability",
        "good" if fine else "doubt",
        f"the data {'' if fine else 'do not '}determine every parameter",
        text,
        f"The standard errors are those that the {by} allow with this number of systems.",
    )


def _surrogate(metrics: Metrics) -> Iterator[Judgement]:
    if "surrogate_whitened_rmse" not in metrics:
        return
    error = metrics["surrogate_whitened_rmse"]
    if not is_number(error):
        text = "No fresh solve succeeded, so it could not be judged."
        yield Judgement("Surrogate", "doubt", "not judged", text, _SURROGATE)
        return
    push = metrics["surrogate_push"]
    taken = (
        "The answer uses the forward model itself, not the surrogate."
        if metrics["through"] == "solver"
        else "The answer has been corrected for this push."
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
        f"Averages over a finite time have a sampling error. It is {share} of the variance of "
        "noise and sampling error together, and has been subtracted from the noise."
        if taken_off
        else f"The sampling error of averages over a finite time is {share} of the recovered "
        "noise's variance."
    )
    yield Judgement(
        "Sampling error of the model",
        "neutral",
        f"{share} of the variance beside the signal{', taken off the noise' if taken_off else ''}",
        text,
        "It is measured by repeated solves. The observations alone cannot distinguish it from "
        "noise.",
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
        f"The study requires between {100 * low:.0f} and {100 * high:.0f} %.",
    )
