"""Metrics and claims of the test problem."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from popinv.store.whole_files import written_whole
from popinv_papers.birch.catalogue import METHODS
from popinv_papers.birch.problem import COMPARED, ratios
from popinv_papers.birch.regime_names import SWEPT, VARIATION
from popinv_papers.birch.theory import COUNTS, EARLY, FAMILIES, OPTIMAL, OTHERS, Promise
from popinv_papers.kit.claims import Claim, Rows, above, below

# Fastest and slowest methods of each regime, according to the paper.
_STATED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "classical": (("ringmaster", "async_local"), ("minibatch",)),
    "slow_communication": (("rennala", "local", "async_local"), ("minibatch", "ringmaster")),
    "heterogeneous_compute": (("async_local", "ringmaster"), ("minibatch",)),
    "heterogeneous_communication": (("async_local", "ringmaster"), ("minibatch",)),
}
_CLOSE = 1.5
# Twice the 4 + 8 of the theorem's number of gradients with R + 1 = sigma^2/eps.
_CONSTANT = 24.0
_PROMISED = Rows("headline", "quoted by others", "Theorem 2.4")
_SIMULATED = Rows("headline", "a reconstruction of the paper", "simulations")
_ABSTRACT = Rows("headline", "a reconstruction of the paper", "abstract")
_COSTS = Rows("headline", "a reconstruction of the paper", "Table 1")
_OWN_BOUNDS = Rows("reconstruction", "reconstruction")


def claims(
    result: xr.Dataset, kept: list[list[Promise]], times: dict[str, list[float]]
) -> list[Claim]:
    """Return the table, from ``compare``, ``promise`` of each seed and ``over_bounds``."""
    return [*_promises(kept), *_least_times(times), *_regimes(result)]


def _of(result: xr.Dataset, regime: str) -> dict[str, np.ndarray]:
    """Return each compared method's time over the fastest's, one number per seed."""
    relative = ratios(result).sel(regime=regime)
    return {name: relative.sel(algorithm=name).values for name in COMPARED}


def _behind(result: xr.Dataset, regime: str, first: tuple[str, ...]) -> np.ndarray:
    """Return the slowest time of the first over the fastest time of the others."""
    ratio = _of(result, regime)
    others = [ratio[name] for name in COMPARED if name not in first]
    return np.max([ratio[name] for name in first], axis=0) / np.min(others, axis=0)


def _regimes(result: xr.Dataset) -> Iterator[Claim]:
    for regime, (first, last) in _STATED.items():
        words, rest = regime.replace("_", " "), tuple(m for m in COMPARED if m not in last)
        equal = "equal workers, constant times, no message time, so that ties decide"
        yield _SIMULATED.row(
            f"{words}: the fastest of the compared (time of the slowest of these over the fastest "
            "of the others)",
            _titles(first),
            _behind(result, regime, first),
            below(1.0),
            (equal, _behind(result, "classical_0", first)),
        )
        yield _SIMULATED.row(
            f"{words}: the slowest of the compared (time of the fastest of these over the slowest "
            "of the others)",
            _titles(last),
            1 / _behind(result, regime, rest),
            above(1.0),
            (equal, 1 / _behind(result, "classical_0", rest)),
        )
    spread, unequal = (_spread(result, r) for r in ("classical", "heterogeneous_compute"))
    yield _SIMULATED.row(
        "classical: the five compared methods are close (slowest over fastest)",
        f"below {_CLOSE:g}",
        spread,
        below(_CLOSE),
        ("workers of two speeds", unequal),
    )


def _spread(result: xr.Dataset, regime: str) -> np.ndarray:
    """Return the slowest's time over the fastest's among the compared methods."""
    ratio = np.array(list(_of(result, regime).values()))
    return ratio.max(axis=0) / ratio.min(axis=0)


def _titles(names: tuple[str, ...]) -> str:
    return ", ".join(METHODS[name].title for name in names)


def _promises(kept: list[list[Promise]]) -> Iterator[Claim]:
    yield _PROMISED.row(
        "the step size and the number of gradients of Theorem 2.4 bring the mean of |grad f|^2 to "
        "eps (quadratic; mean over eps, largest of six methods)",
        "at most 1",
        [max(p.mean / p.accuracy for p in one) for one in kept],
        below(1.0),
        (
            f"a share of {EARLY:g} of the gradients",
            [max(p.early / p.accuracy for p in one) for one in kept],
        ),
    )


def _least_times(times: dict[str, list[float]]) -> Iterator[Claim]:
    where = f"largest of {', '.join(FAMILIES)} speeds, {COUNTS[0]} to {COUNTS[-1]} workers"
    for words, names in (
        (f"{_titles(OPTIMAL[:2])} (the known ones; largest of them)", OPTIMAL[:2]),
        (f"{_titles(OPTIMAL[2:])} (largest of them)", OPTIMAL[2:]),
    ):
        yield _ABSTRACT.row(
            f"optimal in time: {words}, time of the theorem's gradients over the lower bound, "
            f"{where}",
            f"below a constant, {_CONSTANT:g} here",
            np.max([times[name] for name in names], axis=0),
            below(_CONSTANT),
            ("wait for the slowest worker (Synchronized SGD)", times["minibatch"]),
        )
    yield _COSTS.row(
        f"not optimal in time: Cycle SGD, over the lower bound, {where}",
        f"above {_CONSTANT:g}",
        times["cycle"],
        above(_CONSTANT),
        ("over its own bound, which has the slowest worker", times["own_cycle"]),
    )
    yield _OWN_BOUNDS.row(
        f"{_titles(OTHERS)}: time over each one's own bound (largest of them), {where}",
        f"below {_CONSTANT:g}",
        np.max([times[f"own_{name}"] for name in OTHERS], axis=0),
        below(_CONSTANT),
        ("the lower bound in its place", times["minibatch"]),
    )


def metrics(
    result: xr.Dataset, kept: list[list[Promise]], times: dict[str, list[float]]
) -> dict[str, Any]:
    """Return each regime's ratios to the fastest, and its fastest and slowest: means over seeds."""
    numbers: dict[str, Any] = {"simulated_gradients": int(result.attrs["simulated_gradients"])}
    relative = ratios(result).mean("seed")
    for regime in relative["regime"].values:
        ratio = relative.sel(regime=regime).to_series()
        numbers[f"{regime}_fastest"], numbers[f"{regime}_slowest"] = ratio.idxmin(), ratio.idxmax()
        for name, value in ratio.items():
            numbers[f"{regime}_{name}_over_fastest"] = (
                float(value) if np.isfinite(value) else "not everywhere"
            )
    for regime, variation in {**SWEPT, "classical": VARIATION}.items():
        numbers[f"slowest_over_fastest_at_variation_{variation:g}"] = float(
            _spread(result, regime).mean()
        )
    for name, over in times.items():
        bound = "own_bound" if name.startswith("own_") else "least_time"
        numbers[f"over_{bound}_{name.removeprefix('own_')}"] = float(np.mean(over))
    for same in zip(*kept, strict=True):
        numbers[f"promise_{same[0].name}"] = float(np.mean([p.mean for p in same]))
    return numbers


def write_table(result: xr.Dataset, regime: str, path: Path) -> None:
    """Write a regime's table as CSV: the first seed's times and settings, by task and workers."""
    part = result.sel(regime=regime).isel(seed=0)
    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = [(t, n) for t in part["task"].values for n in part["workers"].values]
        heads = [f"{t}, {n} workers" for t, n in columns]
        writer.writerow(["method", *heads, *(f"settings, {head}" for head in heads)])
        for name in part["algorithm"].values:
            cells = [part.sel(task=t, workers=n, algorithm=name) for t, n in columns]
            times = [f"{float(cell['time']):.5g}" for cell in cells]
            settings = [
                "; ".join(
                    x for x in (str(c["settings"].values), f"rate {float(c['rate']):.3g}") if x
                )
                for c in cells
            ]
            writer.writerow([METHODS[str(name)].title, *times, *settings])
