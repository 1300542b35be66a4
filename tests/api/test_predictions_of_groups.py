"""Predictions of new groups, beside the exact law of a linear model with normal effects."""

from __future__ import annotations

from typing import Any

import linear_groups
import numpy as np
import pandas as pd
import pytest
import torch
from linear_groups import LAW, TIMES

import popinv
from popinv.errors import DataError


def solve(z: torch.Tensor, design: torch.Tensor, times: Any) -> torch.Tensor:
    """Return the observations of each sample."""
    return z[:, :1] + z[:, 1:2] * design * torch.as_tensor(times, dtype=z.dtype)


@pytest.fixture(scope="module")
def result(quick: dict[str, Any]) -> popinv.Result:
    return popinv.fit(
        linear_groups.table(8, 1),
        solve,
        law=LAW,
        noise="isotropic",
        tests=False,
        **{**linear_groups.COLUMNS, **quick},
    )


@pytest.fixture(scope="module")
def new() -> pd.DataFrame:
    """Return two new sites; a sample of each has lost most of its observations."""
    data = linear_groups.table(2, 7)
    first = data["sample"] == "m0"
    return data[~first | (data["t"] == TIMES[1])].reset_index(drop=True)


def exact(result: popinv.Result, rows: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Return mean and deviation of the parameter a of the samples of one site."""
    law = result.summary()["estimate"]
    centre = float(result.observations["covariate_centre"].values[0])
    samples = list(dict.fromkeys(rows["sample"]))
    of = np.array([samples.index(name) for name in rows["sample"]])
    w = rows.drop_duplicates("sample")["w"].to_numpy() - centre
    x = (rows["dose"] * rows["t"]).to_numpy()
    count = len(samples)
    mean_a = law["a_mean"] + law["a_w_coefficient"] * w
    site, own = law["a_site_standard_deviation"], law["a_sample_standard_deviation"]
    slope = law["b_sample_standard_deviation"]
    of_a = site**2 * np.ones((count, count)) + own**2 * np.eye(count)
    pick = np.eye(count)[of]
    covariance = pick @ of_a @ pick.T + slope**2 * np.equal.outer(of, of) * np.outer(x, x)
    covariance += law["noise_standard_deviation"] ** 2 * np.eye(len(rows))
    gain = np.linalg.solve(covariance, pick @ of_a).T
    mean = mean_a + gain @ (rows["y"].to_numpy() - mean_a[of] - law["b_mean"] * x)
    deviation = np.sqrt(np.diag(of_a - gain @ pick @ of_a))
    return dict(zip(samples, zip(mean, deviation, strict=True), strict=True))


@pytest.mark.full
def test_members_of_a_new_group_have_the_law_given_all_of_its_rows(result, new):
    told = result.predict(new, law_and_noise="fixed", effective=150, kept_draws=150)
    names = [str(name) for name in told["system"].values]
    assert len(names) == len(new.drop_duplicates(["site", "sample"]))
    for site, rows in new.groupby("site"):
        for sample, (mean, deviation) in exact(result, rows).items():
            i = names.index(f"{site}, {sample}")
            assert abs(told["mean"].values[i, 0] - mean) < 0.3 * deviation
            assert told["deviation"].values[i, 0] == pytest.approx(deviation, rel=0.23)
    assert told["p_value"].notnull().all()


def test_observations_without_noise_are_those_of_the_parameters(result, new):
    told = result.predict(new, law_and_noise="fixed", effective=20)
    z = told["z"].values[0]
    first = new.drop_duplicates(["site", "sample"])["dose"].to_numpy()
    expected = z[..., :1] + z[..., 1:] * first[:, None] * TIMES
    np.testing.assert_allclose(told["signal"].values[0], expected, rtol=1e-10)


def test_a_member_without_observations_is_refused(result, new):
    unseen = new["sample"] == "m0"
    with pytest.raises(DataError, match="data: 's0, m0' has no observation"):
        result.predict(new.assign(y=new["y"].where(~unseen)))
