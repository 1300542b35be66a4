"""Convert the user's own observations into the form that the other stages read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.errors import spanned
from popinv.observation_files.added_tables import Table, inputs_of
from popinv.observation_files.fit import InMemory, read_fitting
from popinv.observation_files.heldout import learned_and_tested
from popinv.observation_files.limit_keys import states_limits
from popinv.observation_files.limits import told_limits
from popinv.observation_files.section import of_same_form
from popinv.observation_files.table import described_rounding
from popinv.population.limits import limits_of
from popinv.population.model import covariate_names
from popinv.population.observe import observations_dataset, without_systems
from popinv.store.variables import variable

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.observation_files.section import FileObservations
    from popinv.observation_files.table import ObservationTable
    from popinv.observation_files.trees import MemberTree
    from popinv.population.laws.section import LawSection
    from popinv.population.noise.section import NoiseSection
    from popinv.population.sections import SyntheticObservations


def import_observations(
    forward: ForwardSection,
    law: LawSection,
    observations: FileObservations,
    noise: NoiseSection | None = None,
    *,
    seed: int,
    given: InMemory | None = None,
) -> xr.Dataset:
    """Read the user's file and hold some systems out.

    Parameters
    ----------
    forward : ForwardSection
        It states what the columns of the file hold.
    law : LawSection
        It states which columns hold covariates.
    noise : NoiseSection, optional
        It may name further covariates.
    seed : int
        The study's seed.
    given : DataFrame or Dataset, optional
        The observations in memory, in the place of the file.

    Raises
    ------
    DataError
        If the file cannot be read, or does not fit the forward model.
    """
    description = forward.observed(seed)
    design, covariates = forward.design_names(), covariate_names(law, noise)
    levels = law.level_columns()
    inputs = forward.timed_inputs()
    table = read_fitting(
        observations, description, design, covariates, given, levels=levels, inputs=inputs
    )
    _tell(table)
    learned, tested, folds = learned_and_tested(
        len(table.values), observations.heldout_fraction, seed
    )
    rows = np.concatenate([learned, tested])
    # With few systems, each is left out of a refit in turn and tested.
    what = "systems"
    if table.tree is not None:
        counts = table.present_members[learned].sum(axis=1)
        groups = "group" if len(learned) == 1 else "groups"
        what = f"{groups} of {spanned(counts.min(), counts.max())} members"
    print(f"{len(learned)} {what}" + ("" if folds != 1 else f", {len(tested)} more held out"))
    dataset = _dataset(table, rows, len(tested), forward, law, noise, observations, seed)
    dataset = _with_table(dataset, table, learned).assign_attrs(folds=folds)
    if table.equal_labels:
        dataset = dataset.assign_attrs(equal_labels=table.equal_labels)
    rest, left = without_systems(dataset, observations.without)
    withdrawn = np.delete(table.values[learned], left, axis=0)
    reason = "of the systems that 'observations.without' names"
    account = table.account.without(reason, int(np.isfinite(withdrawn).sum()))
    return rest.assign_attrs(values=account.sentence())


def _tell(table: ObservationTable) -> None:
    """Print what became of the values of a table."""
    of_times, of_limits = described_rounding(table), told_limits(table)
    for told in filter(None, (table.account.sentence(), of_times, of_limits, table.equal_labels)):
        print(told)


def _with_table(observations: xr.Dataset, table: ObservationTable, rows: np.ndarray) -> xr.Dataset:
    """Return observations with the rows of their systems in the table, and its unused columns."""
    learned = rows[: observations.sizes["system"]]
    row = variable("system", learned, "number of the system in the order of the table")
    observations = observations.assign_coords(row=row)
    if table.unused is None or table.unused.empty:
        return observations
    names = np.array(table.unused.columns, dtype=np.str_)
    cells = table.unused.to_numpy(dtype=np.str_)
    told = "columns of the table that the study does not use"
    return observations.assign_coords(
        unused_name=variable("unused_name", names, told),
        unused=variable(("system", "unused_name"), cells[learned], told),
    )


def observations_of_file(
    forward: ForwardSection,
    law: LawSection,
    noise: NoiseSection | None,
    observations: FileObservations | SyntheticObservations,
    file: str,
    *,
    seed: int,
    given: InMemory | None = None,
    population: bool = True,
    units: Mapping[str, str] | None = None,
    inputs: Table | None = None,
    tree: MemberTree | None = None,
) -> xr.Dataset:
    """Return all systems of another file of the form of the study's own, to learn from.

    Parameters
    ----------
    forward, law, noise
        As for :func:`import_observations`.
    observations : FileObservations or SyntheticObservations
        The study's observations. A file beside synthetic ones is read by the defaults.
    file : str
    seed : int
    given : DataFrame or Dataset, optional
        The observations in memory, in the place of the file.
    population : bool
        As for :func:`popinv.observation_files.fit.read_fitting`.
    units : mapping of str to str, optional
        The units of the columns of the study's own table.
    inputs : Table, optional
        A table of inputs over time in the place of the study's.
    tree : MemberTree, optional
        As for :func:`popinv.observation_files.fit.read_fitting`.

    Raises
    ------
    DataError
        As :func:`import_observations`.
    """
    section = of_same_form(observations, file)
    names = forward.design_names(), covariate_names(law, noise)
    levels = law.level_columns()
    table = read_fitting(
        section,
        forward.observed(seed),
        *names,
        given,
        whole=False,
        population=population,
        levels=levels,
        units=units or {},
        inputs=inputs_of(forward, inputs),
        tree=tree,
    )
    _tell(table)
    rows = np.arange(len(table.values))
    return _dataset(table, rows, 0, forward, law, noise, section, seed)


def new_observations(
    table: ObservationTable,
    forward: ForwardSection,
    law: LawSection,
    noise: NoiseSection,
    observations: FileObservations,
    *,
    seed: int,
) -> xr.Dataset:
    """Return the systems of a table that was read already, as those to learn from."""
    rows = np.arange(len(table.values))
    return _dataset(table, rows, 0, forward, law, noise, observations, seed)


def _dataset(
    table: ObservationTable,
    rows: np.ndarray,
    heldout: int,
    forward: ForwardSection,
    law: LawSection,
    noise: NoiseSection | None,
    observations: FileObservations,
    seed: int,
) -> xr.Dataset:
    """Return rows of a table, the last of them as held-out ones."""
    description = forward.observed(seed)
    scale, ids, limits = table.noise_scale, table.system_ids, None
    if table.limits and states_limits(observations):
        limits = limits_of(table.limits, description).of(rows)
    dataset = observations_dataset(
        table.values[rows],
        description,
        heldout=heldout,
        noise_scale=None if scale is None else scale[rows],
        system_ids=None if ids is None else ids[rows],
        known=None if table.known is None else table.known.of(rows),
        design_names=forward.design_names(),
        covariate_names=covariate_names(law, noise),
        column_names=table.names,
        limits=limits,
        replicate_count=table.replicate_count,
        tree=table.tree,
        member_ids=None if table.member_ids is None else table.member_ids[rows],
    )
    if not table.column_units:
        return dataset
    return dataset.assign_attrs(column_units=json.dumps(table.column_units, ensure_ascii=False))


def units_of_columns(observations: xr.Dataset) -> dict[str, str]:
    """Return the units that the table of a study's observations states, by the names of columns."""
    units: dict[str, str] = json.loads(observations.attrs.get("column_units", "{}"))
    return units
