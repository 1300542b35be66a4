"""Pairs of parameters: contours, correlations with intervals, bands, and what figures show."""

from __future__ import annotations

import numpy as np
import pytest
from studies import LINE, Study, all_axes, at_places, make_study

from popinv.figures.draws import law_draws
from popinv.figures.law import MarginalDraws
from popinv.figures.marginals import Marginal, density_of
from popinv.figures.pairs import correlations_of, joint_of
from popinv.population.constraints import REAL
from popinv.population.laws.free_form import FreeFormLaw
from popinv.population.laws.gaussian import GaussianLaw
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.report.answer_charts import law_charts


def study_of(law, alpha: np.ndarray, names: list[str]) -> Study:
    noise = IsotropicNoise(len(LINE))
    return make_study(law, alpha, noise, np.log([0.2]), at_places(LINE), names=names)


@pytest.fixture(scope="module")
def correlated() -> Study:
    names = [f"parameter_{i}" for i in range(3)]
    law = GaussianLaw(names, [REAL] * 3, groups=[names])
    return study_of(law, law.from_natural([0, 1, 2, 1, 0.5, 2, 0.6, -0.3, 0.2]), names)


@pytest.fixture(scope="module")
def free() -> Study:
    names = ["level", "slope"]
    law = FreeFormLaw(names, [REAL, REAL], 5, 1.0, True)
    alpha = np.zeros(len(law.names))
    alpha[law.names.index("slope_on_level_quadratic")] = 1.0
    return study_of(law, alpha, names)


def pairs_of(study: Study) -> MarginalDraws:
    names = [f"parameter_{i}" for i in range(study.problem.law.d_z)]
    return law_draws(study.problem, study.loaded["population"], study.loaded["truth"], names)


def test_contours_hold_the_stated_share_of_a_normal_law():
    draws = np.random.default_rng(1).standard_normal((400_000, 2)) @ np.array([[1, 0.6], [0, 0.8]])
    joint = joint_of(Marginal("a", "1", draws[:, 0], None), Marginal("b", "1", draws[:, 1], None))
    x, y = np.meshgrid(joint.x, joint.y)
    radius = (x**2 - 1.2 * x * y + y**2) / (1 - 0.6**2)
    wanted = 1 - np.exp(-radius / 2)
    near = radius < 6
    # Smoothing widens the density slightly.
    assert np.abs(joint.recovered - wanted)[near].max() < 0.05


def test_correlations_have_the_intervals_of_their_spread():
    rng = np.random.default_rng(2)
    e = rng.standard_normal((4000, 2))

    def drawn(b: float) -> np.ndarray:
        return np.column_stack([e[:, 0], b * e[:, 0] + e[:, 1]])

    moved = 0.75 + 0.1 * rng.standard_normal(400)
    found = correlations_of(drawn(0.75), np.array([drawn(b) for b in moved]), drawn(0.5))
    assert found.estimate[0, 1] == pytest.approx(0.6, abs=0.02)
    # atanh r = asinh b
    half = (np.arctanh(found.upper[0, 1]) - np.arctanh(found.lower[0, 1])) / 2
    assert half == pytest.approx(1.96 * 0.1 / np.sqrt(1 + 0.75**2), rel=0.1)
    assert found.in_words(0, 1)[0] == f"{found.estimate[0, 1]:.2f}"
    assert len(found.in_words(0, 1)) == 3


def test_correlations_of_a_gaussian_law_are_its_own(correlated: Study):
    found = pairs_of(correlated).pairs.correlations
    population = correlated.loaded["population"]
    at = {"law_parameter": "parameter_0_parameter_1_correlation"}
    assert found.estimate[1, 0] == pytest.approx(float(population["law"].sel(at)), abs=1e-9)
    low, high = (float(population[f"law_{end}"].sel(at)) for end in ("lower", "upper"))
    assert found.lower[1, 0] == pytest.approx(low, abs=0.03)
    assert found.upper[1, 0] == pytest.approx(high, abs=0.03)


def test_band_of_a_density_is_that_of_its_mean():
    # A density whose mean alone is uncertain moves by its slope.
    e = np.random.default_rng(3).standard_normal(20_000)
    shifts = 0.1 * np.random.default_rng(4).standard_normal(300)
    varied = np.array([e, *(e + shift for shift in shifts)])
    density = density_of(Marginal("a", "1", e, None, varied))
    low, high = density.band
    i = np.argmin(np.abs(density.x - 1.0))
    slope = 1.0 * np.exp(-0.5) / np.sqrt(2 * np.pi)
    assert high[i] - low[i] == pytest.approx(2 * 1.96 * 0.1 * slope, rel=0.2)
    assert np.all(low <= density.recovered)
    assert np.all(high >= density.recovered)


def test_figure_has_densities_contours_and_numbers(correlated: Study):
    figure = correlated.draw("law")
    texts = [text.get_text() for ax in all_axes(figure) for text in ax.texts]
    words = pairs_of(correlated).pairs.correlations.in_words(0, 1)
    assert words[0] in texts
    assert "\n".join(words[1:]) in texts
    # Nine panels of pairs, and a strip for each of three means and three deviations.
    assert len(all_axes(figure)) == 15


def test_report_has_the_same_pairs_and_correlations(correlated: Study):
    draws = pairs_of(correlated)
    charts = {chart.name: chart for chart in law_charts(draws)}
    contours = [each for each in charts["pairs"].figure.data if each.type == "contour"]
    assert len(contours) == 6
    joint = joint_of(draws.marginals[0], draws.marginals[1])
    np.testing.assert_allclose(contours[0].z, joint.recovered, atol=1e-3)
    told = draws.pairs.correlations.in_words(1, 0)
    titles = [each.text for each in charts["pairs"].figure.layout.annotations]
    assert titles[0] == f"{told[0]} ({told[1]})"


def test_laws_without_dependence_have_no_pairs():
    names = ["a", "b"]
    law = GaussianLaw(names, [REAL] * 2)
    assert pairs_of(study_of(law, np.array([0.0, 1.0, -1.0, 0.0]), names)).pairs is None


def test_of_many_parameters_the_six_that_vary_most_are_shown():
    names = [f"parameter_{i}" for i in range(8)]
    law = GaussianLaw(names, [REAL] * 8, groups=[names[:2]])
    deviations = [1.0] * 6 + [0.01] * 2
    study = study_of(law, law.from_natural([5.0] * 8 + deviations + [0.5]), names)
    draws = pairs_of(study)
    assert len(draws.pairs.marginals) == 6
    assert draws.count == 8
    assert [m.name for m in draws.pairs.marginals] == names[:6]


def test_coefficients_of_a_free_form_law_are_not_shown(free: Study):
    for name in ("law", "descent"):
        figure = free.draw(name)
        titles = [ax.get_title(loc="left") for ax in all_axes(figure)]
        assert not any("shape" in title or "quadratic" in title for title in titles), titles
