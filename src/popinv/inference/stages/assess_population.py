"""Judge the answer."""

from __future__ import annotations

from typing import Any

from popinv.inference.assessment import Tests, assess
from popinv.inference.build import descent_problem
from popinv.judgement.answer import StudyAnswer
from popinv.population.model import Model
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.collect import Thresholds


def assess_population(
    model: Model,
    thresholds: Thresholds,
    *,
    seed: int,
    null_resamples: int,
    tests: Tests | None = None,
    **artefacts: Any,
) -> StudyAnswer:
    """Return the record of the study's answer.

    Parameters
    ----------
    thresholds : Thresholds
        What a surrogate that is good enough stays below.
    seed, null_resamples : int
        The study's seed, and the number of resamples of the held-out discrepancy.
    tests : callable, optional
        Those of law, noise and simulator, :func:`popinv.inference.assessment.answer_tests`.
    **artefacts : Dataset
        ``surrogate``, or the forward model itself in its place, ``observations``, ``population``,
        ``check``, and, where there are, ``sampling_error``, ``truth``,
        ``noise_known`` and ``law_known``.
    """
    surrogate = surrogate_of(artefacts["surrogate"])
    problem = descent_problem(model, artefacts["observations"], surrogate, seed, "assess")
    return assess(problem, artefacts, null_resamples, thresholds, tests, model)
