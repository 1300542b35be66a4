"""Metrics and claims of the test problem."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from popinv.downstream.birch.catalogue import METHODS
from popinv.downstream.birch.problem import Distance, Promise, ratios
from popinv.downstream.claims import Claim
from popinv.store.whole_files import written_whole

__all__ = ["claims", "metrics", "write_table"]

# The methods that the paper compares in its simulations, as far as they are known to us.
_COMPARED = ("minibatch", "rennala", "ringmaster", "local", "async_local")
# Fastest and slowest methods of each regime, according to the paper.
_STATED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "classical": (("ringmaster", "async_local"), ("minibatch",)),
    "slow_communication": (("rennala", "local", "async_local"), ("minibatch", "ringmaster")),
    "heterogeneous_compute": (("async_local", "ringmaster"), ("minibatch",)),
    "heterogeneous_communication": (("async_local", "ringmaster"), ("minibatch",)),
}
# Times that differ by a smaller factor count as equal.
_EQUAL = 1.02
_CLOSE = 1.5


def claims(result: xr.Dataset, measured: list[Distance], kept: list[Promise]) -> list[Claim]:
    """Return the table of claims."""
    return [*_regimes(result), *_distances(result, measured), *_promises(kept)]


def _regimes(result: xr.Dataset) -> list[Claim]:
    rows, relative = [], ratios(result)
    for regime, (first, last) in _STATED.items():
        ratio = {m: float(relative.sel(regime=regime, algorithm=m)) for m in _COMPARED}
        lowest = min(ratio.values())
        ours = ", ".join(
            f"{METHODS[m].title} {ratio[m] / lowest:.2f}"
            for m in sorted(ratio, key=lambda m: ratio[m])
        )
        words, rest = regime.replace("_", " "), [m for m in _COMPARED if m not in last]
        others = [m for m in _COMPARED if m not in first]
        if regime == "classical":
            rows.append(
                Claim(
                    f"{words}: the five compared methods are close (within a factor {_CLOSE:g} in "
                    "the geometric mean over tasks and workers)",
                    "paper",
                    "all close",
                    ours,
                    max(ratio.values()) <= _CLOSE * lowest,
                )
            )
        rows.append(
            Claim(
                f"{words}: fastest of the compared, none of the others faster by more than 2 %",
                "paper",
                _titles(first),
                ours,
                max(ratio[m] for m in first) <= _EQUAL * min(ratio[m] for m in others),
            )
        )
        rows.append(
            Claim(
                f"{words}: slowest of the compared",
                "paper",
                _titles(last),
                ours,
                min(ratio[m] for m in last) > max(ratio[m] for m in rest),
            )
        )
    return rows


def _titles(names: tuple[str, ...]) -> str:
    return ", ".join(METHODS[name].title for name in names)


def _distances(result: xr.Dataset, measured: list[Distance]) -> list[Claim]:
    rows = []
    for d in measured:
        settings = ", ".join(f"{key} {value:g}" for key, value in d.settings.items())
        held = d.conditions.fresh and d.conditions.contained
        title = METHODS[d.name].title + (f" ({settings})" if settings else "")
        largest = d.conditions.largest_distance
        if d.expected is None:
            rows.append(
                Claim(
                    f"{title}: the conditions hold, the largest distance is not bounded",
                    "reconstruction",
                    "not bounded",
                    float(largest),
                    held,
                )
            )
            continue
        rows.append(
            Claim(
                f"{title}: the conditions hold and this is the largest distance R",
                "paper" if METHODS[d.name].source == "paper" else "reconstruction",
                float(d.expected),
                float(largest),
                held and largest == d.expected,
            )
        )
        if d.name == "cycle":
            rows.append(
                Claim(
                    f"{title}: messages under way at once are those of a group, not n",
                    "paper",
                    d.settings["group"],
                    float(d.most_in_flight),
                    d.most_in_flight == d.settings["group"],
                )
            )
    arrived = np.isfinite(result["time"].values)
    held_in = int(result["conditions"].values[arrived].sum())
    rows.append(
        Claim(
            "the conditions hold on the recorded trees of all fastest runs",
            "paper",
            float(arrived.sum()),
            float(held_in),
            held_in == int(arrived.sum()),
        )
    )
    return rows


def _promises(kept: list[Promise]) -> list[Claim]:
    return [
        Claim(
            f"{METHODS[p.name].title}: mean of |grad f|^2 with the step size and the number of "
            "gradients of Theorem 2.4 is at most eps (quadratic, one run)",
            "paper",
            f"at most {p.accuracy:g}",
            p.mean,
            p.mean <= p.accuracy,
        )
        for p in kept
    ]


def metrics(result: xr.Dataset, measured: list[Distance], kept: list[Promise]) -> dict[str, Any]:
    """Return each regime's ratios to the fastest, and its fastest and slowest methods."""
    numbers: dict[str, Any] = {"simulated_gradients": int(result.attrs["simulated_gradients"])}
    relative = ratios(result)
    for regime in relative["regime"].values:
        ratio = relative.sel(regime=regime).to_series()
        numbers[f"{regime}_fastest"], numbers[f"{regime}_slowest"] = ratio.idxmin(), ratio.idxmax()
        for name, value in ratio.items():
            numbers[f"{regime}_{name}_over_fastest"] = (
                float(value) if np.isfinite(value) else "not everywhere"
            )
    for place, d in enumerate(measured):
        numbers[f"distance_{place}_{d.name}"] = d.conditions.largest_distance
    numbers |= {f"promise_{p.name}": p.mean for p in kept}
    return numbers


def write_table(result: xr.Dataset, regime: str, path: Path) -> None:
    """Write a regime's table as CSV: time to the target and settings, by task and workers."""
    part = result.sel(regime=regime)
    with (
        written_whole(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
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
