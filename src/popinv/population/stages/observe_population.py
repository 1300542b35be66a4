"""Observe a solved synthetic population through noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.population.laws.section import law_values
from popinv.population.model import Model
from popinv.population.observe import without_systems
from popinv.population.synthetic_observed import (
    known_of_systems,
    observed_systems,
    true_noise,
    truth_dataset,
)

if TYPE_CHECKING:
    from popinv.population.sections import SyntheticObservations


def observe_population(
    model: Model,
    observations: SyntheticObservations,
    solves: xr.Dataset,
    *,
    seed: int,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Add noise to the solves of a population and hold some systems out.

    Parameters
    ----------
    observations : SyntheticObservations
        Numbers of systems, and the truth, whose noise may come from another family.
    solves : Dataset
        The population, solved.
    seed : int
        The study's seed.

    Returns
    -------
    observations, truth : Dataset
    """
    tree = observations.tree(model.law.level_names())
    right = solves["reason"].values == 0
    if tree is not None:
        solves, right = _of_groups(solves, tree.members)
    y = solves["y"].values
    seen = observed_systems(
        model,
        observations,
        y.reshape(len(y), -1),
        seed=seed,
        stage="truth",
        heldout=observations.heldout,
    )
    known = known_of_systems(model, observations, seed, solves.sizes["sample"])
    solved = solves if right.all() else solves.isel(sample=right)
    kept = None if known is None else known.covariates[right]
    if observations.without:
        count = seen.sizes["system"]
        seen, left = without_systems(seen, observations.without)
        rows = np.concatenate([left, np.arange(count, solved.sizes["sample"])])
        solved, kept = solved.isel(sample=rows), None if kept is None else kept[rows]
    alpha, law = law_values(model.law, observations.truth.law, model.forward), model.law
    noise, gamma = true_noise(model, observations, seed)
    what = "systems" if tree is None else f"groups of {tree.members} members"
    print(f"{seen.sizes['system']} {what}, {observations.heldout} more held out")
    return seen, truth_dataset(law.law(model.forward), alpha, noise, gamma, solved, kept)


def _of_groups(solves: xr.Dataset, members: int) -> tuple[xr.Dataset, np.ndarray]:
    """Return the solves of members by group, and which groups have a member that was solved."""
    count = solves.sizes["sample"] // members
    whole = solves[["z", "y"]].isel(sample=slice(0, count * members, members))
    for name in ("z", "y"):
        dims, values = solves[name].dims, solves[name].values
        apart = values.reshape(count, members, -1)
        whole[name] = ((dims[0], "member", dims[1]), apart, solves[name].attrs)
    solved = (solves["reason"].values == 0).reshape(count, members).any(axis=1)
    return whole, solved
