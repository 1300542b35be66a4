"""The parameters of single systems of a result: by name, with intervals, as arrays and a figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import popinv
from popinv.errors import ConfigError
from popinv.sections.tables import read_frame

DATA = Path(__file__).parents[2] / "config/examples/real_data"


@pytest.fixture(scope="module")
def posterior(boys_result):
    return boys_result.posterior(law_and_noise="fixed", effective=100, chains=2)


def names_of(result: popinv.Result) -> list[str]:
    return [parameter.name for parameter in result.model.forward.parameters()]


def test_each_system_has_its_name_and_its_interval(posterior, boys_result):
    table = dict.fromkeys(read_frame(DATA / "Oxboys.csv")["Subject"])
    assert posterior["system"].values.tolist() == list(table)
    told = boys_result.to_datatree(predictive=False)["observed_data"]
    assert told["system"].values.astype(str).tolist() == list(table)
    assert list(posterior["parameter"].values) == names_of(boys_result)
    assert (posterior["lower"] < posterior["mean"]).all()
    assert (posterior["mean"] < posterior["upper"]).all()
    assert posterior["z"].dims == ("draw", "system", "parameter")


def test_means_are_those_of_the_linear_model(posterior, boys_result):
    """For a normal law and a linear model the posterior is normal, with a mean in closed form."""
    problem, answer = boys_result.problem, boys_result.population
    law = dict(zip(answer["law_parameter"].values, answer["law"].values, strict=True))
    names = names_of(boys_result)
    mean = np.array([law[f"{name}_mean"] for name in names])
    sizes = np.array([law[f"{name}_standard_deviation"] for name in names])
    (correlation,) = (value for name, value in law.items() if str(name).endswith("_correlation"))
    prior = np.outer(sizes, sizes) * np.array([[1, correlation], [correlation, 1]])
    import torch

    with torch.no_grad():
        at = problem.simulate(torch.tensor(np.vstack([np.zeros(2), np.eye(2)]))).numpy()
    design = (at[1:] - at[0]).T
    y = problem.data - at[0]
    seen = problem.conditions.present
    gamma = answer["noise_covariance"].values
    order = {name: i for i, name in enumerate(posterior["system"].values)}
    for n, name in enumerate(boys_result.observations["system_id"].values):
        rows = np.asarray(seen[n], dtype=bool)
        g = design[rows]
        covariance = g @ prior @ g.T + gamma[np.ix_(rows, rows)]
        gain = np.linalg.solve(covariance, g @ prior).T
        exact = mean + gain @ (y[n, rows] - g @ mean)
        spread = np.sqrt(np.diag(prior - gain @ g @ prior))
        # About a hundred independent draws.
        assert np.all(np.abs(posterior["mean"].values[order[name]] - exact) < 0.5 * spread)


def test_figures_show_the_fits_of_single_systems(boys_result):
    figures = boys_result.plot.individuals()
    assert list(figures) == ["worst", "best", "predicted", "residuals"]
    names = set(boys_result.observations["system_id"].values.astype(str))
    shown = [
        {axes.get_title(loc="left") for axes in figures[each].axes} - {""}
        for each in ("worst", "best")
    ]
    assert all(len(titles) == 9 and titles <= names for titles in shown)
    assert not shown[0] & shown[1]


@pytest.mark.full
def test_a_figure_shows_them(boys_result):
    figures = boys_result.plot.posterior(law_and_noise="fixed", effective=20, chains=2)
    assert list(figures) == ["posterior"]
    assert isinstance(figures["posterior"], Figure)
    assert "data:image/png;base64," in figures._repr_html_()


def test_settings_are_those_of_the_use(boys_result):
    with pytest.raises(ConfigError, match=r"effectiv: .*the settings are law_and_noise, effective"):
        boys_result.posterior(effectiv=100)


def test_what_a_study_has_sampled_is_not_sampled_again(posterior, boys_result):
    raw = posterior.sel(system=boys_result.observations["system_id"].values)
    stored = raw.drop_vars("system").assign_coords(system_id=("system", raw["system"].values))
    artefacts = {**boys_result.artefacts, "posterior": stored}
    told = popinv.Result(artefacts, boys_result.answer).posterior()
    np.testing.assert_array_equal(told["mean"], posterior["mean"])
    np.testing.assert_array_equal(told["system"], posterior["system"])
