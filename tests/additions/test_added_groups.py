"""Whole groups that join a study with levels: the maximum of all groups, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from linear_groups import TIMES, differentiable, fit, maximum, table
from linear_systems import Solver

import popinv
from popinv.additions.estimates import errors_at_modes
from popinv.errors import DataError
from popinv.observation_files.trees import LevelColumns, tree_of_labels


def parted() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    whole = table(14, 3)
    early = whole["site"].isin([f"s{i}" for i in range(10)])
    return whole, whole[early], whole[~early]


@pytest.fixture(scope="module")
def first() -> popinv.Result:
    return fit(parted()[1])


@pytest.mark.full
def test_whole_groups_join(first):
    whole, early, late = parted()
    both = first.add(late, tests=False)
    values, largest = maximum(whole)
    assert both.metrics["log_likelihood"] == pytest.approx(largest, abs=1e-3)
    # The covariate counts from its mean over the first groups.
    of_samples = [each.drop_duplicates(["site", "sample"])["w"].mean() for each in (whole, early)]
    values[0] += values[2] * (of_samples[1] - of_samples[0])
    summary = both.summary()
    apart = (summary["estimate"].to_numpy() - values) / summary["standard_error"].to_numpy()
    assert np.all(np.abs(apart) < 0.02)
    assert list(both.observations["system_id"].values[10:]) == ["s10", "s11", "s12", "s13"]
    assert np.all(both.artefacts["batch"]["p_value"] > 0.05)


@pytest.mark.full
def test_groups_of_other_sites_differ(first):
    late = parted()[2]
    both = first.add(late.assign(y=late["y"] + 4), tests=False)
    assert both.artefacts["batch"]["p_value"].sel(compared="law") < 0.001


def test_members_of_a_group_of_the_study_are_refused(first):
    late = parted()[2]
    with pytest.raises(DataError, match="'s3' is already in the study, and further members would"):
        first.add(late.replace({"site": {"s11": "s3"}}))
    large = late.assign(site="new", sample=late["site"] + late["sample"])
    with pytest.raises(DataError, match="'new' has more members than any in the study"):
        first.add(large)


def read(counts: dict[range, int]) -> pd.DataFrame:
    """Return readings of 3 samples of some sites, with a number of readings of each sample."""
    rng, rows = np.random.default_rng(6), []
    for sites, count in counts.items():
        for site in sites:
            of_site = rng.standard_normal()
            for sample in range(3):
                level = 5 + of_site + 0.5 * rng.standard_normal()
                for value in level + 0.3 * rng.standard_normal(count):
                    rows.append((f"s{site}", f"p{sample}", round(value, 4)))
    return pd.DataFrame(rows, columns=["site", "sample", "y"])


@pytest.mark.full
def test_members_with_fewer_readings_join():
    early, late = range(12), range(12, 18)
    law = {
        "kind": "normal",
        "start": {"level": {"mean": 5, "standard_deviation": 1}},
        "levels": {"site": ["level"], "sample": ["level"]},
    }
    keys = {"law": law, "noise": "isotropic", "tests": False, "progress": False}
    keys |= {"value_column": "y", "replicates": "rows"}
    whole = read({early: 3, late: 2})
    joins = whole["site"].isin([f"s{i}" for i in late])
    first = popinv.fit(whole[~joins], lambda z: 1.0 * z, **keys)
    both = first.add(whole[joins], tests=False)
    once = popinv.fit(whole, lambda z: 1.0 * z, **keys)
    assert both.metrics["log_likelihood"] == pytest.approx(once.metrics["log_likelihood"], abs=1e-3)
    apart = both.summary()["estimate"] - once.summary()["estimate"]
    assert np.all(np.abs(apart) < 0.02 * once.summary()["standard_error"])
    more = read({range(20, 22): 4})
    with pytest.raises(DataError, match="more replicates than any in the study"):
        first.add(more)


SHIFT = np.array([0.3, -0.2, 0.1, 0.4])


def shifted(z: torch.Tensor) -> torch.Tensor:
    """Return observations of single samples that differ from the function's by a constant."""
    assert z.shape[1] == 3
    return differentiable(z[:, :2], z[:, 2:], TIMES) + torch.from_numpy(SHIFT)


def test_a_surrogate_is_judged_at_the_members_of_added_groups(first):
    problem, likelihood = first.problem, first.artefacts["likelihood"]
    p = np.concatenate([likelihood["alpha"].values, likelihood["gamma"].values])
    found = errors_at_modes(problem, p, likelihood["modes"].values, likelihood, Solver(shifted))
    assert len(found) == len(parted()[1].drop_duplicates(["site", "sample"]))
    noise = np.sqrt(likelihood["noise_covariance"].values[0, 0])
    np.testing.assert_allclose(found, np.sqrt(np.mean(SHIFT**2)) / noise)


def test_groups_have_the_places_that_they_have_among_all():
    rng = np.random.default_rng(4)
    labels = np.array(
        [
            (str(g), f"s{s}", str(o))
            for g in range(9)
            for s in range(rng.integers(1, 4))
            for o in range(rng.integers(1, 5))
        ]
    )
    columns = LevelColumns(("site", "sample", "occasion"))
    tree, group, place = tree_of_labels(labels, columns)
    late = group > 5
    again, numbers, places = tree_of_labels(labels[late], columns, tree)
    assert again is tree
    np.testing.assert_array_equal(numbers, group[late] - 6)
    np.testing.assert_array_equal(places, place[late])
    assert len(np.unique(places)) > 4
    wide = np.array([("new", "s", str(o)) for o in range(6)])
    assert list(tree_of_labels(wide, columns, tree)[2])[-2:] == [-1, -1]
