"""The advice for a round's solves: equal shares, shares by speed, or chunks that are pulled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.methods.invariants import Invariant, held
from popinv.store.variables import variable
from popinv_papers.birch.solve_rehearsal import rehearse
from popinv_papers.birch.solve_sharing import (
    Machines,
    Round,
    best_split,
    chunks_of,
    divided,
    equal_split,
    least_makespan,
    pulled,
)

_DRAWS = 400
# More chunks than this are planned nowhere.
_MOST_CHUNKS = 5000
NEAR = 0.05
"""Part of the bound within which a chunk size is near it."""
# Ways whose mean makespans differ by less count as equally fast.
_ALIKE = 0.02
# Draws, and solves of each machine, where all machines are alike.
_FEW_DRAWS, _EACH = 2, 20
WAYS = {
    "equal": "as many solves for each machine",
    "by_speed": "shares in proportion to speed",
    "pulled": "chunks pulled by idle machines",
}


def chunk_sizes(solves: int) -> list[int]:
    """Return the chunk sizes that are tried, by factors of about 1.26, up to the whole round."""
    powers = range(math.ceil(3 * math.log2(solves)) + 1)
    sizes = {round(2 ** (p / 3)) for p in powers} | {solves}
    return sorted(size for size in sizes if size <= solves and solves / size <= _MOST_CHUNKS)


def makespans(machines: Machines, solves: int, seed: int) -> dict[str, Any]:
    """Return the mean makespans of all ways, over draws of the times.

    Returns
    -------
    dict
        ``equal`` and ``by_speed``, ``pulled`` by chunk size, and the mean ``bound``.
    """
    times = Round.drawn(machines, _DRAWS, seed)
    return {
        "bound": float(times.least(solves).mean()),
        "equal": float(divided(times, equal_split(machines, solves)).mean()),
        "by_speed": float(divided(times, best_split(machines, solves)).mean()),
        "pulled": {
            size: float(pulled(times, chunks_of(solves, size)).mean())
            for size in chunk_sizes(solves)
        },
    }


def alike_machines(count: int, seed: int) -> Invariant:
    """Check that all ways end at the bound where machines are alike and chunks cost nothing."""
    times = Round.drawn(Machines((1.0,) * count), _FEW_DRAWS, seed)
    solves = count * _EACH
    ends = [
        divided(times, equal_split(times.machines, solves)),
        divided(times, best_split(times.machines, solves)),
        pulled(times, chunks_of(solves, 1)),
    ]
    return held(
        "machines_alike",
        "machines alike, chunks free: largest distance of a way's time from the bound, relative",
        float(np.abs(np.array(ends) / times.least(solves) - 1).max()),
        1e-9,
    )


def advise_solves(
    stated: Mapping[str, float],
    machines: Machines,
    solves: int,
    repeats: int,
    seed: int,
    rehearsal: float = 6.0,
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Compare the ways to share a round, and rehearse them with processes that sleep.

    Parameters
    ----------
    stated : mapping
        The machines' names and seconds for a solve.
    machines : Machines
        The same with their variation.
    solves : int
        Solves of a round.
    repeats : int
        Rehearsals of each way.
    rehearsal : float
        Seconds of the longest rehearsal, all times being divided by as much.

    Returns
    -------
    result : Dataset
        Makespans by ``chunk_size``, and of the rehearsals by ``way`` and ``rehearsal``.
    metrics : dict
    """
    found = makespans(machines, solves, seed)
    by_size: dict[int, float] = found["pulled"]
    best = min(by_size, key=lambda size: by_size[size])
    near = [size for size, time in by_size.items() if time <= (1 + NEAR) * found["bound"]]
    mean = {"equal": found["equal"], "by_speed": found["by_speed"], "pulled": by_size[best]}
    fastest = min(mean.values())
    # Pulling needs no knowledge of the speeds, and is what the workflow does.
    choice = (
        "pulled"
        if mean["pulled"] <= (1 + _ALIKE) * fastest
        else min(mean, key=lambda way: mean[way])
    )
    expected, real = _rehearsed(machines, solves, best, repeats, seed, rehearsal)
    metrics: dict[str, Any] = {
        "solves_of_round": solves,
        "solves_bound_seconds": found["bound"],
        "solves_constant_times_bound_seconds": least_makespan(machines, solves),
        "solves_advice": choice,
        "solves_chunk_size": best,
        "solves_smallest_chunk_near_bound": min(near) if near else "none",
        "solves_largest_chunk_near_bound": max(near) if near else "none",
    }
    for name, count in zip(stated, best_split(machines, solves), strict=True):
        metrics[f"solves_share_{name}"] = count
    for place, (way, time) in enumerate(mean.items()):
        ratios = real[place] / expected[place]
        metrics |= {
            f"solves_{way}_seconds": time,
            f"solves_{way}_over_bound": time / found["bound"],
            f"solves_{way}_rehearsed_over_predicted": float(ratios.mean()),
            f"solves_{way}_rehearsed_over_predicted_least": float(ratios.min()),
            f"solves_{way}_rehearsed_over_predicted_most": float(ratios.max()),
        }
    metrics["solves_statement"] = _statement(choice, mean, best, near, found["bound"], solves)
    sizes = np.array(list(by_size))
    dims = ("way", "rehearsal")
    result = xr.Dataset(
        {
            "makespan": variable(
                ("chunk_size",), np.array(list(by_size.values())), "makespan", "s"
            ),
            "rehearsal_expected": variable(dims, expected, "expected time of a rehearsal", "s"),
            "rehearsal_measured": variable(dims, real, "measured time of a rehearsal", "s"),
        },
        coords={
            "chunk_size": variable("chunk_size", sizes, "solves of a chunk"),
            "way": variable("way", np.array(list(mean), dtype=np.str_), "way to share solves"),
        },
        attrs={
            "bound": found["bound"],
            "equal": found["equal"],
            "by_speed": found["by_speed"],
        },
    )
    return result, metrics


