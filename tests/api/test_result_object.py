"""The result of a fit: its tables, figures, draws and files."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import boys
import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

import popinv
from popinv.errors import ConfigError, DataError
from popinv.judgement.judgements import judgements

NAMES = [
    "intercept_mean",
    "slope_mean",
    "intercept_standard_deviation",
    "slope_standard_deviation",
    "intercept_slope_correlation",
    "noise_standard_deviation",
]


def test_the_import_is_light():
    code = (
        "import sys, popinv; "
        "heavy = {'torch', 'pandas', 'numpy', 'xarray', 'matplotlib', 'pydantic'}; "
        "offered = {'fit', 'load', 'Result'} & set(dir(popinv)); "
        "print(sorted(heavy & set(sys.modules)), sorted(offered)); "
        "popinv.fit; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] ['Result', 'fit', 'load']\nFalse\n"


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'fti'"):
        _ = popinv.fti


def test_the_summary_has_the_numbers_of_the_metrics(boys_result):
    table = boys_result.summary()
    assert list(table.index) == NAMES
    assert list(table["kind"]) == ["law"] * 5 + ["noise"]
    assert list(table["units"]) == ["cm"] * 4 + ["1", "cm"]
    wanted = boys_result.answer.parameters
    assert [(p.value, p.lower, p.upper) for p in wanted] == list(
        table[["estimate", "lower", "upper"]].itertuples(index=False, name=None)
    )
    assert table.loc["slope_mean", "description"] == "mean of slope"


def test_standard_errors_are_those_of_the_natural_values(boys_result):
    table, likelihood = boys_result.summary(), boys_result.artefacts["likelihood"]
    errors = np.sqrt(np.diag(likelihood["covariance"].values))
    # A mean is its own coordinate, and a deviation is carried by its logarithm.
    np.testing.assert_allclose(table["standard_error"].iloc[:2], errors[:2])
    deviations = table.iloc[[2, 3, 5]]
    np.testing.assert_allclose(
        deviations["standard_error"], deviations["estimate"] * errors[[2, 3, 5]], rtol=1e-6
    )
    correlation = table.iloc[4]
    slope = 1 - correlation["estimate"] ** 2
    assert correlation["standard_error"] == pytest.approx(slope * errors[4], rel=1e-6)


def test_checks_are_those_of_the_report(boys_result):
    table, wanted = boys_result.check(), judgements(boys_result.answer)
    assert list(table.index) == [each.name for each in wanted]
    assert list(table["verdict"]) == [each.verdict for each in wanted]
    assert list(table["finding"]) == [each.finding for each in wanted]


def test_a_result_prints_its_table_and_its_doubts(boys_result):
    text, html = repr(boys_result), boys_result._repr_html_()
    assert text.startswith("26 systems with 9 observations each. Estimator: ")
    assert "intercept_mean" in text
    assert "149.4" in text
    assert "146.1 to 152.6" in text
    assert max(map(len, text.splitlines())) <= 110
    # The log likelihood and the criteria that follow from it, of six parameters and 26 systems.
    (line,) = re.findall(r"Log likelihood (\S+), AIC (\S+), BIC (\S+)\.", text)
    value, aic, bic = map(float, line)
    assert aic == pytest.approx(-2 * value + 2 * 6, abs=0.03)
    assert bic == pytest.approx(-2 * value + 6 * np.log(26), abs=0.03)
    assert f"AIC {line[1]}" in html
    assert "<table" in html
    assert "149.4" in html
    # The boys do not grow along lines, and what is left over is correlated in time.
    assert {"Noise", "Simulator"} <= {
        each.name for each in boys_result.judgements if each.verdict == "doubt"
    }
    # Each doubt is told, and nothing else is.
    answer = boys_result.answer
    stopped = replace(answer, choice=replace(answer.choice, arrived=False))
    for told in (answer, stopped):
        result = popinv.Result(boys_result.artefacts, told)
        text, html = repr(result), result._repr_html_()
        doubts = [each.name for each in result.judgements if each.verdict == "doubt"]
        assert re.findall(r"^  doubt: (.*?)\.", text, re.MULTILINE) == doubts
        assert re.findall(r"<b>(.*?)\.</b>", html) == doubts
        assert (f"{len(doubts)} doubt" in text) == bool(doubts)
        assert ("Convergence" in doubts) == (not told.choice.arrived)


@pytest.mark.full
def test_figures_by_name(boys_result, monkeypatch):
    monkeypatch.setattr("popinv.api.figures._DPI", 20)
    figures = boys_result.plot()
    assert list(figures) == [
        "observations", "examples", "individual_fits", "law", "noise_covariance", "descent"
    ]  # fmt: skip
    assert all(isinstance(figure, Figure) for figure in figures.values())
    law = boys_result.plot("law")
    assert list(law) == ["law"]
    assert law._repr_html_().count("data:image/png;base64,") == 1
    with pytest.raises(ConfigError, match=r"no figure 'lav'. Did you mean 'law'"):
        boys_result.plot("lav")
    with pytest.raises(ConfigError, match="no figure 'surrogate_error'"):
        boys_result.plot("surrogate_error")
    # Figures are made without pyplot, so that none is left open.
    assert "matplotlib.pyplot" not in sys.modules or not matplotlib.pyplot.get_fignums()


@pytest.fixture(scope="module")
def tree(boys_result) -> xr.DataTree:
    return boys_result.to_datatree()


def test_draws_are_on_the_natural_scale_with_units(tree, boys_result):
    posterior, table = tree["posterior"].to_dataset(), boys_result.summary()
    assert list(posterior.data_vars) == NAMES
    for name, draws in posterior.data_vars.items():
        assert draws.dims == ("chain", "draw")
        assert draws.attrs["units"] == table.loc[name, "units"]
        # 200 draws of the estimate's error.
        error = table.loc[name, "standard_error"]
        assert abs(float(draws.median()) - table.loc[name, "estimate"]) < 0.3 * error
        assert 0.8 < float(draws.std()) / error < 1.25
    assert "no posterior" in posterior.attrs["draws"]


def test_every_dimension_has_a_coordinate_and_every_variable_a_unit(tree):
    assert set(tree.children) == {"posterior", "posterior_predictive", "observed_data"}
    for group in tree.children.values():
        dataset = group.to_dataset()
        assert set(dataset.dims) <= set(dataset.coords)
        for variable in dataset.variables.values():
            assert {"units", "long_name"} <= set(variable.attrs)


def test_observations_have_systems_and_times(tree):
    seen, wide = tree["observed_data"].to_dataset()["height"], boys.wide()
    assert seen.dims == ("system", "time")
    np.testing.assert_array_equal(seen["system"], np.arange(1, 27))
    np.testing.assert_array_equal(seen["time"], wide.columns)
    np.testing.assert_array_equal(seen, wide.sort_index())
    assert seen.attrs["units"] == "cm"
    predicted = tree["posterior_predictive"].to_dataset()["height"]
    assert predicted.dims == ("chain", "draw", "system", "time")
    assert np.isfinite(predicted).all()
    # The variance of a line with correlated intercept and slope, and of the noise.
    first, second, r, noise = 7.924, 1.647, 0.64, 0.66
    t = predicted["time"].values
    variance = first**2 + 2 * r * first * second * t + (second * t) ** 2 + noise**2
    ratios = predicted.var(("chain", "draw", "system")) / variance
    assert 0.85 < ratios.min() < ratios.max() < 1.2


def test_the_tree_may_leave_predictions_out(boys_result):
    assert "posterior_predictive" not in boys_result.to_datatree(predictive=False).children


def test_a_saved_result_is_the_same_again(boys_result, tmp_path):
    folder = boys_result.save(tmp_path / "boys")
    opened = popinv.load(folder)
    pd.testing.assert_frame_equal(opened.summary(), boys_result.summary())
    pd.testing.assert_frame_equal(opened.check(), boys_result.check())
    assert opened.metrics == boys_result.metrics
    assert opened.name == "boys"
    assert set(opened.artefacts) == set(boys_result.artefacts)
    for name, artefact in boys_result.artefacts.items():
        stored = opened.artefacts[name].drop_attrs(deep=False)
        xr.testing.assert_identical(stored, artefact.drop_attrs(deep=False))
    # It is a folder as the workflow leaves them.
    names = {path.name for path in folder.iterdir()}
    assert {"metrics.json", "population.zarr.zip", "descent.zarr.zip"} <= names


def test_a_function_is_not_stored_but_may_be_given_again(boys_result, tmp_path):
    folder = boys_result.save(tmp_path / "boys")
    opened = popinv.load(folder)
    with pytest.raises(ConfigError, match=r"popinv\.load\(folder, simulator=function\)"):
        opened.plot("law")
    assert "posterior_predictive" not in opened.to_datatree().children
    with pytest.raises(ConfigError, match="was not stored"):
        opened.to_datatree(predictive=True)
    with pytest.raises(ConfigError, match=r"the simulator is not that of the result: for \(\w+, "):
        popinv.load(folder, simulator=lambda z, times: 1.001 * boys.line(z, times))
    whole = popinv.load(folder, simulator=boys.line)
    assert list(whole.plot("law")) == ["law"]
    xr.testing.assert_identical(
        whole.to_datatree()["posterior_predictive"].to_dataset(),
        boys_result.to_datatree()["posterior_predictive"].to_dataset(),
    )


def test_a_folder_is_not_overwritten_by_mistake(boys_result, tmp_path):
    folder = boys_result.save(tmp_path / "boys")
    with pytest.raises(DataError, match=r"is there already; .* overwrite=True"):
        boys_result.save(folder)
    opened = popinv.load(folder)
    opened.save(folder, overwrite=True)
    assert popinv.load(folder).metrics == boys_result.metrics


def test_folders_without_a_result_are_told_of(boys_result, tmp_path):
    results = tmp_path / "results"
    folder = boys_result.save(results / "boys")
    with pytest.raises(DataError, match=r"there is no such folder\. Did you mean 'boys'"):
        popinv.load(results / "boy")
    with pytest.raises(DataError, match=r"holds the studies boys; .*popinv\.load\('.*boys'\)"):
        popinv.load(results)
    (folder / "metrics.json").unlink()
    with pytest.raises(DataError, match="the study is not finished"):
        popinv.load(folder)
    with pytest.raises(DataError, match="holds no result"):
        popinv.load(tmp_path)


def test_a_damaged_result_is_refused(boys_result, tmp_path):
    folder = boys_result.save(tmp_path / "boys")
    store = folder / "population.zarr.zip"
    content = store.read_bytes()
    store.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"population\.zarr.zip"):
        popinv.load(folder).summary()


def test_the_influence_of_a_boy_is_that_of_a_fit_without_him(boys_result):
    table = boys_result.influence()
    assert len(table) == 26
    assert (np.diff(table["size [standard errors]"]) <= 0).all()
    assert set(table.index) == set(boys_result.observations["system_id"].values)
    assert table["steps to forget"].iloc[-1] <= table["steps to forget"].iloc[0]
    most, whole = str(table.index[0]), boys_result.summary()
    others = boys.table()
    others = others[others["Subject"].astype(str) != most]
    without = boys.fit(others, tests=False).summary()["estimate"]
    moved = (without - whole["estimate"]) / whole["standard_error"]
    for name in NAMES:
        predicted = table.loc[most, f"{name.removeprefix('noise_')}: shift [standard errors]"]
        # The most influential boy moves law and noise by most of a standard error.
        assert moved[name] == pytest.approx(predicted, abs=0.3), name
    assert moved.abs().max() > 0.4
