"""The test problem: the fastest method in each regime, and the methods' trees.

Every method descends on the quadratic and on the logistic regression in each of the paper's four
regimes, whose gradients vary in time, and in the classical one with other variations; its settings
and its step size are the fastest of a grid, by one rule for all. Times are
simulated, so that they are the same on any machine. Seeds draw the samples and times.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.store.variables import variable
from popinv_papers.birch.catalogue import METHODS, policy
from popinv_papers.birch.engine import Run, Workers
from popinv_papers.birch.objectives import Objective, logistic, quadratic
from popinv_papers.birch.regime_names import REGIMES, SWEPT
from popinv_papers.birch.regimes import Reached, Task, fastest, losses, settled, workers_of
from popinv_papers.birch.tree import Tree, check
from popinv_papers.kit.images import ImageSet, pooled
from popinv_papers.kit.kept import kept

# Gradients of each fastest run whose conditions are checked.
_CHECKED = 3000
_CURVE = 40
# f - inf f to be reached, over that at the start; and the logistic regression's loss.
_FALL, _LOSS = 0.001, 0.37


# The methods that the paper compares in its simulations, as far as they are known to us.
COMPARED = ("minibatch", "rennala", "ringmaster", "local", "async_local")


@dataclass(frozen=True)
class BirchSize:
    """The sizes of the objectives, and the numbers of workers.

    The quadratic has this dimension. Images are averaged over squares of ``side`` pixels a side.
    """

    dimension: int
    side: int
    images: int
    workers: tuple[int, ...]
    methods: tuple[str, ...] = COMPARED
    seeds: int = 5


SIZES = {
    "workstation": BirchSize(100, 4, 1000, (16,)),
    # The images as they are. Whether the paper has a quadratic is not known to us; this is the
    # dimension of the authors' earlier ones.
    "paper": BirchSize(1729, 1, 10_000, (16, 64, 256), tuple(METHODS)),
}

# Total variance of the quadratic's noise.
_VARIANCE = 25.0


def bowl(dimension: int) -> Objective:
    """Return the quadratic of a dimension, with noise of the same total variance for all."""
    return quadratic(dimension, math.sqrt(_VARIANCE / dimension))


def tasks(size: BirchSize, images: ImageSet) -> list[Task]:
    """Return the quadratic and the logistic regression."""
    whole = bowl(size.dimension)
    rows = pooled(images.train[: size.images], size.side)
    digits = logistic(rows, images.train_labels[: size.images])
    # Images of full size have a curvature that grows with the number of their pixels.
    highest = 2.0 ** round(math.log2(1.6 / digits.smoothness))
    return [
        Task("quadratic", whole, _FALL * whole.gap, Task.octaves(1.0, 11), 100_000),
        Task("logistic", digits, _LOSS, Task.octaves(highest, 8), 100_000),
    ]


# --- who is first --------------------------------------------------------------------------------


def compare(size: BirchSize, chosen_tasks: list[Task], seed: int) -> xr.Dataset:
    """Let every method reach every target for every seed, the given one and those after it.

    The results of the seeds are along ``seed``.
    """
    seeds = list(range(seed, seed + size.seeds))
    each = [_compared(size, chosen_tasks, one) for one in seeds]
    whole = xr.concat(each, xr.DataArray(seeds, dims="seed", name="seed"), combine_attrs="override")
    simulated = sum(one.attrs["simulated_gradients"] for one in each)
    whole["seed"].attrs = {"long_name": "seed", "units": "1"}
    return whole.assign_attrs(each[0].attrs | {"simulated_gradients": simulated})


def _compared(size: BirchSize, chosen_tasks: list[Task], seed: int) -> xr.Dataset:
    """Let every method reach every target.

    Along ``regime``, ``task``, ``workers`` and ``algorithm`` are the time to the target with the
    fastest settings and step size (infinite where none arrived), these, and what the run was like;
    along ``look``, the loss over time.
    """
    names = list(size.methods)
    dims: dict[str, list[Any]] = {
        "regime": [*REGIMES, *SWEPT],
        "task": [task.name for task in chosen_tasks],
        "workers": list(size.workers),
        "algorithm": names,
    }
    shape = tuple(len(values) for values in dims.values())
    kinds = {
        "time": "simulated time to the target",
        "rate": "step size",
        "applied": "gradients on the main branch by then",
        "dropped": "share of the computed gradients that were dropped",
        "messages": "messages for each gradient on the main branch",
        "most_in_flight": "messages under way at most",
        "distance": "largest distance in the tree",
        "conditions": "whether the theorem's conditions hold on the recorded tree",
    }
    numbers = {name: np.full(shape, np.nan) for name in kinds}
    curves = {name: np.full((*shape, _CURVE), np.nan) for name in ("curve_time", "curve_loss")}
    settings = np.full(shape, "", dtype="U80")
    places = list(itertools.product(*(range(length) for length in shape)))
    simulated = 0
    for at in tqdm(places, desc="birch", unit="method", disable=None):
        regime, _, count, name = (values[i] for values, i in zip(dims.values(), at, strict=True))
        task = chosen_tasks[at[1]]
        found = kept(
            f"{regime} {task.name} {count} {name} seed {seed}",
            partial(_at_one_place, str(regime), task, int(count), str(name), seed),
        )
        simulated += int(found["simulated"])
        settings[at] = str(found["settings"])
        for key in numbers.keys() & found.keys():
            numbers[key][at] = found[key]
        for key in curves.keys() & found.keys():
            curves[key][at][: len(found[key])] = found[key]
    along = tuple(dims)
    return xr.Dataset(
        {name: variable(along, numbers[name], words) for name, words in kinds.items()}
        | {
            "settings": variable(along, settings, "settings"),
            "curve_time": variable((*along, "look"), curves["curve_time"], "simulated time"),
            "curve_loss": variable((*along, "look"), curves["curve_loss"], "loss above infimum"),
        },
        coords={name: variable(name, np.array(values), name) for name, values in dims.items()},
        attrs={"simulated_gradients": simulated, "targets": [task.target for task in chosen_tasks]},
    )


def _at_one_place(regime: str, task: Task, count: int, name: str, seed: int) -> dict[str, Any]:
    """Return the numbers, the settings and the curve of a method's fastest run to a target."""
    best = fastest(name, workers_of(regime, count, seed), task, seed)
    settings = ", ".join(f"{key} {value:g}" for key, value in best.settings.items())
    found = {**_what(best), "settings": settings, "simulated": best.tried}
    if best.run is None:
        return found
    looks = settled(best.run, np.geomspace(1, best.applied, _CURVE))
    return found | {
        "curve_time": np.asarray(best.run.tree.time)[looks],
        "curve_loss": losses(best.run, task, looks, [best.rate], seed)[:, 0],
    }


