"""Judge the answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from popinv.inference.build import descent_problem
from popinv.inference.metrics import Tests, metrics
from popinv.inference.reading import read_names, stated_entries
from popinv.population.model import Model
from popinv.population.units import table_units
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
) -> dict[str, float | int | str]:
    """Return the study's metrics, a flat table of numbers.

    Parameters
    ----------
    thresholds : Thresholds
        What a surrogate that is good enough stays below.
    seed, null_resamples : int
        The study's seed, and the number of resamples of the held-out discrepancy.
    tests : callable, optional
        Those of law, noise and simulator, :func:`popinv.inference.answer_tests.answer_tests`.
    **artefacts : Dataset
        ``surrogate``, or the forward model itself in its place, ``observations``, ``population``,
        ``check``, and, where there are, ``sampling_error``, ``truth``,
        ``noise_known`` and ``law_known``.
    """
    surrogate = surrogate_of(artefacts["surrogate"])
    problem = descent_problem(model, artefacts["observations"], surrogate, seed, "assess")
    numbers = metrics(problem, artefacts, null_resamples, thresholds, tests)
    population, law = artefacts["population"], problem.law
    names = np.array(read_names(law))[stated_entries(law)].tolist()
    names += population["law_summary"].values.tolist() if "summary" in population else []
    return numbers | table_units(model, names, problem.noise.names)
