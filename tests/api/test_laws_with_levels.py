"""Fits of laws with levels, against nlme (R) by maximum likelihood.

The data are those of the R package nlme 3.1 (Pinheiro and Bates, Mixed-Effects Models in S and
S-PLUS, Springer, 2000). The figures are those of ``lme(..., method = "ML")``, by the call that
each case states.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from linear_groups import COLUMNS, LAW, differentiable, table
from scipy import stats
from study_sections import moments
from tiers import parameters

import popinv
from popinv.errors import ConfigError, DataError
from popinv.figures.individuals import individuals

DATA = Path(__file__).parent / "data"
PAGE = Path(__file__).parents[2] / "docs/laws.md"


def polynomial(z: torch.Tensor, times: Any) -> torch.Tensor:
    """Return z_0 + z_1 t + z_2 t^2 + ..."""
    t = torch.as_tensor(times)
    return sum(z[:, k : k + 1] * t**k for k in range(z.shape[1]))


def constant(z: torch.Tensor) -> torch.Tensor:
    """Return z itself, a single observation."""
    return 1.0 * z


def data_of(name: str) -> pd.DataFrame:
    return pd.read_csv(DATA / f"{name}.csv")


def fit(table: str | pd.DataFrame, law: dict[str, Any], **keys: Any) -> popinv.Result:
    """Return the fit of a table, or of the one with this name."""
    if isinstance(table, str):
        table = data_of(table).assign(other="u")
    law, noise = {"kind": "normal", **law}, {"kind": "isotropic"}
    keys = {"tests": False, "progress": False, **keys}
    simulator = polynomial if "time_column" in keys else constant
    return popinv.fit(table, simulator, law=law, noise=noise, **keys)


PIXEL = {
    "start": moments(intercept=(1080, 30), slope=(5, 2), curve=(-0.3, 0)),
    "correlations": True,
    "levels": {"Dog": ["intercept", "slope"], "Side": ["intercept"]},
}
CASES = {
    # lme(pixel ~ day + I(day^2), Pixel, list(Dog = ~ day, Side = ~ 1))
    "Pixel": (
        PIXEL,
        {"time_column": "day", "value_column": "pixel"},
        -413.6290954,
        {
            "intercept_mean": (1073.3077260, 9.81),
            "slope_mean": (6.1262549, 0.865),
            "curve_mean": (-0.3664693, 0.0342),
            "intercept_Dog_standard_deviation": (26.566834, 7.65),
            "slope_Dog_standard_deviation": (1.733957, 0.453),
            "intercept_slope_Dog_correlation": (-0.5589483, 0.27),
            "intercept_Side_standard_deviation": (16.839285, 4.11),
            "noise_standard_deviation": (8.923509, 0.738),
        },
    ),
    # lme(score ~ Machine, Machines, ~ 1 | Worker / Machine)
    "Machines": (
        {
            "start": moments(intercept=(60, 5)),
            "covariates": {"intercept": ["Machine_B", "Machine_C"]},
            "levels": {"Worker": ["intercept"], "Machine": ["intercept"]},
        },
        {"value_column": "score", "replicates": "rows"},
        -112.6347235,
        {
            "intercept_mean": (52.3555556, 2.335),
            "intercept_Machine_B_coefficient": (7.9666667, 2.045),
            "intercept_Machine_C_coefficient": (13.9166667, 2.045),
            "intercept_Worker_standard_deviation": (4.3644819, 1.532),
            "intercept_Machine_standard_deviation": (3.3970343, 0.712),
            "noise_standard_deviation": (0.9615767, 0.113),
        },
    ),
    # lme(yield ~ nitro, Oats, ~ 1 | Block / Variety)
    "Oats": (
        {
            "start": moments(intercept=(80, 20), nitro=(60, 0)),
            "levels": {"Block": ["intercept"], "Variety": ["intercept"]},
        },
        {"time_column": "nitro", "value_column": "yield"},
        -302.114504,
        {
            "intercept_mean": (81.8722222, 6.479),
            "nitro_mean": (73.6666667, 6.814),
            "intercept_Block_standard_deviation": (12.89670, 5.01),
            "intercept_Variety_standard_deviation": (11.03944, 3.03),
            "noise_standard_deviation": (12.74727, 1.227),
        },
    ),
}


@cache
def answer(name: str) -> popinv.Result:
    """Return the fit of a case, which several tests read."""
    law, keys, _, _ = CASES[name]
    return fit(name, law, **keys)


@pytest.fixture(
    params=["Pixel", *(pytest.param(name, marks=pytest.mark.full) for name in ("Oats", "Machines"))]
)
def case(request):
    return answer(request.param), *CASES[request.param][2:]


def test_the_likelihood_is_that_of_nlme(case):
    result, value, figures = case
    assert result.metrics["estimator"] == "likelihood"
    assert result.metrics["log_likelihood"] == pytest.approx(value, abs=0.02)
    table = result.summary()
    assert list(table.index) == list(figures)
    for name, (estimate, error) in figures.items():
        assert table["estimate"][name] == pytest.approx(estimate, abs=0.1 * error), name
        assert table["standard_error"][name] == pytest.approx(error, rel=0.06), name


# lme(..., method = "REML") of the same calls: log likelihood, and standard deviations.
RESTRICTED = {
    "Pixel": (
        -412.6051,
        {
            "intercept_Dog_standard_deviation": (28.369904, 8.5),
            "slope_Dog_standard_deviation": (1.843750, 0.50),
            "intercept_Side_standard_deviation": (16.824305, 4.1),
            "noise_standard_deviation": (8.989606, 0.74),
        },
    ),
    "Machines": (
        -107.8438,
        {
            "intercept_Worker_standard_deviation": (4.7810499, 1.86),
            "intercept_Machine_standard_deviation": (3.7295320, 0.84),
            "noise_standard_deviation": (0.9615771, 0.112),
        },
    ),
}


@pytest.mark.full
@parameters("name", ["Machines"], full=["Pixel"])
def test_the_restricted_likelihood_is_that_of_nlme(name):
    law, keys, _, _ = CASES[name]
    value, figures = RESTRICTED[name]
    result = fit(name, law, estimator="reml", **keys)
    assert result.answer.likelihood.restricted
    assert result.metrics["log_likelihood"] == pytest.approx(value, abs=0.02)
    for parameter, (estimate, error) in figures.items():
        found = result.summary()["estimate"][parameter]
        assert found == pytest.approx(estimate, abs=0.1 * error), parameter


def test_the_weak_prior_of_a_mean_is_as_wide_as_all_levels_together():
    law, keys, _, _ = CASES["Machines"]
    law = {**law, "start": moments(intercept=(1, 5)), "prior": {"intercept": {"mean": "weak"}}}
    result = fit("Machines", law, estimator="pseudo_likelihood", **keys)
    assert result.answer.prior == ("law intercept mean: normal (mean 1, standard deviation 50)",)


def test_known_quantities_of_the_members_are_in_the_tree_of_results():
    known = answer("Machines").to_datatree()["constant_data"]
    assert known["Machine_B"].dims == ("system", "member")
    assert set(known["Machine_B"].values.ravel()) == {0.0, 1.0}


def test_the_block_of_the_page_finds_the_answer_of_nlme():
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    law, keys, _, _ = CASES["Pixel"]

    def same(given: pd.DataFrame, simulator: Any, **page: Any) -> popinv.Result:
        """Return the fit of the case, whose arguments are those of the page."""
        assert page == {"law": {"kind": "normal", **law}, "noise": "isotropic", **keys}
        assert simulator is polynomial
        pd.testing.assert_frame_equal(given, data_of("Pixel"))
        return answer("Pixel")

    known = {"table": data_of("Pixel"), "curve": polynomial}
    exec(compile(block, "page", "exec"), {**known, "popinv": SimpleNamespace(fit=same)}, known)
    assert known["result"].metrics["log_likelihood"] == pytest.approx(CASES["Pixel"][2], abs=0.02)


def test_the_names_say_what_varies_where(case):
    told = case[0].summary()["description"]
    for name, text in told.items():
        (level,) = [each for each in case[0].model.law.level_names() if f"_{each}_" in name] or [""]
        deviation = name.startswith("intercept") and name.endswith("standard_deviation")
        assert text.endswith(f" at the level {level}") == (level != "" and "coef" not in name)
        assert not deviation or text.startswith("standard deviation of intercept at the level")


def test_the_systems_are_the_groups(case):
    result, _, _ = case
    observations = result.observations
    assert observations["y"].sizes["system"] == len(observations["system_id"])
    assert result.metrics["systems"] == len(observations["system_id"])
    again = popinv.api.result.Result(result.artefacts, result.answer)
    assert again.law.names == result.law.names


def test_a_saved_fit_of_groups_opens_again(tmp_path):
    result = answer("Oats")
    again = popinv.load(result.save(tmp_path / "oats"), polynomial)
    pd.testing.assert_frame_equal(again.summary(), result.summary())
    assert again.problem.members == result.problem.members == 3


@pytest.mark.full
def test_degrees_of_freedom_within_groups_are_those_of_lmertest():
    """Dates vary within the plots, blocks between them.

    ``lmer(Yield ~ Date + (1 | Block / Variety), Alfalfa)`` of lmerTest 3.1: standard errors and
    degrees of freedom, which are the same by Satterthwaite and by Kenward and Roger.
    """

    def of_dates(z: torch.Tensor, times: Any) -> torch.Tensor:
        shifted = (z[:, k : k + 1] * (torch.as_tensor(times) == k) for k in range(1, z.shape[1]))
        return sum(shifted, z[:, :1])

    start = moments(base=(1.7, 0.3), S1=(0, 0), S20=(0, 0), O7=(0, 0))
    found = popinv.fit(
        data_of("Alfalfa"),
        of_dates,
        law={"kind": "normal", "start": start, "levels": {"Block": ["base"], "Variety": ["base"]}},
        noise={"kind": "isotropic"},
        time_column="Date",
        value_column="Yield",
        estimator="reml",
        tests=False,
        progress=False,
    ).summary()
    estimates = np.array([1.78111, -0.44056, -0.20667, -0.09])
    errors = np.array([0.11282, *3 * [0.05657]])
    reach = stats.t.ppf(0.975, [6.08897, 51, 51, 51]) * errors
    means = found.iloc[:4]
    # The search ends within 0.001 standard errors; the degrees of freedom rest on differences.
    assert np.max(np.abs(means["estimate"] - estimates) / errors) < 0.005
    np.testing.assert_allclose((means["upper"] - means["lower"]) / 2, reach, rtol=0.01)


@pytest.mark.full
def test_the_order_of_the_rows_does_not_matter():
    law, keys, value, _ = CASES["Oats"]
    table = data_of("Oats").sample(frac=1, random_state=3)
    result = fit(table.reset_index(drop=True), law, **keys)
    assert result.metrics["log_likelihood"] == pytest.approx(value, abs=0.02)


@pytest.mark.parametrize(
    ("changes", "keys", "message"),
    [
        ({"levels": {"Dog": ["intercept", "slope"], "Paw": ["intercept"]}}, {}, "Paw"),
        (
            {"levels": {"Side": ["intercept", "slope"], "Dog": ["intercept"]}},
            {},
            "has 2 groups of the level 'Side'",
        ),
        ({}, {"system_column": "other"}, "'other', is none of the levels"),
    ],
)
def test_tables_that_do_not_fit_the_levels_are_refused(changes, keys, message):
    with pytest.raises(DataError, match=message):
        fit("Pixel", {**PIXEL, **changes}, time_column="day", value_column="pixel", **keys)


def test_an_array_has_no_levels():
    law, _, _, _ = CASES["Oats"]
    with pytest.raises(ConfigError, match="give a DataFrame with these columns"):
        popinv.fit(np.ones((8, 4)), polynomial, law={"kind": "normal", **law}, noise="isotropic")


def test_levels_that_are_the_same_units_are_refused():
    table = data_of("Oats")
    table["Plot"] = table["Variety"]
    law, keys, _, _ = CASES["Oats"]
    levels = {"Block": ["intercept"], "Variety": ["intercept"], "Plot": ["intercept"]}
    with pytest.raises(DataError, match="their effects cannot be told apart"):
        fit(table, {**law, "levels": levels}, **keys)


@pytest.fixture(scope="module")
def oats():
    """Return a fit of Oats without two plots, so that a group lacks a member."""
    law, keys, _, _ = CASES["Oats"]
    table = data_of("Oats")
    table = table[~((table["Block"] == "II") & (table["Variety"] == "Victory"))]
    return table, fit(table.reset_index(drop=True), law, **keys)


@pytest.mark.full
def test_the_posterior_of_each_member_is_its_best_linear_prediction(oats):
    table, result = oats
    found = result.posterior(law_and_noise="fixed", effective=150)
    assert found.sizes["system"] == 17
    assert "II, Victory" not in found["system"].values
    law = dict(zip(result.law.names, result.population["law"].values, strict=True))
    block, plot = (law[f"intercept_{name}_standard_deviation"] for name in ("Block", "Variety"))
    sigma = float(result.population["noise"][0])
    for name, own in table.groupby("Block"):
        n, same = len(own), np.equal.outer(own["Variety"].values, own["Variety"].values)
        covariance = block**2 * np.ones((n, n)) + plot**2 * same
        total = np.linalg.inv(covariance + sigma**2 * np.eye(n))
        mean = law["intercept_mean"] + law["nitro_mean"] * own["nitro"].values
        effect = covariance @ total @ (own["yield"].values - mean)
        variance = np.diag(covariance - covariance @ total @ covariance)
        for i, variety in enumerate(own["Variety"]):
            member = found.sel(system=f"{name}, {variety}", parameter="intercept")
            deviation = variance[i] ** 0.5
            expected = law["intercept_mean"] + effect[i]
            assert float(member["mean"]) == pytest.approx(expected, abs=0.2 * deviation)
            assert float(member["deviation"]) == pytest.approx(deviation, rel=0.15)


def test_each_member_is_told_in_the_order_of_the_table(oats):
    table, result = oats
    expected = list(dict.fromkeys(table["Block"] + ", " + table["Variety"]))
    found = result.posterior(law_and_noise="fixed", effective=20, chains=2)
    assert found["system"].values.tolist() == expected


def test_figures_show_members(oats):
    table, result = oats
    figures = result.plot("law", "individual_fits", "observations")
    assert set(figures) == {"law", "individual_fits", "observations"}
    loaded = {name: result.artefacts[name] for name in ("observations", "population", "check")}
    found = individuals(result.problem, loaded)
    assert len(found.names) == found.total == 17
    row = found.names.index("VI, Victory")
    times = np.unique(table["nitro"])
    own = table[(table["Block"] == "VI") & (table["Variety"] == "Victory")]
    np.testing.assert_allclose(found.observed[row, 0], own.sort_values("nitro")["yield"])
    lines = found.parameters["intercept"][row] + found.parameters["nitro"][row] * times
    np.testing.assert_allclose(found.individual[row], lines, rtol=1e-10)


@pytest.mark.full
def test_a_row_for_each_member_is_fitted_like_a_row_for_each_observation():
    def signal(z: torch.Tensor, design: torch.Tensor, times: Any) -> torch.Tensor:
        return z[:, :1] + z[:, 1:2] * design * torch.as_tensor(times)

    long = table(4, seed=3)
    wide = long.pivot(index=["site", "sample", "dose", "w"], columns="t", values="y")
    keys: dict[str, Any] = {"law": LAW, "noise": "isotropic", "tests": False, "progress": False}
    one = popinv.fit(long, signal, **COLUMNS, **keys)
    other = popinv.fit(wide.reset_index(), signal, design=["dose"], **keys)
    assert str(other).splitlines()[0] == str(one).splitlines()[0]
    difference = one.summary()["estimate"] - other.summary()["estimate"]
    assert np.abs(difference).max() < 1e-8
    assert other.metrics["log_likelihood"] == pytest.approx(one.metrics["log_likelihood"])


@pytest.mark.full
def test_a_column_of_groups_that_is_left_out_and_acts_is_named():
    data, rng = table(40, seed=3), np.random.default_rng(3)
    old = data["site"].map({site: rng.random() < 0.5 for site in data["site"].unique()})
    # One value in each site, and one in each sample, of which nothing is said.
    data = data.assign(kind=np.where(old, "old", "new"), note=data["site"] + data["sample"])
    data["y"] += 1.5 * old
    keys: dict[str, Any] = {"law": LAW, "noise": "isotropic", "progress": False}
    result = popinv.fit(data, differentiable, **COLUMNS, **keys)
    (told,) = [each for each in result.judgements if each.name == "Law"]
    assert told.verdict == "doubt"
    assert "A differs between the labels of kind" in told.finding
    assert "law.covariates: {a: [kind_" in told.finding
    assert list(result.observations["unused_name"].values) == ["kind"]
    panels = result.plot.individuals()["covariates"].axes
    assert "kind" in [ax.get_xlabel() for ax in panels]