def _what(best: Reached) -> dict[str, float]:
    """Return the numbers of a fastest run."""
    if best.run is None:
        return {"time": math.inf}
    run, held = best.run, check(best.run.tree, _CHECKED)
    return {
        "time": best.time,
        "rate": best.rate,
        "applied": best.applied,
        "dropped": run.dropped / run.computed,
        "messages": run.messages / max(1, run.applied),
        "most_in_flight": run.most_in_flight,
        "distance": held.largest_distance,
        "conditions": float(held.fresh and held.contained),
    }


def ratios(result: xr.Dataset) -> xr.DataArray:
    """Return each method's time over the fastest's, a geometric mean over tasks and workers.

    Infinite for a method that did not arrive everywhere. Along ``regime``, ``algorithm``, ``seed``.
    """
    relative = result["time"] / result["time"].min("algorithm")
    logarithm = relative.copy(data=np.log(relative.values)).mean(["task", "workers"])
    return logarithm.copy(data=np.exp(logarithm.values))


def small_trees() -> dict[str, Tree]:
    """Return the tree of each method on four workers, to be looked at."""
    workers = Workers((1.0, 1.1, 2.0, 3.1), (0.3,) * 4)
    settings: dict[str, dict[str, float]] = {
        "rennala": {"batch": 6},
        "ringmaster": {"delay": 3},
        "local": {"batch": 6},
        "dual_process": {"batch": 6, "most": 8},
        "cycle": {"group": 2},
        "async_local": {"steps": 3, "delay": 3},
        "async_batch": {"steps": 3, "delay": 3},
        "local_async": {"clusters": 2, "batch": 6},
        "nested_local_async": {"sites": 2, "servers": 2, "inner": 3, "batch": 9},
        "meta_local": {"bound": 6, "period": 2.5},
    }
    trees = {}
    for name in METHODS:
        run = Run(workers, policy(name, workers.count, settings.get(name, {})))
        run.until(18)
        trees[name] = run.tree
    return trees
