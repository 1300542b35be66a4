"""Groups: members with parameters of their own, which share the effects of outer levels.

A long table names the levels of a study in columns, from outer to inner. Each combination of labels
is a member, and the members with the same outer label are a group
(:mod:`popinv.population.laws.levels`). If two levels are crossed, the members that share a label of
either are a group, most often all of them. A group is one row of the table of observations: those
of its members, side by side. A member that a group lacks has missing values, and for what is known
of it zero, the mean, as covariates, and the design of the group's first member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from popinv.errors import DataError
from popinv.observation_files.known_columns import KnownColumns, unused_columns
from popinv.observation_files.table import ObservationTable
from popinv.observation_files.trees import LevelColumns, MemberTree, tree_of_labels
from popinv.sections.base import MOST_ENTRIES
from popinv.sections.tables import named_column, place_in

# Fewer groups do not tell how groups vary.
_FEWEST_GROUPS = 4


def members_of(
    frame: pd.DataFrame, levels: Sequence[str], system_column: str
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return the member of each row of a long table, the names of the members, and their labels.

    Parameters
    ----------
    frame : DataFrame
        A table of text.
    levels : sequence of str
        Columns, from outer to inner.
    system_column : str
        The column of the systems, which is one of the levels.

    Returns
    -------
    row : ndarray of int, shape (n,)
    names : list of str, length m
    labels : ndarray of str, shape (m, L)

    Raises
    ------
    DataError
        If a column lacks, or a label; or if the systems are at no level.
    """
    columns = [named_column(frame, level, "law.levels") for level in levels]
    if named_column(frame, system_column, "observations.system_column") not in columns:
        raise DataError(
            f"the column of the systems, '{system_column}', is none of the levels "
            f"{', '.join(levels)}; name it in 'law.levels', with the parameters that vary between "
            "its systems, or take one of the levels for 'observations.system_column'"
        )
    for level, column in zip(levels, columns, strict=True):
        for i in np.flatnonzero(frame[column] == "")[:1]:
            raise DataError(f"{place_in(frame, i)} has no label in the column '{level}'")
    cells = frame[columns].to_numpy(dtype=str)
    row, first = pd.factorize(pd.MultiIndex.from_arrays(list(cells.T)))
    labels = np.array(list(first), dtype=np.str_).reshape(len(first), len(columns))
    return row, [", ".join(each) for each in labels], labels


def grouped(
    table: ObservationTable,
    levels: LevelColumns,
    covariates: Sequence[str] = (),
    whole: bool = True,
    tree: MemberTree | None = None,
) -> ObservationTable:
    """Return a table whose rows are groups, for one whose rows are members.

    Parameters
    ----------
    covariates : sequence of str
        Names of the covariates. Where the labels of a level are covariates, it is known that equal
        ones have something in common.
    whole : bool
        Whether the effects of the levels are to be estimated from these groups.
    tree : MemberTree, optional
        The tree of the groups of a study, which these join.

    Raises
    ------
    DataError
        If a group is larger than any in the study; if a level has few labels; if two levels have
        the same nodes; if levels that are crossed are nested; or if members of a group have other
        noise scales.
    """
    assert table.labels is not None
    tree, group, place = tree_of_labels(table.labels, levels, tree)
    first = np.unique(group, return_index=True)[1]
    members = tree.members
    if levels.names[0] in levels.crossed:
        names = np.array([str(i + 1) for i in range(len(first))])
    else:
        names = table.labels[first, 0]
    for i in np.flatnonzero(place < 0)[:1]:
        raise DataError(
            f"the group '{names[group[i]]}' has more members than any in the study has room for, "
            "from '" + ", ".join(table.labels[i]) + "' on; put its rows into the study's own file, "
            "and run it again"
        )
    if whole:
        _check_levels(tree, np.column_stack([group, place]), levels)
    width = table.values.shape[1]
    if members * width > MOST_ENTRIES:
        raise DataError(
            f"the largest group has {members} members with {width} observations each, and a group "
            f"can have {MOST_ENTRIES:,}; leave out an outer level, or take fewer times"
        )

    def side_by_side(each: np.ndarray, absent: float = np.nan) -> np.ndarray:
        found = np.full((len(names), members, each.shape[1]), absent)
        found[group, place] = each
        return found.reshape(len(names), -1)

    known, scale = table.known, table.noise_scale
    if known is not None:
        design = np.repeat(known.design[first][:, None], members, axis=1)
        design[group, place] = known.design
        of_members = side_by_side(known.covariates, 0.0)
        known = KnownColumns(design.reshape(len(names), -1), of_members, known.centres)
    if scale is not None:
        for i in np.flatnonzero(scale != scale[first][group])[:1]:
            raise DataError(
                f"{table.rows[i]}: the members of '{names[group[i]]}' have different noise scales, "
                "but all observations of a group have one"
            )
        scale = scale[first]
    told = _equal_labels(table.labels, levels, covariates)
    ids = np.full((len(names), members), "", dtype=object)
    ids[group, place] = [", ".join(each) for each in table.labels]
    shifts = None if table.time_shifts is None else side_by_side(table.time_shifts)
    return replace(
        table,
        values=side_by_side(table.values),
        rows=[f"group '{name}'" for name in names],
        noise_scale=scale,
        system_ids=names,
        known=known,
        replicate_count=members * table.replicate_count,
        time_shifts=shifts,
        limits={name: side_by_side(each) for name, each in (table.limits or {}).items()},
        labels=None,
        tree=tree,
        member_ids=ids.astype(np.str_),
        equal_labels=told,
        # What is the same in all members of a group.
        unused=None if table.unused is None else unused_columns(table.unused, group, ()),
    )


