"""A study's observed series as symbols: their power law, and the optimiser that it advises.

If observations are histories at several places, the values at all places at one time form a
vector. Vector quantisation (k-means) turns vectors into symbols, and each system's history into a
sequence, which a linear bigram model can learn to continue. The exponent of the symbols' Zipf law,
fitted to one half of the systems, predicts the number of steps of gradient and of sign descent.
The other half checks the prediction: there the steps are counted, and both descents are run.

Trials tell how often the advice is given, and how often it is right. Each has series of independent
symbols that follow a power law. The advice comes from some of the series, its check included. The
truth is counted on as many fresh series.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from scipy.cluster.vq import kmeans2
from tqdm import tqdm

from popinv.errors import DataError
from popinv.forward.datasets import time_series
from popinv.methods.invariants import Invariant, held
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv_papers.bigram.curves import METHODS, STEPS_TO, text_curves
from popinv_papers.bigram.entries import Bigrams, halves
from popinv_papers.bigram.power_law import fitted_exponent, frequencies
from popinv_papers.bigram.scaling import TARGETS
from popinv_papers.kit.kept import kept

NO_ADVICE = "no advice"
CHECKED_BY = "counted steps of both descents on the withheld half of the series, and their runs"

_ITERATIONS = 50
# A dense run is cut short after this number of steps; the exact formula gives the rest.
_MOST_RUN = 2000
_NEITHER = "neither"
# Differences that rounding may leave.
_ROUNDING = 1e-9


def quantised(observations: xr.Dataset, vocabulary: int, seed: int) -> list[np.ndarray]:
    """Return each system's history as symbols in [0, vocabulary).

    Values are standardised place by place. A vector with a missing entry splits its history. The
    seed draws the first centres.

    Raises
    ------
    DataError
        If the observations have no times, or there are fewer vectors than symbols.
    """
    series = time_series(observations)
    if series is None or series.shape[1] < 2:
        raise DataError(
            "downstream.bigram needs observed series, but these observations have no times: "
            "use elastodynamics, Lorenz-96 with several windows, or a simulator with "
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
    """Return the relative loss after actually running a descent on the whole matrix W."""
    size = bigrams.size
    target = np.zeros((size, size))
    target[bigrams.first, bigrams.second] = bigrams.counts / bigrams.context_counts[bigrams.first]
    w, weight = np.zeros_like(target), bigrams.marginals[:, None]
    for _ in range(steps):
        gradient = weight * (w - target)
        w -= step * (gradient if method == "gradient" else np.sign(gradient))
    return float((weight * (w - target) ** 2).sum() / 2 / bigrams.entries.start)


def advise(
    sequences: Sequence[np.ndarray], vocabulary: int, target: float, seed: int
) -> tuple[dict[str, Any], Bigrams]:
    """Return the optimiser that the power law advises, and the check of this advice.

    Parameters
    ----------
    sequences : sequence of ndarray of int
        Symbols of the series. The law is fitted to a random half of them.
    target : float in (0, 1)
        Relative loss to reach.
    seed : int
        Seed of the halves.

    Returns
    -------
    metrics : dict
        ``exponent``, ``exponent_misfit``, ``symbols``, ``pairs`` of the first half; for gradient
        and sign descent ``predicted_steps_*``, and on the other half ``steps_*`` (exact, with the
        best step) and ``run_loss_*`` beside ``exact_loss_*`` of a run; ``predicted`` and
        ``faster``, the method of fewer steps by prediction and by count; ``advice``, which is
        "no advice" where the two differ; ``checked_by``.
    withheld : Bigrams
        The bigrams of the other half.

    Raises
    ------
    DataError
        If there are fewer than two series.
    """
    if len(sequences) < 2:
        raise DataError(
            f"downstream.bigram got {len(sequences)} series with two times in a row, but needs at "
            "least 2: one to learn from, and one to check its advice by"
        )
    learnt, withheld = halves(sequences, vocabulary, seed)
    exponent, misfit = fitted_exponent(learnt.context_counts)
    symbols = int((learnt.context_counts > 0).sum())
    predicted = {method: STEPS_TO[method](symbols, exponent, target) for method in METHODS}
    entries = withheld.entries
    steps = entries.steps_to(target)
    metrics: dict[str, Any] = {
        "exponent": exponent,
        "exponent_misfit": misfit,
        "symbols": symbols,
        "pairs": int(learnt.counts.sum()),
        "target": target,
    }
    for method, count in steps.items():
        run = min(count, _MOST_RUN)
        if method == "gradient":
            step, exact = 1 / float(withheld.marginals.max()), entries.gradient_loss(run)
        else:
            exact, step = entries.best_sign_loss(run)
        metrics[f"predicted_steps_{method}"] = predicted[method]
        metrics[f"steps_{method}"] = count
        metrics[f"exact_loss_{method}"] = exact
        metrics[f"run_loss_{method}"] = run_descent(withheld, method, step, run)
    by_law, by_count = _fewer(predicted), _fewer(steps)
    agree = by_law == by_count != _NEITHER
    metrics |= {
        "predicted": by_law,
        "faster": by_count,
        "advice": by_law if agree else NO_ADVICE,
        "checked_by": CHECKED_BY,
        "statement": _statement(metrics, by_law, by_count, agree),
    }
    return metrics, withheld


def invariants(
    sequences: Sequence[np.ndarray], vocabulary: int, target: float, seed: int
) -> list[Invariant]:
    """Check what must not change: the loss before any step, and all numbers under other names."""
    names = generator(seed, "bigram/names").permutation(vocabulary)
    bigrams, renamed = (
        Bigrams.of(given, vocabulary) for given in (sequences, [names[s] for s in sequences])
    )
    steps = bigrams.entries.gradient_steps_to(target)
    step = 1 / float(bigrams.marginals.max())
    run = min(steps, _MOST_RUN)

    def numbers(of: Bigrams) -> np.ndarray:
        return np.array(
            [
                *fitted_exponent(of.context_counts),
                of.entries.gradient_loss(steps),
                of.entries.best_sign_loss(max(1, steps))[0],
            ]
        )

    unmoved = max(abs(run_descent(bigrams, method, step, 0) - 1) for method in METHODS)
    by_run = run_descent(bigrams, "gradient", step, run)
    return [
        held(
            "nothing_trained",
            "no step: distance of the relative loss of W from 1",
            unmoved,
            _ROUNDING,
        ),
        held(
            "symbols_renamed",
            "symbols renamed: change of the exponent, its misfit and both relative losses",
            float(np.abs(numbers(bigrams) - numbers(renamed)).max()),
            _ROUNDING,
        ),
        held(
            "run_of_gradient_descent",
            f"{run} steps of gradient descent on W: distance from the loss that counts predict",
            abs(by_run - bigrams.entries.gradient_loss(run)),
            _ROUNDING,
        ),
    ]


def series_curves(bigrams: Bigrams) -> xr.Dataset:
    """Return the curves of :func:`text_curves`, and the occurrences of the symbols."""
    curves = text_curves(bigrams)
    curves["counts"] = variable(
        "rank", np.sort(bigrams.context_counts)[::-1], "occurrences of each symbol, sorted"
    )
    return curves


def _statement(metrics: dict[str, Any], by_law: str, by_count: str, agree: bool) -> str:
    """Return the advice in words, or why there is none."""
    predicted, counted = (
        " against ".join(f"{metrics[f'{kind}steps_{method}']}" for method in METHODS)
        for kind in ("predicted_", "")
    )
    steps = (
        f"to {metrics['target']:g} of the loss Zipf's law predicts {predicted} steps (gradient "
        f"against sign descent), and {counted} are counted on the withheld half"
    )
    if agree:
        return f"{by_law} is the faster: {steps}"
    return f"no advice, as prediction ({by_law}) and count ({by_count}) differ: {steps}"


def _fewer(steps: dict[str, int]) -> str:
    if steps["gradient"] == steps["sign"]:
        return _NEITHER
    return f"{min(steps, key=steps.__getitem__)} descent"


TRIAL_EXPONENTS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
_SYMBOLS, _SERIES, _LENGTH = 100, 200, 100


def advice_trials(
    draws: int,
    seed: int,
    exponents: Sequence[float] = TRIAL_EXPONENTS,
    targets: Sequence[float] = TARGETS,
) -> xr.Dataset:
    """Return what each trial advised, shape (draw, exponent, target).

    ``advised`` and ``predicted_right`` are 1 where there was an advice, and where the law's
    prediction, advised or not, was right on the fresh series. ``advice_right`` is 1 where the
    advice was right, NaN where there was none.
    """
    shape = draws, len(exponents), len(targets)
    given, right, law = (np.full(shape, np.nan) for _ in range(3))
    places = [(draw, row) for draw in range(draws) for row in range(len(exponents))]
    for draw, row in tqdm(places, desc="advice", unit="trial", disable=None):
        part = partial(_trial, exponents[row], row, targets, seed + draw)
        found = kept(f"advice {draw} {exponents[row]:g} {row} to {targets}", part)
        given[draw, row], right[draw, row] = found["given"], found["right"]
        law[draw, row] = found["law"]
    dims = ("draw", "advice_exponent", "target")
    return xr.Dataset(
        {
            "advised": variable(dims, given, "1 where an advice was given"),
            "advice_right": variable(dims, right, "1 where the advice was right"),
            "predicted_right": variable(dims, law, "1 where the law's prediction was right"),
        },
        coords={
            "advice_exponent": variable(
                "advice_exponent", list(exponents), "exponent of the symbols"
            ),
            "target": variable("target", list(targets), "relative loss to reach"),
        },
    )


def _trial(
    exponent: float, row: int, targets: Sequence[float], seed: int
) -> dict[str, list[float]]:
    """Return for each target what was advised and whether it was right."""
    rng = generator(seed, "bigram/advice", row)
    shares = frequencies(_SYMBOLS, exponent)
    seen, fresh = (rng.choice(_SYMBOLS, (_SERIES, _LENGTH), p=shares) for _ in range(2))
    truth = Bigrams.of(list(fresh), _SYMBOLS).entries
    found: dict[str, list[float]] = {"given": [], "right": [], "law": []}
    for target in targets:
        metrics, _ = advise(list(seen), _SYMBOLS, target, seed)
        best = _fewer(truth.steps_to(target))
        advised = metrics["advice"] != NO_ADVICE
        found["given"].append(advised)
        found["right"].append(metrics["advice"] == best if advised else np.nan)
        found["law"].append(metrics["predicted"] == best)
    return found
