"""The learning rate of the own recipe: each method takes its best one of a grid.

As long as the largest rate is the best, its double is tried too. Every rate trains one ensemble,
and the three best of them train another, since a rate near the limit of stability may do well by
luck. No claim is measured on these starts. Ensembles are scored on pairs of training images that
they were not trained on, so that the test images stay unseen.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.errors import DivergenceError
from popinv.store.variables import variable
from popinv_papers.kit.images import ImageSet
from popinv_papers.mwgrad.ensemble_runs import SEARCH, SEEDS, Run, Size
from popinv_papers.mwgrad.ensemble_training import train

_HIGHEST = 1.0
_FINALISTS = 3


def search(kind: str, method: str, sets: dict[str, ImageSet], size: Size, seed: int) -> xr.Dataset:
    """Return ``accuracy`` (start, rate), the mean of both tasks.

    It is 0 where a descent diverged, and NaN for the second start of rates that are not among the
    best.

    Parameters
    ----------
    kind, method : str
        The kind of pairs, and the method.
    sets : dict
        The sets of images by name.
    size : Size
        With the grid of rates, and the number of pairs of a training.
    seed : int
        Seed of the first measured start. That of the search lies beyond all of them.
    """

    def accuracy(rate: float, start: int) -> float:
        run = Run(kind, SEARCH, method, SEEDS + start)
        try:
            trained = train(run, sets, size, seed, rate=rate)
        except DivergenceError:
            return 0.0
        return float(trained["accuracy"].sel(part="unseen")[-1].mean())

    rates = list(size.rates)
    first = [accuracy(rate, 0) for rate in rates]
    while max(first) == first[-1] and rates[-1] < _HIGHEST:
        rates.append(2 * rates[-1])
        first.append(accuracy(rates[-1], 0))
    second = np.full(len(rates), np.nan)
    for place in np.argsort(first)[-_FINALISTS:]:
        second[place] = accuracy(rates[place], 1)
    return xr.Dataset(
        {
            "accuracy": variable(
                ("start", "rate"), np.array([first, second]), "accuracy on pairs not trained on"
            )
        },
        coords={"rate": variable("rate", np.array(rates), "first learning rate")},
    )


def best_rate(found: xr.Dataset) -> float:
    """Return the rate with the greatest mean accuracy over both starts."""
    mean = found["accuracy"].values.mean(axis=0)
    return float(found["rate"][int(np.nanargmax(mean))])
