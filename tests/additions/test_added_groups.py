"""Whole groups that join a study with levels: the maximum of all groups, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from linear_groups import COLUMNS, LAW, maximum, table

import popinv
from popinv.errors import DataError


def solve(z, design, times):
    return z[:, :1] + z[:, 1:2] * design * torch.as_tensor(times)


def parted() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    whole = table(24, 3)
    early = whole["site"].isin([f"s{i}" for i in range(20)])
    return whole, whole[early], whole[~early]


@pytest.fixture(scope="module")
def first() -> popinv.Result:
    return popinv.fit(
        parted()[1], solve, law=LAW, noise="isotropic", tests=False, progress=False, **COLUMNS
    )


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
    assert list(both.observations["system_id"].values[20:]) == ["s20", "s21", "s22", "s23"]
    assert np.all(both.artefacts["batch"]["p_value"] > 0.05)


def test_groups_of_other_sites_differ(first):
    late = parted()[2]
    both = first.add(late.assign(y=late["y"] + 4), tests=False)
    assert both.artefacts["batch"]["p_value"].sel(compared="law") < 0.001


def test_members_of_a_group_of_the_study_are_refused(first):
    late = parted()[2]
    with pytest.raises(DataError, match="'s3' is already in the study, and further members would"):
        first.add(late.replace({"site": {"s21": "s3"}}))
    large = late.assign(site="new", sample=late["site"] + late["sample"])
    with pytest.raises(DataError, match="'new' has more members than any in the study"):
        first.add(large)
