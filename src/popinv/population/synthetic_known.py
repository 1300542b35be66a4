"""Design and covariates of a synthetic population."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from popinv.observation_files.known_columns import KnownColumns
from popinv.population.sections import SyntheticObservations
from popinv.seeds import generator


def synthetic_known(
    observations: SyntheticObservations,
    design: Sequence[str],
    covariates: Sequence[str],
    seed: int,
    count: int,
) -> KnownColumns | None:
    """Return the known quantities of a synthetic population; None if it has none.

    A quantity has the same values wherever it is asked for. Covariates count from the mean of
    their distribution over these systems.

    Parameters
    ----------
    design, covariates : sequence of str
    seed : int
        The study's seed.
    count : int
        Number of systems, with those that are held out.
    """
    if not design and not covariates:
        return None
    values = {
        name: observations.known[name].values(generator(seed, f"truth/known/{name}"), count)
        for name in (*design, *covariates)
    }
    centres = np.array([values[name].mean() for name in covariates])
    return KnownColumns.of_values(values, design, covariates, centres, count)