def _rehearsed(
    machines: Machines, solves: int, chunk: int, repeats: int, seed: int, rehearsal: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return expected and measured seconds of rehearsals, shape (ways, repeats) each."""
    times = Round.drawn(machines, repeats, seed)
    plans = {
        "equal": equal_split(machines, solves),
        "by_speed": best_split(machines, solves),
        "pulled": chunks_of(solves, chunk),
    }
    full = np.array(
        [
            pulled(times, sizes) if way == "pulled" else divided(times, sizes)
            for way, sizes in plans.items()
        ]
    )
    scale = rehearsal / full.max()
    units = {way: times.units(sizes) for way, sizes in plans.items()}
    real = np.empty_like(full)
    for k in tqdm(range(repeats), desc="rehearsals", unit="round", disable=None):
        for place, way in enumerate(plans):
            real[place, k] = rehearse(
                list(scale * times.rates[k]),
                scale * machines.overhead,
                list(units[way][k]),
                list(times.order[k]) if way == "pulled" else None,
            )
    return scale * full, real


def _statement(
    choice: str,
    mean: Mapping[str, float],
    chunk: int,
    near: list[int],
    bound: float,
    solves: int,
) -> str:
    times = ", ".join(f"{WAYS[way]} {time:.3g} s" for way, time in mean.items())
    within = f"within {100 * NEAR:.0f} % of the bound of {bound:.3g} s"
    sizes = (
        f"chunks of {min(near)} to {max(near)} are {within}"
        if near
        else f"no chunk size is {within}, the best is {100 * (mean['pulled'] / bound - 1):.0f} % "
        "above it"
    )
    return (
        f"{solves} solves of a round: {WAYS[choice]}, {sizes}; the best chunk size is {chunk} "
        f"({times})"
    )
