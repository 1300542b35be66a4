"""Judge the answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from popinv.inference.answer.assessment import answer_tests, assess
from popinv.inference.density.build import descent_problem
from popinv.inference.density.solver import SolverSimulator
from popinv.judgement.answer import StudyAnswer
from popinv.population.model import Model
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.collect import Thresholds


def assess_population(
    model: Model,
    thresholds: Mapping[str, float],
    *,
    seed: int,
    null_resamples: int,
    tests: bool = True,
    **artefacts: Any,
) -> StudyAnswer:
    """Return the record of the study's answer.

    Parameters
    ----------
    thresholds : mapping of str to float
        Upper limits for a good enough surrogate, as
        :meth:`popinv.config.study.Study.surrogate_thresholds` states them.
    seed, null_resamples : int
        The study's seed, and the number of resamples of the held-out discrepancy.
    tests : bool
        Whether law, noise and simulator are tested with systems that were held out.
    **artefacts : Dataset
        ``surrogate``, or the forward model itself in its place, ``observations``, ``population``,
        ``check``, and, where there are, ``sampling_error``, ``truth``,
        ``noise_known`` and ``law_known``.
    """
    surrogate = surrogate_of(artefacts["surrogate"])
    problem = descent_problem(model, artefacts["observations"], surrogate, seed, "assess")
    of_answer = partial(answer_tests, solver=lambda: SolverSimulator(model.forward.model(seed)))
    answer = assess(
        problem,
        artefacts,
        null_resamples,
        Thresholds(**thresholds),
        of_answer if tests else None,
        model,
    )
    if answer.surrogate is not None:
        print(answer.surrogate.statement)
    return answer
