"""Columns that name levels, in tables of nlme and lme4 (R) and in tables without levels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.observation_files.columns import Given
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.section import FileObservations
from popinv.observation_files.survey import survey
from popinv.observation_files.trees import LevelColumns, MemberTree, tree_of_labels

DATA = Path(__file__).parents[1] / "api" / "data"


@pytest.mark.parametrize(
    ("name", "levels", "crossed", "replicates"),
    [
        ("Machines", ("Worker", "Machine"), False, (3, 3)),
        ("Pixel", ("Dog", "Side"), False, (1, 1)),
        ("Oats", ("Block", "Variety"), False, (1, 1)),
        ("Penicillin", ("plate", "sample"), True, (1, 1)),
        ("Dialyzer", (), False, (1, 1)),
    ],
)
def test_levels_of_known_tables(name, levels, crossed, replicates):
    found = survey(DATA / f"{name}.csv")
    assert (found.layout.levels, found.layout.crossed) == (levels, crossed)
    assert found.replicates == replicates
    if levels:
        assert found.system_column == levels[0]
        assert [c.name for c in found.columns if c.use == "level"] == list(levels[1:])


def rows(labels: tuple[str, ...] = ("a", "b"), apart: float = 0.0) -> pd.DataFrame:
    """Return series of 6 systems, the series of each label one after the other."""
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        [
            (s, label, t, round(rng.normal(5 + apart * k, 1), 3))
            for s in range(1, 7)
            for k, label in enumerate(labels)
            for t in (0.5, 1, 2)
        ],
        columns=["batch", "piece", "t", "y"],
    )


def layout_of_table(table: pd.DataFrame, folder: Path, given: Given | None = None):
    table.to_csv(folder / "y.csv", index=False)
    layout = survey(folder / "y.csv", given).layout
    assert layout is not None
    return layout


def test_levels_of_text_and_of_counts(tmp_path):
    assert layout_of_table(rows(), tmp_path).levels == ("batch", "piece")
    counted = rows().replace({"piece": {"a": 1, "b": 2}})
    assert layout_of_table(counted, tmp_path).levels == ("batch", "piece")
    deeper = pd.concat([rows().assign(cut=cut) for cut in ("lo", "up")])
    deeper = deeper.sort_values(["batch", "piece", "cut"], kind="stable")
    assert layout_of_table(deeper, tmp_path).levels == ("batch", "piece", "cut")


def test_occasions_with_times_are_levels(tmp_path):
    occasions = rows().rename(columns={"piece": "occasion"}).replace({"occasion": {"a": 1, "b": 2}})
    assert layout_of_table(occasions, tmp_path).levels == ("batch", "occasion")
    stated = layout_of_table(occasions, tmp_path, Given(replicate="occasion"))
    assert not stated.levels
    # Without times they may be replicates as well.
    once = occasions.query("t < 2").drop(columns="t")
    with pytest.raises(DataError, match="State --"):
        layout_of_table(once, tmp_path)


def test_a_column_of_systems_is_no_time(tmp_path):
    # Each type of stool once by each subject, whose numbers increase within each type.
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        [(f"T{k}", s, round(rng.normal(9 + k, 1), 1)) for k in range(4) for s in range(1, 10)],
        columns=["Type", "Subject", "effort"],
    )
    with pytest.raises(DataError, match="no column increases within each of them"):
        layout_of_table(table, tmp_path)
    found = layout_of_table(table, tmp_path, Given(time="Subject"))
    assert found.named("time") == "Subject"


def test_quantities_are_no_levels(tmp_path):
    # By their sizes, by a usual name, by interleaved rows, and by the user's word.
    assert layout_of_table(rows(apart=50), tmp_path).named("label") == "piece"
    named = rows().rename(columns={"piece": "quantity"})
    assert layout_of_table(named, tmp_path).named("label") == "quantity"
    mixed = rows().sort_values(["batch", "t"], kind="stable")
    assert layout_of_table(mixed, tmp_path).named("label") == "piece"
    assert layout_of_table(rows(), tmp_path, Given(label="piece")).named("label") == "piece"


def test_labels_of_one_group_alone_are_the_systems(tmp_path):
    table = rows()
    table["piece"] = table["batch"].astype(str) + table["piece"]
    found = layout_of_table(table, tmp_path)
    assert not found.levels
    assert found.named("system") == "piece"


def test_crossed_nodes_are_labels_and_groups_are_parts_without_a_link():
    labels = np.array([(b, o, r) for b in "ab" for o in "xy" for r in "12"])
    other = np.array([("c", "z", "1"), ("c", "w", "1")])
    columns = LevelColumns(("batch", "operator", "run"), ("batch", "operator"))
    every = np.concatenate([labels, other])
    tree, group, place = tree_of_labels(every, columns)
    assert group.tolist() == [0] * 8 + [1] * 2
    nodes = np.array(tree.nodes)[:, place]
    for k in (0, 1):
        for one in (labels, other):
            own = nodes[k][(group == 0) if one is labels else (group == 1)]
            same = np.equal.outer(own, own)
            np.testing.assert_array_equal(same, np.equal.outer(one[:, k], one[:, k]))
    assert tree.members == len(set(tree.nodes[2])) == 8
    assert not tree.nested
    present = np.zeros((2, 8), dtype=bool)
    present[group, place] = True
    # Batches a, b and c.
    assert tree.units(present) == 3


def test_nested_levels_have_their_groups_as_units():
    tree = MemberTree(("batch", "piece"), ((0, 0, 0), (0, 1, 2)))
    assert tree.nested
    assert tree.units(np.ones((5, 3), dtype=bool)) == 5


LEVELS = LevelColumns(("batch", "piece"), ())


def read(table: pd.DataFrame, **keys):
    section = FileObservations(file="y.csv", **keys)
    at = Observations(np.array([[0.5], [1.0], [2.0]]), ("t",), "y")
    text = table.astype(str)
    return read_fitting(section, at, ("dose",), ("w",), text, levels=LEVELS)


def members() -> pd.DataFrame:
    """Return 11 members of 6 batches, one after the other, with a dose and a covariate each."""
    rng = np.random.default_rng(4)
    rows = [
        (f"b{s}", piece, 1 + s + k, round(rng.normal(), 3), *rng.normal(5, 1, 3).round(3))
        for s in range(6)
        for k, piece in enumerate("ab" if s else "a")
    ]
    return pd.DataFrame(rows, columns=["batch", "piece", "dose", "w", "0.5", "1", "2"])


def test_a_column_that_is_the_same_in_each_group_is_kept_for_the_tests():
    table = members()
    place = table["batch"].str[1].astype(int)
    # The height of batch 2 is not known, and a note is of one piece.
    height = np.where(place == 2, "", (1.5 * place).astype(str))
    table = table.assign(height=height, note=table["piece"].map({"a": "x", "b": "y"}))
    kept = ["batch", "piece", "dose", "w", "height", "note"]
    long = table.melt(kept, var_name="t", value_name="y")
    found = read(long, layout="long", system_column="batch", value_column="y", time_column="t")
    assert found.unused is not None
    assert found.unused.to_dict("list") == {"height": ["0.0", "1.5", "", "4.5", "6.0", "7.5"]}


def test_a_wide_table_is_the_same_as_a_long_one():
    wide = members()
    long = wide.melt(["batch", "piece", "dose", "w"], var_name="t", value_name="y")
    long = long.sort_values(["batch", "piece"], kind="stable")
    one = read(wide)
    other = read(long, layout="long", system_column="batch", value_column="y", time_column="t")
    np.testing.assert_array_equal(one.values, other.values)
    assert one.tree == other.tree
    np.testing.assert_array_equal(one.member_ids, other.member_ids)
    np.testing.assert_array_equal(one.known.design, other.known.design)
    np.testing.assert_allclose(one.known.covariates, other.known.covariates)


def test_rows_with_the_labels_of_a_member_are_its_replicates():
    wide = pd.concat([members(), members().assign(**{"0.5": 1.5})], ignore_index=True)
    with pytest.raises(DataError, match="both belong to system 'b0, a'"):
        read(wide)
    found = read(wide, replicates="rows")
    assert found.values.shape == (6, 2 * 2 * 3)
    every = found.values.reshape(6, 2, 2, 3)
    assert np.isnan(every[0, 1]).all()
    np.testing.assert_array_equal(every[1:, :, 1, 0], 1.5)
    np.testing.assert_array_equal(every[1:, :, 0].reshape(-1, 3), members().values[1:, 4:])


def test_a_wide_table_without_the_column_of_a_level():
    with pytest.raises(DataError, match="piece"):
        read(members().drop(columns="piece"))
