"""Checks on the data files and the code that a configuration names, to be made before any work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from popinv.config.observations import FileObservations, SyntheticObservations
from popinv.config.study import Config, Study
from popinv.config.traits import refusals
from popinv.errors import ConfigError, DataError
from popinv.forward.section import ForwardSection
from popinv.methods.section import ObservedSystems
from popinv.observation_files.added_tables import inputs_of
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.heldout import learned_and_tested
from popinv.observation_files.section import of_same_form
from popinv.observation_files.table import ObservationTable, check_varies
from popinv.observation_files.trees import NO_LEVELS, LevelColumns, MemberTree
from popinv.population.model import covariate_names
from popinv.sections.messages import dotted
from popinv.sections.outside import is_outside
from popinv.sections.systems import systems_left


def check_outside_kinds(name: str, study: Study, seed: int) -> None:
    """Check that a study's own classes return what the workflow relies on.

    Parameters
    ----------
    name : str
        The study's name.
    seed : int
        The study's seed.

    Raises
    ------
    ConfigError
        With the study, the section, and what its class has to do.
    """
    # The checks import torch, which a study of known kinds does not need yet.
    if is_outside(study.law.kind):
        from popinv.population.contract import check_law

        with _told(f"studies.{name}.law"):
            check_law(study.law, study.forward)
    families = {"noise": study.noise}
    if isinstance(study.observations, SyntheticObservations):
        true_family = study.observations.truth.noise_model
        families |= {"observations.truth.noise_model": true_family} if true_family else {}
    for place, section in families.items():
        if is_outside(section.kind):
            from popinv.population.contract import check_noise

            with _told(f"studies.{name}.{place}"):
                check_noise(section, study.forward.observed(seed))


@contextmanager
def _told(place: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def check_observation_file(
    observations: FileObservations,
    forward: ForwardSection,
    covariates: Sequence[str] = (),
    levels: LevelColumns = NO_LEVELS,
    *,
    whole: bool = True,
    population: bool = True,
    inputs: str | None = None,
    tree: MemberTree | None = None,
) -> ObservationTable:
    """Read an observation file and check that it fits the forward model.

    Parameters
    ----------
    observations : FileObservations
        The file, and how it is to be read.
    forward : ForwardSection
        The forward model that is to explain the observations.
    covariates : sequence of str
        Columns that hold covariates of the law and of the noise.
    levels : LevelColumns
        Columns that name the levels of the law.
    whole : bool
        Whether these are all observations of the study. If they are a part, a sensor may have none.
    population : bool
        As for :func:`popinv.observation_files.fit.read_fitting`.
    inputs : str, optional
        A table of inputs over time in the place of the study's.
    tree : MemberTree, optional
        As for :func:`popinv.observation_files.fit.read_fitting`.

    Returns
    -------
    ObservationTable
        With one column for each observation of the forward model.

    Raises
    ------
    DataError
        If the file cannot be read, holds something else than observations, has another number of
        columns (or times) than the forward model, or too few rows.
    """
    design = forward.design_names()
    return read_fitting(
        observations,
        forward.observed(0),
        design,
        covariates,
        whole=whole,
        population=population,
        levels=levels,
        inputs=inputs_of(forward, inputs),
        tree=tree,
    )


def check_data_files(config: Config) -> None:
    """Check the files of each study (its own kinds, its simulator, its data), images and text.

    Raises
    ------
    ConfigError
        With the study, and what is wrong with its own kinds or its simulator.
    DataError
        With the study, and what is wrong with its file, or which requirement its systems do not
        meet. Also if the images or the text of the test problems are not there.
    """
    for name, study in config.studies.items():
        check_outside_kinds(name, study, config.seed if study.seed is None else study.seed)
        try:
            study.forward.check_files()
        except ConfigError as error:
            raise ConfigError(f"studies.{name}.forward.{error}") from error
        _check_files_of_methods(name, study)
        if not isinstance(study.observations, FileObservations):
            continue
        try:
            table = check_observation_file(
                study.observations,
                study.forward,
                covariate_names(study.law, study.noise),
                study.law.level_columns(),
            )
            learned, heldout = checked_split(table, study, study.observations, config.seed)
        except DataError as error:
            raise DataError(f"studies.{name}.observations.file: {error}") from error
        added, joining = _check_additions(name, study, table)
        ids = table.system_ids
        names = None if ids is None else [str(ids[row]) for row in learned]
        try:
            left = systems_left(study.observations.without, names, len(learned))
        except DataError as error:
            raise DataError(f"studies.{name}.observations.without: {error}") from error
        learned, names = learned[left], None if names is None else [names[row] for row in left]
        if study.descent.batch_size and study.descent.batch_size > len(learned):
            raise DataError(
                f"studies.{name}.descent.batch_size: got {study.descent.batch_size}, but "
                f"{study.observations.file} leaves {len(learned)} observations to learn from; null "
                "uses all"
            )
        names = None if names is None else [*names, *joining]
        observed = ObservedSystems(len(learned) + added, heldout, names)
        seen = {
            "noise scales": table.noise_scale is not None,
            "gaps": bool(np.isnan(table.values[learned]).any()),
        }
        problems = study.downstream.data_problems(observed, study.forward)
        for problem in (
            *refusals(study, {trait for trait, has in seen.items() if has}),
            *(problem.under("downstream") for problem in problems),
        ):
            place = dotted(("studies", name, *problem.path))
            raise DataError(f"{place}: {problem.text} ({study.observations.file})")
    config.downstream.check_all_files()


def _check_additions(name: str, study: Study, table: ObservationTable) -> tuple[int, list[str]]:
    """Return the number and the names of systems that have joined a study with this table.

    Raises
    ------
    DataError
        If a file does not fit, or holds a system that is in the study.
    """
    count, joining = 0, list[str]()
    names = set() if table.system_ids is None else set(map(str, table.system_ids))
    forward = study.joined().forward
    for tables in study.additions():
        file = tables.file
        try:
            added = check_observation_file(
                of_same_form(study.observations, file),
                forward,
                covariate_names(study.law, study.noise),
                study.law.level_columns(),
                whole=False,
                population=False,
                inputs=tables.inputs,
                tree=table.tree,
            )
            own = set() if added.system_ids is None else set(map(str, added.system_ids))
            if twice := sorted(own & names):
                raise DataError(
                    f"{file}: '{twice[0]}' is already in the study; leave out systems that are "
                    "there, and give other systems other names"
                )
        except DataError as error:
            raise DataError(f"studies.{name}.observations.additions: {error}") from error
        names |= own
        count += len(added.values)
        joining += [] if added.system_ids is None else map(str, added.system_ids)
    return count, joining


def _check_files_of_methods(name: str, study: Study) -> None:
    """Check the files of observations that downstream methods read beside the study's own."""
    covariates = covariate_names(study.law, study.noise)
    for method, asked in study.downstream.asked().items():
        for key, file in asked.files().items():
            section = of_same_form(study.observations, file)
            try:
                levels = study.law.level_columns()
                check_observation_file(section, study.forward, covariates, levels, whole=False)
            except DataError as error:
                raise DataError(f"studies.{name}.downstream.{method}: '{key}': {error}") from error


