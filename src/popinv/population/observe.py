"""Observations as a Dataset, and the observations of a synthetic population."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from popinv.forward.base import Observations
from popinv.forward.datasets import observation_coordinates, parameter_coordinate
from popinv.late import torch
from popinv.observation_files.limit_keys import VARIABLES
from popinv.population.limits import Limits
from popinv.sections.systems import systems_left
from popinv.sections.tables import is_missing, is_number
from popinv.seeds import generators
from popinv.store.variables import variable

if TYPE_CHECKING:
    from popinv.observation_files.known_columns import KnownColumns
    from popinv.observation_files.trees import MemberTree


def noise_scales(low: float, high: float, seed: int, stage: str, count: int) -> np.ndarray:
    """Return noise scales (count,) between low and high, their logarithms uniform."""
    shares = [rng.random() for rng in generators(seed, f"{stage}/noise_scale", range(count))]
    return low * (high / low) ** np.array(shares)


def observe_through_noise(
    clean: np.ndarray,
    noise: np.ndarray,
    observations: Observations,
    seed: int,
    stage: str,
    heldout: int = 0,
    noise_scale: tuple[float, float] | None = None,
    known: KnownColumns | None = None,
    design_names: Sequence[str] = (),
    covariate_names: Sequence[str] = (),
    limits: Limits | None = None,
    replicate_count: int = 1,
    tree: MemberTree | None = None,
) -> xr.Dataset:
    """Return observations y = G(z) + s xi; systems whose solve failed are left out.

    A group is left out if all its members failed. A failed member has no observations.

    Parameters
    ----------
    clean : ndarray of shape (n, R d_y)
        G(z) of all replicates, NaN for solves that failed.
    noise : ndarray of shape (n, R d_y)
        xi of R replicates, side by side.
    observations : Observations
        The columns of the observations.
    seed, stage : int, str
        Address of the draws of s.
    heldout : int
        Number of systems held out.
    noise_scale : (float, float), optional
        Range of the known noise scales s; without it s is 1.
    known, design_names, covariate_names, limits, replicate_count, tree
        As for :func:`observations_dataset`.

    Returns
    -------
    Dataset
        The Dataset of :func:`observations_dataset`.
    """
    scale = None
    if noise_scale is not None:
        scale = noise_scales(*noise_scale, seed, stage, len(clean))
        noise = scale[:, None] * noise
    failed, member_ids = np.isnan(clean), None
    if tree is None:
        solved = ~failed.any(axis=1)
    else:
        present = ~failed.reshape(len(clean), tree.members, -1).any(axis=2)
        solved = present.any(axis=1)
        names = [[f"{n}, {m}" for m in range(tree.members)] for n in range(len(clean))]
        member_ids = np.where(present, np.array(names), "")[solved]
    kept, seen = None if scale is None else scale[solved], clean + noise
    return observations_dataset(
        # The array is copied only if a solve failed.
        seen if solved.all() else seen[solved],
        observations,
        heldout,
        kept,
        known=None if known is None else known.of(np.flatnonzero(solved)),
        design_names=design_names,
        covariate_names=covariate_names,
        limits=None if limits is None else limits.of(solved),
        replicate_count=replicate_count,
        tree=tree,
        member_ids=member_ids,
    )


def observations_dataset(
    y: np.ndarray,
    observations: Observations,
    heldout: int,
    noise_scale: np.ndarray | None = None,
    system_ids: np.ndarray | None = None,
    known: KnownColumns | None = None,
    design_names: Sequence[str] = (),
    covariate_names: Sequence[str] = (),
    column_names: Sequence[str] | None = None,
    limits: Limits | None = None,
    replicate_count: int = 1,
    tree: MemberTree | None = None,
    member_ids: np.ndarray | None = None,
) -> xr.Dataset:
    """Return the observations to learn from, and the last rows as the held-out ones.

    Parameters
    ----------
    y : ndarray of shape (n, R d_y)
        Observations, NaN where nothing was observed. The R replicates are side by side.
    observations : Observations
        The columns of the observations.
    heldout : int
        Number of systems held out.
    noise_scale : ndarray of shape (n,), optional
        Known factor on the standard deviation of each system's noise.
    system_ids : ndarray of str, shape (n,), optional
        The user's names of the systems.
    known : KnownColumns, optional
        Design and covariates of the systems.
    design_names, covariate_names : sequence of str
        Their names.
    column_names : sequence of str, length d_y, optional
        The user's names of the observations.
    limits : Limits of n systems, optional
        Limits at which values beyond are held.
    replicate_count : int
        R; of groups, the replicates of all members together.
    tree : MemberTree, optional
        The members, if each system is a group. Design and covariates then have a dimension
        ``member`` after that of the systems.
    member_ids : ndarray of str, shape (n, M), optional
        The user's names of the members, "" for those that a group lacks.

    Returns
    -------
    Dataset
        ``y`` (system, observation) and ``y_heldout`` (heldout_system, observation); where they
        are given, ``noise_scale`` and ``noise_scale_heldout``, ``design`` (system, design_name),
        ``covariate`` (system, covariate_name) and their ``_heldout``, ``covariate_centre``,
        the limits (system, observation) of :data:`popinv.population.limits.VARIABLES` and their
        ``_heldout``, and the coordinates ``system_id``, ``system_id_heldout`` and ``column``
        (observation,).
    """
    kept = len(y) - heldout
    quantity = observations.long_name or observations.name
    long_name = quantity if quantity == "observed" else f"observed {quantity}"
    variables, coordinates = {}, observation_coordinates(observations, replicate_count)
    of_known: tuple[str, ...] = () if tree is None else ("member",)
    shape = () if tree is None else (tree.members,)
    if limits is not None:
        y = limits.held(torch.from_numpy(np.asarray(y, dtype=float))).numpy()
    for dim, ending, rows, note in (
        ("system", "", slice(None, kept), ""),
        ("heldout_system", "_heldout", slice(kept, None), ", kept for the assessment"),
    ):
        variables[f"y{ending}"] = variable(
            (dim, "observation"), y[rows], long_name + note, observations.units
        )
        if limits is not None:
            for (name, meaning), each in zip(VARIABLES.items(), limits.arrays, strict=True):
                variables[f"{name}{ending}"] = variable(
                    (dim, "observation"), each[rows], meaning + note, observations.units
                )
        if noise_scale is not None:
            variables[f"noise_scale{ending}"] = variable(
                dim, noise_scale[rows], f"known scale of the system's noise{note}"
            )
        if known is not None and design_names:
            variables[f"design{ending}"] = variable(
                (dim, *of_known, "design_name"),
                known.design[rows].reshape(-1, *shape, len(design_names)),
                f"known inputs of the solver{note}",
            )
        if known is not None and covariate_names:
            variables[f"covariate{ending}"] = variable(
                (dim, *of_known, "covariate_name"),
                known.covariates[rows].reshape(-1, *shape, len(covariate_names)),
                f"covariates, less their mean{note}",
            )
        if system_ids is not None:
            coordinates[f"system_id{ending}"] = variable(
                dim, system_ids[rows], f"name of the system{note}"
            )
        if member_ids is not None:
            coordinates[f"member_id{ending}"] = variable(
                (dim, "member"), member_ids[rows], f"name of the member{note}"
            )
    if column_names is not None:
        names = np.tile(np.array(column_names, dtype=np.str_), replicate_count)
        coordinates["column"] = variable("observation", names, "name in the file of observations")
    if known is not None:
        for dim, names_of_known in (
            ("design_name", design_names),
            ("covariate_name", covariate_names),
        ):
            if names_of_known:
                coordinates |= parameter_coordinate(names_of_known, dim, dim.replace("_", " "))
        if covariate_names:
            variables["covariate_centre"] = variable(
                "covariate_name", known.centres, "mean of the covariate, which was subtracted"
            )
    return xr.Dataset(variables, coords=coordinates, attrs=tree.attributes() if tree else {})


def system_names(observations: xr.Dataset) -> list[str] | None:
    """Return the names of the systems to learn from, None if they have numbers alone."""
    if "system_id" not in observations.coords:
        return None
    return [str(name) for name in observations["system_id"].values]


def unused_columns_of(observations: xr.Dataset) -> pd.DataFrame:
    """Return the columns of the table that the study does not use, as text.

    See :func:`popinv.observation_files.known_columns.unused_columns`.
    """
    if "unused" not in observations.coords:
        return pd.DataFrame()
    return pd.DataFrame(observations["unused"].values, columns=observations["unused_name"].values)


def numbers_in(cells: pd.Series) -> np.ndarray | None:
    """Return cells of text as numbers, NaN where one is missing; None if one holds a label."""
    if not all(is_number(cell) or is_missing(cell) for cell in cells):
        return None
    return np.array([float(cell) if is_number(cell) else np.nan for cell in cells])


def labels_in(cells: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return cells of text as numbers of labels, -1 where one is missing, and the labels."""
    codes, names = pd.factorize(cells.mask(cells.map(is_missing)), sort=True)
    return np.asarray(codes), list(map(str, names))


