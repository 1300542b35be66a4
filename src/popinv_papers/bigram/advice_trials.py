"""How often the advice on a study is given, and how often it is right.

Each trial has series of independent symbols that follow a power law. The advice comes from some of
the series, its check included. The truth is counted on as many fresh series.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.seeds import generator
from popinv.store.variables import variable
from popinv_papers.bigram.counts import Bigrams
from popinv_papers.bigram.curves import METHODS
from popinv_papers.bigram.power_law import frequencies
from popinv_papers.bigram.series import NO_ADVICE, advise
from popinv_papers.bigram.steps_map import TARGETS
from popinv_papers.kit.kept import kept

EXPONENTS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
_SYMBOLS, _SERIES, _LENGTH = 100, 200, 100


def advice_trials(
    draws: int,
    seed: int,
    exponents: Sequence[float] = EXPONENTS,
    targets: Sequence[float] = TARGETS,
) -> xr.Dataset:
    """Return what each trial advised, shape (draw, exponent, target).

    Returns
    -------
    Dataset
        ``advised`` and ``predicted_right``: 1 where there was an advice, and where the law's
        prediction, advised or not, was right on the fresh series. ``advice_right`` is that of
        the advice, NaN where there was none.
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
        steps = truth.gradient_steps_to(target), truth.sign_steps_to(target)
        best = f"{METHODS[int(np.argmin(steps))]} descent"
        if steps[0] == steps[1]:
            best = "neither"
        advised = metrics["advice"] != NO_ADVICE
        found["given"].append(advised)
        found["right"].append(metrics["advice"] == best if advised else np.nan)
        found["law"].append(metrics["predicted"] == best)
    return found
