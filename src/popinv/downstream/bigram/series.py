"""A study's observed series as symbols: their power law, and the optimiser that it advises.

If observations are histories at several places, the values at all places at one time form a
vector. Vector quantisation (k-means) turns vectors into symbols, and each system's history into a
sequence, which a linear bigram model can learn to continue. The exponent of the symbols' Zipf law
predicts the number of steps of gradient and of sign descent. Both are then run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy.cluster.vq import kmeans2

from popinv.downstream.bigram import gradient_descent, sign_descent
from popinv.downstream.bigram.counts import Bigrams
from popinv.downstream.bigram.power_law import fitted_exponent
from popinv.downstream.bigram.problem import text_curves
from popinv.errors import ConfigError, DataError
from popinv.forward.datasets import time_series
from popinv.seeds import generator
from popinv.store.variables import variable

__all__ = ["advise", "quantised", "run_descent"]

_ITERATIONS = 50
# A dense run is cut short after this number of steps; the exact formula gives the rest.
_MOST_RUN = 2000


def quantised(observations: xr.Dataset, vocabulary: int, seed: int) -> list[np.ndarray]:
    """Return each system's history as symbols in [0, vocabulary).

    Values are standardised place by place. A vector with a missing entry splits its history.

    Parameters
    ----------
    observations : Dataset
        ``y`` (system, observation) with the coordinate ``observation_t``.
    vocabulary : int
        Number of symbols.
    seed : int
        Seed of the first centres.

    Raises
    ------
    DataError
        If the observations have no times, or there are fewer vectors than symbols.
    """
    series = time_series(observations)
    if series is None or series.shape[1] < 2:
        raise DataError(
            "downstream.bigram needs observed series, but these observations have no times: it "
            "goes with elastodynamics, Lorenz-96 with several windows, or a simulator with "
            "'observations.times'."
        )
    vectors = observations["y"].values[:, series].swapaxes(1, 2)
    seen = np.isfinite(vectors).all(axis=2)
    known = vectors[seen]
    if len(known) <= vocabulary:
        raise DataError(
            f"there are {len(known)} observed vectors for {vocabulary} symbols "
            "(downstream.bigram.vocabulary); take fewer symbols"
        )
    standard = (known - known.mean(axis=0)) / np.where(known.std(axis=0) > 0, known.std(axis=0), 1)
    rng = generator(seed, "bigram/centres")
    _, labels = kmeans2(standard, vocabulary, iter=_ITERATIONS, minit="++", rng=rng)
    symbols = np.full(seen.shape, -1)
    symbols[seen] = labels
    pieces = []
    for row in symbols:
        cuts = np.flatnonzero(row < 0)
        pieces += [part[part >= 0] for part in np.split(row, cuts)]
    return [piece for piece in pieces if len(piece) > 1]


def run_descent(bigrams: Bigrams, method: str, step: float, steps: int) -> float:
    """Return the relative loss after actually running a descent on the whole matrix W.

    Parameters
    ----------
    bigrams : Bigrams
    method : {"gradient", "sign"}
    step : float
    steps : int

    Raises
    ------
    ConfigError
        If the method is another.
    """
    if method not in ("gradient", "sign"):
        raise ConfigError(f"the method is '{method}', allowed: gradient, sign")
    size = bigrams.size
    target = np.zeros((size, size))
    target[bigrams.first, bigrams.second] = bigrams.counts / bigrams.context_counts[bigrams.first]
    w, weight = np.zeros_like(target), bigrams.marginals[:, None]
    for _ in range(steps):
        gradient = weight * (w - target)
        w -= step * (gradient if method == "gradient" else np.sign(gradient))
    return float((weight * (w - target) ** 2).sum() / 2 / bigrams.start)


def advise(bigrams: Bigrams, target: float) -> tuple[dict[str, Any], xr.Dataset]:
    """Return the prediction of the power law and the result of the runs.

    Parameters
    ----------
    bigrams : Bigrams
        Bigrams of a study's symbols.
    target : float in (0, 1)
        Relative loss to reach.

    Returns
    -------
    metrics : dict
        ``exponent``, ``exponent_misfit``, ``symbols``, ``pairs``; for gradient and sign descent
        ``predicted_steps_*``, ``steps_*`` (exact, with the best step) and ``run_loss_*`` beside
        ``exact_loss_*`` of a run; ``advice``, ``faster`` and ``advice_right`` (1 or 0).
    curves : Dataset
        From :func:`popinv.downstream.bigram.problem.text_curves`.
    """
    exponent, misfit = fitted_exponent(bigrams.context_counts)
    symbols = int((bigrams.context_counts > 0).sum())
    predicted = {
        "gradient": gradient_descent.steps_to(symbols, exponent, target),
        "sign": sign_descent.steps_to(symbols, exponent, target),
    }
    steps = {
        "gradient": bigrams.gradient_steps_to(target),
        "sign": bigrams.sign_steps_to(target),
    }
    metrics: dict[str, Any] = {
        "exponent": exponent,
        "exponent_misfit": misfit,
        "symbols": symbols,
        "pairs": int(bigrams.counts.sum()),
        "target": target,
    }
    for method, count in steps.items():
        run = min(count, _MOST_RUN)
        if method == "gradient":
            step, exact = 1 / float(bigrams.marginals.max()), bigrams.gradient_loss(run)
        else:
            exact, step = bigrams.best_sign_loss(run)
        metrics[f"predicted_steps_{method}"] = predicted[method]
        metrics[f"steps_{method}"] = count
        metrics[f"exact_loss_{method}"] = exact
        metrics[f"run_loss_{method}"] = run_descent(bigrams, method, step, run)
    advice, faster = (min(counts, key=counts.__getitem__) for counts in (predicted, steps))
    metrics |= {
        "advice": f"{advice} descent",
        "faster": f"{faster} descent",
        "advice_right": int(advice == faster),
    }
    curves = text_curves(bigrams)
    curves["counts"] = variable(
        "rank", np.sort(bigrams.context_counts)[::-1], "occurrences of each symbol, sorted"
    )
    return metrics, curves
