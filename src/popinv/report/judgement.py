"""How far the answer of a study can be trusted, judged by its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from popinv.figures.evidence import COVERAGE_WANTED
from popinv.report.records import Judgement
from popinv.report.words import readable
from popinv.summary import Parameter

__all__ = ["judgements"]

Metrics = Mapping[str, Any]

# A p-value below this says that model and data differ.
_LEVEL = 0.05
# An error of this many deviations of the noise is a hundredth of its variance.
_SMALL_ERROR = 0.1


def judgements(
    metrics: Metrics,
    parameters: Sequence[Parameter],
    threshold: float,
    coverage: Metrics | None = None,
) -> tuple[Judgement, ...]:
    """Return what a sceptic would ask, and the answers.

    Parameters
    ----------
    metrics : mapping
        ``metrics.json`` of the study.
    parameters : sequence of Parameter
        From :func:`~popinv.summary.parameters_in`.
    threshold : float
        The error that the study demands of its surrogate, in deviations of the noise.
    coverage : mapping, optional
        ``evidence/coverage.json``.
    """
    parts = (
        _truth(metrics, parameters),
        _heldout(metrics),
        _noise_family(metrics),
        _identifiability(metrics),
        _surrogate(metrics, threshold),
        _sampling_error(metrics),
        _solver(metrics),
        _coverage(coverage),
    )
    return tuple(judgement for part in parts for judgement in part)


def _truth(metrics: Metrics, parameters: Sequence[Parameter]) -> Iterator[Judgement]:
    if "alpha_relative_error_max" not in metrics:
        return
    text = (
        f"The largest relative error of the law is {metrics['alpha_relative_error_max']:.3f}, that "
        f"of the noise covariance {metrics['noise_covariance_relative_frobenius_error']:.3f}."
    )
    if "alpha_error_to_oracle" in metrics:
        text += (
            f" The law's is {metrics['alpha_error_to_oracle']:.2f} times that of an estimate that "
            "is told the noise."
        )
    known = [p.holds for p in parameters if p.holds is not None]
    if not known:
        meaning = "Without resampled systems there are no intervals to hold against the truth."
        yield Judgement("Against the truth", "neutral", text, meaning)
        return
    text += f" {sum(known)} of {len(known)} 95 % intervals hold the true value."
    missed = len(known) - sum(known)
    # With 95 % intervals one in twenty misses; many at once do not, by chance alone.
    doubtful = missed > max(1, 0.2 * len(known))
    yield Judgement(
        "Against the truth",
        "doubt" if doubtful else "good",
        text,
        "One interval in twenty misses by chance; the parameters are not independent.",
    )


def _heldout(metrics: Metrics) -> Iterator[Judgement]:
    if "heldout_p_value" not in metrics:
        return
    p = metrics["heldout_p_value"]
    differ = p < _LEVEL
    verb = "do not look" if differ else "look"
    yield Judgement(
        "Held-out systems",
        "doubt" if differ else "good",
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
    fine = found == "none seen"
    p = f" (p = {metrics['noise_misfit_p_value']:.2g})" if "noise_misfit_p_value" in metrics else ""
    text = (
        f"The chosen family explains the second moments{p}."
        if fine
        else f"{found[:1].upper()}{found[1:]}{p}."
    )
    yield Judgement(
        "Family of the noise",
        "good" if fine else "doubt",
        text,
        "Compares the covariance of the systems kept aside with that of the fitted model; a wrong "
        "law or surrogate can raise it too.",
    )


def _identifiability(metrics: Metrics) -> Iterator[Judgement]:
    if "identifiability_warning" not in metrics:
        return
    warning = str(metrics["identifiability_warning"])
    direction = readable(str(metrics["weakest_direction"])).replace("-", "−")
    weakest = (
        f"What is known least is {direction}, to "
        f"{metrics['weakest_direction_error']:.2g} of the first design's spread."
    )
    fine = warning == "none"
    text = f"The data determine every parameter. {weakest}" if fine else f"{warning} {weakest}"
    yield Judgement(
        "Identifiability",
        "good" if fine else "doubt",
        text,
        "From the standard errors that mean, covariance and third moments of the observations "
        "allow with so many systems.",
    )


def _surrogate(metrics: Metrics, threshold: float) -> Iterator[Judgement]:
    if "surrogate_whitened_rmse" not in metrics:
        return
    error = metrics["surrogate_whitened_rmse"]
    fine = error < max(threshold, _SMALL_ERROR)
    yield Judgement(
        "Surrogate",
        "good" if fine else "doubt",
        f"On fresh solves it errs by {error:.3g} standard deviations of the noise; the study asks "
        f"for {threshold:g}.",
        "What the surrogate gets wrong ends up in the noise.",
    )


def _sampling_error(metrics: Metrics) -> Iterator[Judgement]:
    if "sampling_error_share" not in metrics:
        return
    yield Judgement(
        "Sampling error of the model",
        "neutral",
        f"{100 * metrics['sampling_error_share']:.3g} % of the recovered noise's variance is the "
        "sampling error of averages over a finite time.",
        "Measured by repeated solves; it cannot be told from noise by the observations alone.",
    )


def _solver(metrics: Metrics) -> Iterator[Judgement]:
    failures = metrics.get("solver_failures", 0)
    if not failures:
        return
    yield Judgement(
        "Solver",
        "doubt",
        f"{failures} of {metrics['solver_calls']} solves failed "
        f"({metrics['solver_failure_reasons']}).",
        "Failures that depend on the parameters bias the law towards what could be solved.",
    )


def _coverage(coverage: Metrics | None) -> Iterator[Judgement]:
    if coverage is None:
        return
    share, count = coverage["coverage_mean"], coverage["coverage_replications"]
    low, high = COVERAGE_WANTED
    yield Judgement(
        "Coverage",
        "good" if low <= share <= high else "doubt",
        f"On {count} new data sets like this one {100 * share:.1f} % of the 95 % intervals hold "
        "the truth.",
        f"Between {100 * low:.0f} and {100 * high:.0f} % is what was asked for.",
    )
