"""Convert the user's own observations into the form that the other stages read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.observation_files.fit import read_fitting
from popinv.observation_files.heldout import learned_and_tested
from popinv.observation_files.limits import limits_of
from popinv.observation_files.rounded_times import described_rounding
from popinv.population.model import covariate_names
from popinv.population.observe import observations_dataset, without_systems

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.observation_files.in_memory import Given
    from popinv.observation_files.section import FileObservations
    from popinv.population.laws.section import LawSection
    from popinv.population.noise.section import NoiseSection

__all__ = ["import_observations"]


def import_observations(
    forward: ForwardSection,
    law: LawSection,
    observations: FileObservations,
    noise: NoiseSection | None = None,
    *,
    seed: int,
    given: Given | None = None,
) -> xr.Dataset:
    """Read the user's file and hold some systems out.

    Parameters
    ----------
    forward : ForwardSection
        It says what the columns of the file are.
    law : LawSection
        It says which columns hold covariates.
    observations : FileObservations
    noise : NoiseSection, optional
        It may name further covariates.
    seed : int
        The study's seed.
    given : DataFrame or Dataset, optional
        The observations in memory, in the place of the file; see
        :mod:`popinv.observation_files.in_memory`.

    Raises
    ------
    DataError
        If the file cannot be read, or does not fit the forward model.
    """
    description = forward.observed(seed)
    design, covariates = forward.design_names(), covariate_names(law, noise)
    table = read_fitting(observations, description, design, covariates, given)
    if told := described_rounding(table):
        print(told)
    learned, tested, folds = learned_and_tested(
        len(table.values), observations.heldout_fraction, seed
    )
    rows = np.concatenate([learned, tested])
    scale, ids = table.noise_scale, table.system_ids
    dataset = observations_dataset(
        table.values[rows],
        description,
        heldout=len(tested),
        noise_scale=None if scale is None else scale[rows],
        system_ids=None if ids is None else ids[rows],
        known=None if table.known is None else table.known.of(rows),
        design_names=design,
        covariate_names=covariates,
        column_names=table.names,
        limits=limits_of(observations.censored_below, description),
        replicate_count=table.replicate_count,
    )
    return without_systems(dataset.assign_attrs(folds=folds), observations.without)[0]