def _equal_labels(labels: np.ndarray, levels: LevelColumns, covariates: Sequence[str]) -> str:
    """Return how labels (n, L) count that come up in most groups of the level around; or ""."""
    for k, level in enumerate(levels.names):
        around = levels.around(k)
        if not around or any(name.startswith(f"{level}_") for name in covariates):
            continue
        outer = levels.names[k - 1]
        nodes = np.unique(labels[:, [*around, k]], axis=0)
        count = len(np.unique(nodes[:, :-1], axis=0))
        own, times = np.unique(nodes[:, -1], return_counts=True)
        common = own[times > count / 2]
        if count == 1 or len(common) <= len(own) / 2:
            continue
        label = next((each for each in common if each.isidentifier()), common[0])
        remedy = (
            f"state 'law.crossed: [{outer}, {level}]' if {level} {label} is the same unit in all"
            if len(own) >= _FEWEST_GROUPS and level not in levels.crossed
            else f"if {label} is the same condition in all, state it as a covariate, such as "
            f"'law.covariates: {{PARAMETER: [{level}_{label}]}}'"
        )
        return (
            f"equal labels of '{level}' count as different units: {label} is in "
            f"{times[own == label][0]} of {count} groups of '{outer}'; {remedy}"
        )
    return ""


def _check_levels(tree: MemberTree, at: np.ndarray, levels: LevelColumns) -> None:
    """Refuse levels whose effects cannot be estimated, for members at these (group, place)."""
    nodes = [np.column_stack([at[:, 0], np.array(own)[at[:, 1]]]) for own in tree.nodes]
    counts = [len(np.unique(each, axis=0)) for each in nodes]
    crossed = [levels.names.index(name) for name in levels.crossed]
    for k in crossed if 0 in crossed else [0]:
        if counts[k] < _FEWEST_GROUPS:
            what = "labels of the crossed level" if k in crossed else "groups of the level"
            raise DataError(
                f"has {counts[k]} {what} '{levels.names[k]}', but a population needs at least "
                f"{_FEWEST_GROUPS}; if its members are a population of their own, leave the level "
                "out of 'law.levels'"
            )
    for k, level in enumerate(levels.names):
        for j in range(k):
            joint = len(np.unique(np.column_stack([nodes[j], nodes[k]]), axis=0))
            if counts[j] == counts[k] == joint:
                raise DataError(
                    f"each label of the level '{levels.names[j]}' has one label of the level "
                    f"'{level}', so that their effects cannot be told apart; leave one of the "
                    "levels out of 'law.levels', or name them from outer to inner"
                )
            if {j, k} == set(crossed) and joint in (counts[j], counts[k]):
                inner, outer = (j, k) if joint == counts[j] else (k, j)
                raise DataError(
                    f"each label of the level '{levels.names[inner]}' has one label of the level "
                    f"'{levels.names[outer]}', so that they are nested; leave out 'law.crossed', "
                    "and name the levels from outer to inner"
                )
