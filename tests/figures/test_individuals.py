"""Individual fits: posterior modes, predictions, and what is drawn of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from studies import (
    Study,
    line_study,
    numbers_study,
    quantities_study,
    series_study,
    square_study,
    vector_study,
)
from tiers import parameters

from popinv.charts.description import Cloud, Line, Points
from popinv.charts.matplotlib_writer import drawn
from popinv.figures.arrangement import arrangement
from popinv.figures.goodness_of_fit import Goodness, draw_individual_fits
from popinv.figures.individuals import Individuals, individuals
from popinv.figures.predictive_check import Correction, PredictiveCheck, bins_of
from popinv.figures.simulated import DataSets
from popinv.inference.answer.result import parameters_of
from popinv.inference.density.problem import replicated_simulator
from popinv.population.noise.terms import replicated_noise


def systems_of(study: Study) -> Individuals:
    found = individuals(study.problem, study.loaded)
    assert found is not None
    return found


def fit_of(study: Study, systems: Individuals | None = None) -> Goodness:
    observations = study.loaded["observations"]
    found = systems_of(study) if systems is None else systems
    return Goodness.of(found, arrangement(observations), observations["y"].attrs, 0)


def test_modes_of_a_linear_model_are_its_posterior_means() -> None:
    study = vector_study()
    systems, problem = systems_of(study), study.problem
    alpha, gamma = parameters_of(study.loaded["population"])
    mean, deviation = alpha[:4], np.exp(alpha[4:])
    design = problem.simulate(torch.eye(4, dtype=torch.float64)).numpy().T
    prior, precision = np.diag(deviation**-2.0), np.exp(-2 * gamma[0])
    inverse = np.linalg.inv(prior + precision * design.T @ design)
    y = np.asarray(problem.data)
    expected = (prior @ mean + precision * y @ design) @ inverse
    found = np.column_stack(list(systems.parameters.values()))
    np.testing.assert_allclose(found, expected, atol=5e-3)
    np.testing.assert_allclose(systems.individual, expected @ design.T, atol=5e-3)
    np.testing.assert_allclose(systems.population, np.tile(design @ mean, (len(y), 1)), atol=1e-8)
    np.testing.assert_allclose(systems.deviation, np.exp(gamma[0]))
    total = np.sqrt(np.diag(design @ np.diag(deviation**2) @ design.T) + np.exp(2 * gamma[0]))
    np.testing.assert_allclose(systems.spread[0], total, rtol=0.02)
    residual = (y - systems.individual) / systems.deviation
    np.testing.assert_allclose(systems.misfit, np.sqrt((residual**2).mean(axis=1)))


def test_systems_are_called_as_in_the_data_and_counted_from_zero_otherwise() -> None:
    study = line_study()
    assert systems_of(study).names[:2] == ("system 0", "system 1")
    names = [f"core {i}" for i in range(60)]
    named = study.loaded["observations"].assign_coords(system_id=("system", names))
    own = Study(study.problem, study.loaded | {"observations": named})
    assert systems_of(own).names == tuple(names)
    titles = [panel.title for panel in fit_of(own).fits(np.array([7, 3]))]
    assert titles == ["core 7", "core 3"]
    labels = {m.label for panel in own.chart("examples").panels for m in panel.marks}
    assert all(label.startswith("core ") for label in labels)


def test_fits_at_places_in_the_plane_are_maps_of_dots_on_dots() -> None:
    study = square_study()
    systems = systems_of(study)
    gaps = systems.observed.copy()
    gaps[3, :, 2] = np.nan
    fit = fit_of(study, replace(systems, observed=gaps))
    places = study.loaded["observations"]
    panels = fit.fits(np.array([3, 8]))
    for panel, i in zip(panels, (3, 8), strict=True):
        predicted, seen = panel.marks
        assert isinstance(predicted, Cloud)
        assert isinstance(seen, Cloud)
        kept = np.isfinite(gaps[i, 0])
        assert kept.sum() == 6 - (i == 3)
        for cloud, values in ((predicted, systems.individual[i]), (seen, gaps[i, 0])):
            np.testing.assert_allclose(cloud.x, places["observation_x"].values[kept])
            np.testing.assert_allclose(cloud.y, places["observation_y"].values[kept])
            np.testing.assert_allclose(cloud.values, values[kept])
        # One scale of colours, and both dots are seen.
        assert (predicted.least, predicted.largest) == (seen.least, seen.largest)
        assert seen.size < predicted.size
    assert panels[0].x.label == "x, place of the sensor [km]"
    (worst, best) = draw_individual_fits(fit).body.parts
    assert worst.scale == best.scale == "observed head [m]: predicted, and within it observed"


def test_the_best_and_the_worst_are_those_of_the_misfit() -> None:
    systems = systems_of(line_study())
    best, worst = systems.ranked(9)
    order = np.argsort(systems.misfit)
    assert best.tolist() == order[:9].tolist()
    assert worst.tolist() == order[::-1][:9].tolist()
    # Of few systems each is there once.
    few = replace(
        systems, observed=np.where(np.arange(60)[:, None, None] < 5, systems.observed, np.nan)
    )
    best, worst = few.ranked(9)
    assert (len(best), len(worst)) == (2, 3)
    assert sorted([*best, *worst]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "make", [line_study, square_study, vector_study, series_study, quantities_study, numbers_study]
)
def test_every_kind_of_study_has_fits_and_residuals(make) -> None:
    study = make()
    fit = fit_of(study)
    systems = fit.systems
    panels = fit.fits(systems.ranked(9)[1])
    assert len(panels) == 9
    drawn = sum(len(np.ravel(m.x)) for m in panels[0].marks if m.label == "observed")
    curves = fit._curves
    rows = np.concatenate([fit.layout.panels[i].rows for i in curves])
    worst = systems.ranked(9)[1][0]
    assert drawn == np.isfinite(systems.observed[worst][:, rows]).sum()
    for panel in [*fit.against_predicted(), *fit.residuals()]:
        (dots,) = [mark for mark in panel.marks if isinstance(mark, Cloud)]
        assert np.isfinite(dots.x).all()
        assert np.isfinite(dots.y).all()
        assert len(np.ravel(dots.x)) == min(600, np.isfinite(systems.observed).sum())
    individual = fit.residuals()[2]
    residual = (systems.observed - systems.individual[:, None]) / systems.deviation[:, None]
    (mean,) = [m for m in individual.marks if isinstance(m, Line)]
    assert np.average(mean.y) == pytest.approx(np.nanmean(residual), abs=0.1)


def test_replicates_of_a_system_share_its_predictions() -> None:
    study = vector_study()
    problem, y = study.problem, study.loaded["observations"]["y"]
    x = y["observation_x"]
    twice = np.concatenate([y.values, y.values + 0.1], axis=1)
    observations = xr.Dataset(
        {"y": (y.dims, twice, y.attrs)},
        coords={
            "observation_x": ("observation", np.tile(x.values, 2), x.attrs),
            "replicate": ("observation", np.repeat([1, 2], y.sizes["observation"])),
        },
    )
    keys = {"noise": replicated_noise(problem.noise, 2), "conditions": None}
    simulate = replicated_simulator(problem.simulate, 2)
    both = replace(problem, data=twice, simulate=simulate, **keys)
    found = systems_of(Study(both, study.loaded | {"observations": observations}))
    assert found.observed.shape == (60, 2, 6)
    assert found.individual.shape == found.deviation.shape == found.population.shape == (60, 6)
    one = observations.isel(observation=slice(6)).drop_vars("replicate")
    fit = Goodness.of(found, arrangement(one), y.attrs, 0)
    (panel,) = fit.fits(np.array([0]))
    (points,) = [m for m in panel.marks if m.label == "observed"]
    assert len(np.ravel(points.x)) == 12


@parameters("count", [1], full=[5, 60])
def test_the_worst_and_the_best_fits_are_beside_each_other(count: int) -> None:
    study = line_study()
    loaded = study.loaded | {"observations": study.loaded["observations"].isel(system=range(count))}
    few = Study(study.problem.of_systems(np.arange(count)), loaded)
    chart, systems = few.chart("individual_fits"), systems_of(few)
    best, worst = systems.ranked(9)
    assert len(best) + len(worst) == min(count, 18)
    names = [systems.names[i] for i in (*worst, *best)]
    assert [panel.title for panel in chart.panels] == names
    (shown,) = [m for m in chart.panels[0].marks if m.label == "individual prediction"]
    np.testing.assert_array_equal(shown.y, systems.individual[worst[0]])
    # Each axis has its label once.
    sides = 1 + (count > 1)
    for labels in zip(*((p.x.label, p.y.label) for p in chart.panels), strict=True):
        assert len([label for label in labels if label]) == sides
    drawn(chart).draw_without_rendering()


def test_a_study_without_modes_says_so() -> None:
    (panel,) = draw_individual_fits(None).panels
    assert [mark.text for mark in panel.marks] == ["no posterior mode of a system can be found"]


def test_limits_are_hollow_and_have_no_residuals() -> None:
    study = line_study()
    systems = systems_of(study)
    censored = np.zeros(systems.observed.shape, dtype=bool)
    censored[4, 0, 2] = True
    fit = fit_of(study, replace(systems, censored=censored))
    (panel,) = fit.fits(np.array([4]))
    (limit,) = [m for m in panel.marks if isinstance(m, Points) and not m.filled]
    assert np.ravel(limit.y).tolist() == [systems.observed[4, 0, 2]]
    assert np.isnan(fit.systems.resolved[4, 0, 2])
    dots = fit.against_predicted()[0].marks[0]
    assert len(np.ravel(dots.x)) == systems.observed.size - 1


def test_parameters_are_drawn_against_known_quantities() -> None:
    study = vector_study()
    observations = study.loaded["observations"]
    weight = np.linspace(50, 90, 60)
    known = observations.assign(
        covariate=(("system", "covariate_name"), weight[:, None] - weight.mean()),
        covariate_centre=("covariate_name", [weight.mean()]),
        design=(("system", "design_name"), np.ones((60, 1))),
    ).assign_coords(covariate_name=["weight"], design_name=["dose"])
    site = np.resize(["b", "a", ""], 60)
    known = known.assign_coords(
        unused_name=["age", "site"],
        unused=(("system", "unused_name"), np.column_stack([np.arange(60).astype(str), site])),
    )
    own = Study(study.problem, study.loaded | {"observations": known})
    fit = fit_of(own)
    names, others = fit.against_known
    # What is the same in all systems explains nothing.
    assert (len(names), others) == (4, ["weight", "age", "site"])
    panels = fit.parameters_against_known()
    assert panels[2].x.names == ["a", "b"]
    np.testing.assert_array_equal(panels[2].marks[0].x, np.resize([1.0, 0.0], 40))
    np.testing.assert_allclose(panels[0].marks[0].x, weight)
    np.testing.assert_allclose(panels[0].marks[0].y, fit.systems.parameters[names[0]])
    assert fit_of(study).parameters_against_known() == []


def test_predictions_correct_by_ratio_or_where_zero_is_near_by_difference() -> None:
    y = np.array([[2.0, 8.0], [6.0, 3.0], [4.0, 5.0]])
    predicted = np.array([[1.0, 4.0], [3.0, 2.0], [2.0, 4.0]])
    study = line_study()
    layout = arrangement(study.loaded["observations"].isel(observation=[0, 1]))
    bins = bins_of(layout, y)
    corrected = Correction.of(bins, y, predicted)
    np.testing.assert_allclose(corrected(y), [[4.0, 8.0], [4.0, 6.0], [4.0, 5.0]])
    np.testing.assert_allclose(corrected(y + 1)[0], [6.0, 9.0])
    for shifted in (Correction.of(bins, y - 5, predicted), Correction.of(bins, y, predicted - 1)):
        np.testing.assert_allclose(shifted.factor, 1.0)
        np.testing.assert_allclose(shifted.shift, [[1, 0], [-1, 2], [0, 0]])


def test_correction_takes_away_what_known_quantities_explain() -> None:
    study = line_study()
    dose = np.where(np.arange(60) % 2, 1.0, 20.0)
    observations = study.loaded["observations"]
    y = 5 + observations["y"].values
    sets = DataSets.of(study.problem, study.loaded)
    scaled = [dose[:, None] * (5 + sets[i]) for i in range(39)]
    predicted = np.tile(y.mean(axis=0), (60, 1))
    shifted = observations.assign(y=observations["y"].copy(data=y))
    plain = PredictiveCheck.of(shifted, [5 + sets[i] for i in range(39)])
    given = observations.assign(y=observations["y"].copy(data=dose[:, None] * y))
    corrected = PredictiveCheck.of(given, scaled, predicted=dose[:, None] * predicted)
    for name in ("observed", "low", "high"):
        ratio = getattr(corrected.ranges, name) / getattr(plain.ranges, name)
        # All are those of one dose, the median one.
        np.testing.assert_allclose(ratio, 10.5)
    assert corrected.observations["y"].attrs["long_name"].startswith("prediction-corrected")