def table_order(observations: xr.Dataset) -> np.ndarray:
    """Return the numbers (N,) of the systems to learn from in the order of the user's table.

    Observations hold them in a random order. Synthetic systems keep theirs.
    """
    if "row" in observations.coords:
        return np.argsort(observations["row"].values, kind="stable")
    return np.arange(observations.sizes["system"])


def system_labels(observations: xr.Dataset) -> list[str]:
    """Return the systems to learn from as figures name them: their names, or "system 0"."""
    named = system_names(observations)
    return named or [f"system {i}" for i in range(observations.sizes["system"])]


def member_labels(observations: xr.Dataset) -> list[str]:
    """Return the members of all systems as figures name them, or the systems without members."""
    if "member_id" not in observations.coords:
        return system_labels(observations)
    return [str(name) for name in observations["member_id"].values.ravel()]


def without_systems(
    observations: xr.Dataset, withdrawn: Sequence[int | str]
) -> tuple[xr.Dataset, np.ndarray]:
    """Return observations without some systems, and the numbers of those that are left.

    The answer is tested on the same systems as before, without the withdrawn ones.

    Parameters
    ----------
    observations : Dataset
        From :func:`observations_dataset`, with the attribute ``folds``
        if the tested systems are the last of those to learn from.
    withdrawn : sequence of int or str

    Raises
    ------
    DataError
        As :func:`popinv.sections.systems.systems_left`.
    """
    count = observations.sizes["system"]
    left = systems_left(withdrawn, system_names(observations), count)
    rest = observations.isel(system=left)
    if observations.attrs.get("folds"):
        tested = observations.sizes["heldout_system"]
        rest = rest.isel(heldout_system=left[left >= count - tested] - (count - tested))
    return rest, left
