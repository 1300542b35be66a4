"""The learning rate of the own recipe: each method takes its best one of a grid.

As long as the largest rate is the best, its double is tried too. Every rate trains one ensemble
from a start that no claim is measured on. It is scored on pairs of training images that it was not
trained on, so that the test images stay unseen.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.downstream.data.images import ImageSet
from popinv.downstream.mwgrad.ensemble_runs import SEARCH, SEEDS, Run, Size
from popinv.downstream.mwgrad.ensemble_training import train
from popinv.errors import DivergenceError
from popinv.store.variables import variable

__all__ = ["best_rate", "search"]

_HIGHEST = 1.0


def search(kind: str, method: str, sets: dict[str, ImageSet], size: Size, seed: int) -> xr.Dataset:
    """Return ``accuracy`` (rate), the mean of both tasks; a descent that diverged has 0.

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
    run = Run(kind, SEARCH, method, SEEDS)

    def accuracy(rate: float) -> float:
        try:
            trained = train(run, sets, size, seed, rate=rate)
        except DivergenceError:
            return 0.0
        return float(trained["accuracy"].sel(part="unseen")[-1].mean())

    rates = list(size.rates)
    found = [accuracy(rate) for rate in rates]
    while max(found) == found[-1] and rates[-1] < _HIGHEST:
        rates.append(2 * rates[-1])
        found.append(accuracy(rates[-1]))
    return xr.Dataset(
        {"accuracy": variable(("rate",), np.array(found), "accuracy on pairs not trained on")},
        coords={"rate": variable("rate", np.array(rates), "first learning rate")},
    )


def best_rate(found: xr.Dataset) -> float:
    """Return the rate with the greatest accuracy."""
    return float(found["rate"][int(found["accuracy"].values.argmax())])