def checked_split(
    table: ObservationTable,
    study: Study,
    observations: FileObservations,
    seed: int,
    name: str | None = None,
) -> tuple[np.ndarray, int]:
    """Return the rows to learn from and the number of held-out rows, if both are enough.

    The checks are of the rows without the held-out ones, from which the answer is refitted.
    Messages give the observations a ``name``, by default the name of the file.

    Raises
    ------
    DataError
        If they are not, or if an observation is the same in all systems.
    """
    count, name = len(table.values), name or observations.file
    kept, heldout, folds = learned_and_tested(
        count, observations.heldout_fraction, seed if study.seed is None else study.seed
    )
    rest = kept if folds != 1 else kept[: len(kept) - len(heldout)]
    if folds and min(len(rest), len(heldout)) < 2:
        raise DataError(
            f"{name} has {count} systems; a held-out share of "
            f"{observations.heldout_fraction:g} leaves {len(rest)} to learn from and "
            f"{len(heldout)} to check with, and each needs at least 2"
        )
    if observations.layout == "long" and study.noise.pools_observations:
        # Systems with times of their own may have one value, or none, at a time.
        return kept, 0 if folds != 1 else len(heldout)
    # One value has a mean, but no spread.
    rows = [table.rows[row] for row in rest]
    seen = np.isfinite(replace(table, values=table.values[rest], rows=rows).pooled().values)
    seen = seen.sum(axis=0)
    for column in np.flatnonzero(seen < 2)[:1]:
        raise DataError(
            f"{name}: {table.columns[column]} is observed in {seen[column]} of the "
            f"{len(rest)} systems to learn from, and at least 2 are needed; leave out the sensor, "
            "or hold out fewer systems"
        )
    try:
        check_varies(table, rest)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    return kept, 0 if folds != 1 else len(heldout)
