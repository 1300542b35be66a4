"""Figures of studies other than of one quantity at places: series, names, gaps, many parameters."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from studies import (
    LINE,
    PLACES,
    TIMES,
    Study,
    all_axes,
    assert_whole,
    full_study,
    labelled,
    line_study,
    numbers_study,
    observed,
    quantities_study,
    series_study,
    square_study,
    titled,
)
from tiers import parameters

from popinv.charts.matplotlib_writer import draw_panel, drawn
from popinv.charts.style import SYSTEMS, squared
from popinv.figures.arrangement import Arrangement, ObservedCurve
from popinv.figures.descent import draw_descent
from popinv.figures.draws import law_draws, plane
from popinv.figures.law import FieldDraws, MarginalDraws
from popinv.figures.marginals import Marginal, density_panel, is_wide
from popinv.figures.names import FIGURES
from popinv.figures.noise import deviations_panel
from popinv.figures.noise_statistics import NoiseComparison
from popinv.figures.observations import example_systems
from popinv.figures.surrogate import draw_surrogate_error


@pytest.fixture(scope="module")
def series() -> Study:
    return series_study()


@pytest.fixture(scope="module")
def quantities() -> Study:
    return quantities_study()


@pytest.fixture(scope="module")
def windows() -> Study:
    return quantities_study(windows=5)


@pytest.fixture(scope="module")
def numbers() -> Study:
    return numbers_study()


@pytest.fixture(scope="module")
def full() -> Study:
    return full_study()


# Some figures do without a truth in any study, and are drawn with it elsewhere.
@parameters(
    "kind, names",
    [("series", ("law", "noise_covariance")), ("numbers", ("examples",))],
    full=[(kind, FIGURES) for kind in ("series", "numbers", "quantities", "windows")],
)
def test_every_figure_can_be_drawn_with_and_without_a_truth(
    kind: str, names: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    study: Study = request.getfixturevalue(kind)
    own = study.without("truth", "noise_known", "intervals")
    for name in names:
        assert study.draw(name).get_suptitle()
        assert own.draw(name).get_suptitle()


@parameters(
    "kind, name",
    [("quantities", "observations")],
    full=[
        ("series", "law"),
        ("windows", "noise_covariance"),
        ("series", "observations"),
        ("series", "noise_covariance"),
        ("quantities", "examples"),
        ("numbers", "law"),
    ],
)
def test_nothing_is_left_outside_the_figure(
    kind: str, name: str, request: pytest.FixtureRequest
) -> None:
    study: Study = request.getfixturevalue(kind)
    assert_whole(study.draw(name))


def test_observations_over_time_have_bands_at_each_place(series: Study) -> None:
    observations = series.loaded["observations"]
    y = observations["y"].values
    sample = np.random.default_rng(0).normal(size=y.shape)
    figure = observed(observations, [sample] * 3)
    for i, place in enumerate(PLACES):
        top = titled(figure, f"x = {place:.3g}")
        rows = slice(i * len(TIMES), (i + 1) * len(TIMES))
        np.testing.assert_allclose(
            labelled(top, "data, 5, 50, 95 %"), [TIMES, np.median(y[:, rows], axis=0)]
        )
        median = np.median(sample[:, rows], axis=0)
        np.testing.assert_allclose(labelled(top, "model, 5, 50, 95 %"), [TIMES, median])
    assert titled(figure, "x = 0.3").get_ylabel() == "observed displacement [mm]"


def test_quantities_are_shown_in_their_own_standard_deviations(quantities: Study) -> None:
    observations = quantities.loaded["observations"]
    y = observations["y"].values
    sets = [y * factor for factor in (2.0, 3.0, 5.0)]
    figure = observed(observations, sets)
    top, bottom = all_axes(figure)
    standard = (y - y.mean(axis=0)) / y.std(axis=0)
    np.testing.assert_allclose(
        labelled(top, "data, 5, 50, 95 %")[1], np.median(standard, axis=0), atol=1e-9
    )
    # The median is that of a third of the middle data set, below the least of the three.
    np.testing.assert_allclose(labelled(bottom, "50 %")[1], -2.0)
    names = [text.get_text().split("\n")[0] for text in bottom.get_xticklabels()]
    assert names == ["x", "x squared", "x lag 1", "x lag 2"]
    assert f"{y[:, 1].mean():.3g} ± " in bottom.get_xticklabels()[1].get_text()


def test_gaps_are_left_out_of_the_quantiles() -> None:
    observations = line_study(missing=0.3).loaded["observations"]
    y = observations["y"].values
    assert np.isnan(y).any()
    top, _ = all_axes(observed(observations, [y] * 3))
    shown = labelled(top, "data, 5, 50, 95 %")[1]
    for i in range(len(LINE)):
        assert shown[i] == pytest.approx(np.median(y[~np.isnan(y[:, i]), i]))


def test_examples_show_what_was_seen_and_what_is_true(series: Study) -> None:
    y = series.loaded["observations"]["y"].values
    clean = series.loaded["truth"]["y_clean"].values
    chosen = example_systems(y, len(SYSTEMS))
    ax = titled(series.draw("examples"), "x = 1")
    lines = {(line.get_color(), line.get_linestyle()): line for line in ax.get_lines()}
    rows = slice(2 * len(TIMES), 3 * len(TIMES))
    for system, colour in zip(chosen, SYSTEMS, strict=True):
        np.testing.assert_allclose(lines[colour, "--"].get_ydata(), clean[system, rows])
        np.testing.assert_allclose(lines[colour, "None"].get_ydata(), y[system, rows])
    assert titled(series.draw("examples"), "x = 0.3").get_ylabel() == "displacement [mm]"


def test_examples_of_own_data_show_observations_alone(series: Study) -> None:
    figure = series.without("truth").draw("examples")
    assert "noise-free" not in figure.get_suptitle()
    styles = {line.get_linestyle() for ax in all_axes(figure) for line in ax.get_lines()}
    assert "--" not in styles


def test_examples_on_a_square_are_maps() -> None:
    square = square_study()
    y = square.loaded["observations"]["y"].values
    clean = square.loaded["truth"]["y_clean"].values
    figure = square.draw("examples")
    for system in example_systems(y, len(SYSTEMS)):
        for kind, values in (("without noise", clean), ("observed", y)):
            (dots,) = titled(figure, f"system {system}, {kind}").collections
            np.testing.assert_allclose(dots.get_array(), values[system])


def test_examples_are_spread_over_the_population_whatever_the_units() -> None:
    level = np.linspace(0, 1, 11)
    y = np.column_stack([level, -1e6 + 0 * level, 1e-3 * level])
    y[3, 0] = np.nan
    chosen = example_systems(y, 3)
    assert np.all(np.diff(level[chosen]) > 0.1)


def test_a_field_has_its_name_and_the_parameters_beside_it(series: Study) -> None:
    names = [str(n) for n in series.loaded["check"]["parameter"].values]
    draws = law_draws(series.problem, series.loaded["population"], series.loaded["truth"], names)
    assert isinstance(draws, FieldDraws)
    assert "stiffness" in draws.quantity
    (damping,) = draws.beside
    assert damping.name == "damping"
    # Lognormal, exp(-1) in the middle: sampling error of a median of 20000 is below 2 %.
    assert np.median(damping.true) == pytest.approx(np.exp(-1), rel=0.02)
    figure = series.draw("law")
    assert titled(figure, "Damping").get_xscale() == "log"
    texts = [ax.get_title(loc="left") + ax.get_xlabel() for ax in all_axes(figure)]
    assert not any("permeability" in text for text in texts)


def test_solves_of_a_field_are_placed_by_the_field_alone(series: Study) -> None:
    check, names = series.loaded["check"], ["any"] * 6
    rounds = [series.loaded[f"estimate_{r}"] for r in range(3)]
    placed = plane(series.problem, series.loaded["population"], rounds, check, names)
    other = check.copy(deep=True)
    other["z"][:, -1] = 7.0
    again = plane(series.problem, series.loaded["population"], rounds, other, names)
    np.testing.assert_array_equal(placed.solves, again.solves)
    assert "stiffness" in placed.labels[0]


def test_each_round_has_the_population_of_its_estimate(quantities: Study) -> None:
    check = quantities.loaded["check"]
    names = [str(n) for n in check["parameter"].values]
    rounds = [quantities.loaded[f"estimate_{r}"] for r in range(3)]
    placed = plane(quantities.problem, quantities.loaded["population"], rounds, check, names)
    assert len(placed.populations) == 4
    # Means of log z fall with the rounds, those of log10 z with them.
    column = list(placed.labels).index("log₁₀ of the coupling")
    means = [population[:, column].mean() for population in placed.populations]
    expected = [e["alpha"].values[1] for e in (*rounds, quantities.loaded["population"])]
    np.testing.assert_allclose(np.log(10) * np.array(means), expected, atol=0.03)
    assert placed.title == ": the two of 4 parameters that vary most"


def test_density_of_a_wide_quantity_is_that_of_its_logarithm() -> None:
    z = np.exp(np.random.default_rng(0).normal(1.0, 1.0, 20000))
    assert is_wide(z)
    assert not is_wide(z - 1)
    assert not is_wide(1 + 0.1 * z)
    ax = Figure().subplots()
    draw_panel(ax, density_panel(Marginal("rate", "1/s", z, None)))
    x, density = labelled(ax, "recovered")
    assert np.trapezoid(density, np.log(x)) == pytest.approx(1, abs=0.01)
    # The mode of a normal density, to the width of the smoothing.
    assert np.log(x[density.argmax()]) == pytest.approx(1.0, abs=0.2)
    assert ax.get_xlabel() == "rate [1/s]"
    assert ax.get_ylabel() == "density of the logarithm"


def test_many_parameters_of_a_law_share_axes(numbers: Study) -> None:
    figure = numbers.draw("law")
    law = numbers.loaded["population"]["law"].values
    means, deviations = titled(figure, "Means"), titled(figure, "Standard deviations")
    np.testing.assert_allclose(labelled(means, "recovered")[0], law[:20])
    np.testing.assert_allclose(labelled(deviations, "recovered")[0], law[20:])
    assert [text.get_text() for text in means.get_yticklabels()][:2] == ["rate 0", "rate 1"]
    names = [str(n) for n in numbers.loaded["check"]["parameter"].values]
    draws = law_draws(numbers.problem, numbers.loaded["population"], None, names)
    assert isinstance(draws, MarginalDraws)
    assert (len(draws.marginals), draws.count) == (6, 20)


def test_noise_over_time_is_shown_by_its_autocorrelation(series: Study) -> None:
    figure = series.draw("noise_covariance")
    lag, correlation = labelled(titled(figure, "Autocorrelation at x = 0.6"), "true")
    step = TIMES[1] - TIMES[0]
    np.testing.assert_allclose(lag, step * np.arange(len(TIMES)), atol=1e-5)
    np.testing.assert_allclose(correlation, 0.6 ** np.arange(len(TIMES)), atol=1e-12)
    ax = titled(figure, "Standard deviation of the noise")
    true = np.repeat([0.05, 0.08, 0.12], len(TIMES))
    np.testing.assert_allclose(labelled(ax, "true")[1], true)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["x = 0.3", "x = 0.6", "x = 1"]
    heat = titled(figure, "Recovered")
    assert [text.get_text() for text in heat.get_yticklabels()] == ["x = 0.3", "x = 0.6", "x = 1"]


def test_covariance_of_unequal_quantities_is_scaled(quantities: Study) -> None:
    figure = quantities.draw("noise_covariance")
    estimate = quantities.loaded["population"]["noise_covariance"].values
    true = quantities.loaded["truth"]["noise_covariance"].values
    deviation = np.sqrt(np.diag(estimate))
    for title, matrix in (("Recovered", estimate), ("True", true)):
        (image,) = titled(figure, title).images
        np.testing.assert_allclose(image.get_array(), matrix / np.outer(deviation, deviation))
    ax = titled(figure, "Standard deviation")
    assert ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.get_xticklabels()][1] == "x squared"


def test_negative_empirical_variances_are_named() -> None:
    noise = NoiseComparison(np.eye(2), np.diag([1.0, -0.2]))
    layout = Arrangement((ObservedCurve("", np.arange(2), np.arange(2.0)),), "")
    ax = Figure().subplots()
    draw_panel(ax, deviations_panel(noise, layout, "1"))
    np.testing.assert_allclose(labelled(ax, "empirical, 0 where negative")[1], [1.0, 0.0])


def test_of_many_noise_parameters_a_few_paths_are_drawn(full: Study) -> None:
    population = full.loaded["population"]
    figure = drawn(draw_descent(population, full.loaded["truth"]))
    ax = titled(figure, "noise: 24 of 300 correlations")
    paths = [line for line in ax.get_lines() if len(line.get_xdata()) == 12]
    assert len(paths) == 24
    first = population["noise_path"].values[:, 25]
    np.testing.assert_allclose(paths[0].get_ydata(), first)
    assert titled(figure, "noise: 24 of 25 standard deviations")
    assert titled(figure, "law: a mean")


def test_full_noise_is_shown_by_its_deviations_with_intervals(full: Study) -> None:
    ax = titled(full.draw("noise_covariance"), "Standard deviation of the noise")
    (container,) = (each for each in ax.containers if isinstance(each, ErrorbarContainer))
    gammas = full.loaded["population"]["gamma_draws"].values
    deviations = np.array([full.problem.noise.to_natural(g)[:25] for g in gammas])
    (bars,) = container.lines[2]
    half = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
    np.testing.assert_allclose(half, 1.96 * deviations.std(axis=0, ddof=1), rtol=1e-6)


def test_many_rounds_have_room_for_their_numbers(series: Study) -> None:
    check = series.loaded["check"]
    error = np.array([np.nan, 0.5, 0.2, 0.05, np.nan, np.nan, np.nan, np.nan, np.nan, 0.05])
    many = check.drop_dims("round_number").assign(surrogate_error=("round_number", error))
    figure = drawn(draw_surrogate_error(many, series.loaded["surrogate"], threshold=0.1))
    ticks = [text.get_text() for text in all_axes(figure)[0].get_xticklabels()]
    assert ticks == ["0", "1", "2", "3", *(f"({i})" for i in range(4, 9)), "check"]
    assert re.search("in brackets", all_axes(figure)[0].get_xlabel())


def test_unit_of_a_square() -> None:
    assert [squared(units) for units in ("1", "m", "g/l")] == ["1", "m²", "(g/l)²"]
