"""Noise scales and unseen entries: what they do to the data, the model and the answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from problems import curve, curve_problem
from tiers import parameters

from popinv.errors import DataError
from popinv.inference.checks.fitted_samples import FittedModel, sample_model
from popinv.inference.checks.heldout_test import heldout_test
from popinv.inference.density.conditions import (
    Conditions,
    deviations,
    fitted_observations,
    heldout_observations,
)
from popinv.inference.density.problem import Problem, begin
from popinv.inference.estimators.descent import run, step
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.stages.consult_oracle import oracle
from popinv.inference.uncertainty.identifiability import identifiability
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import IsotropicNoise

SMALL = DescentSettings(iterations=12, model_samples=200, directions=16, averaging=0.5)
LONGER = DescentSettings(iterations=120, model_samples=1000, directions=48)


def observed_curves(
    count: int, seed: int, missing: float = 0.0, scales: bool = False
) -> xr.Dataset:
    """Return observations of curves, a share of them missing, with noise scales in [0.5, 2]."""
    problem, alpha, gamma = curve_problem(count=1)
    rng = np.random.default_rng(seed)
    omega, e = rng.standard_normal((count, 2)), rng.standard_normal((count, 8))
    signal = curve(problem.law.sample(torch.from_numpy(alpha), torch.from_numpy(omega))).numpy()
    noise = problem.noise.sample(torch.from_numpy(gamma), torch.from_numpy(e)).numpy()
    scale = 0.5 * 4.0 ** rng.random(count) if scales else np.ones(count)
    y = signal + scale[:, None] * noise
    y[rng.random(y.shape) < missing] = np.nan
    variables = {"y": (("system", "observation"), y)}
    return xr.Dataset(variables | ({"noise_scale": ("system", scale)} if scales else {}))


def irregular_problem(
    count: int, seed: int, missing: float = 0.0, scales: bool = False
) -> tuple[Problem, np.ndarray, np.ndarray]:
    problem, alpha, gamma = curve_problem(count=1)
    data, conditions = fitted_observations(observed_curves(count, seed, missing, scales))
    return replace(problem, data=data, conditions=conditions, seed=seed), alpha, gamma


# --- what the data become -----------------------------------------------------------------------


def test_data_without_gaps_and_scales_have_neither() -> None:
    observations = observed_curves(5, 0)
    data, conditions = fitted_observations(observations)
    assert conditions.plain
    np.testing.assert_array_equal(data, observations["y"].values)


def test_gaps_hold_the_mean_of_what_was_seen() -> None:
    nan = np.nan
    y = np.array([[1.0, nan], [3.0, 5.0], [nan, 7.0]])
    observations = xr.Dataset(
        {
            "y": (("system", "observation"), y),
            "y_heldout": (("heldout_system", "observation"), np.array([[nan, 100.0]])),
        }
    )
    data, conditions = fitted_observations(observations)
    np.testing.assert_array_equal(data, [[1, 6], [3, 5], [2, 7]])
    assert not conditions.scaled
    np.testing.assert_array_equal(conditions.present, ~np.isnan(y))
    # Held-out systems are filled as the others, whatever was seen of them.
    heldout, own = heldout_observations(observations, conditions)
    np.testing.assert_array_equal(heldout, [[2, 100]])
    np.testing.assert_array_equal(own.present, [[False, True]])


def test_gaps_in_the_heldout_systems_alone() -> None:
    observations = observed_curves(5, 0).assign(
        y_heldout=(("heldout_system", "observation"), np.full((2, 8), 3.0))
    )
    observations["y_heldout"][1, 2] = np.nan
    _, conditions = fitted_observations(observations)
    assert conditions.plain
    heldout, own = heldout_observations(observations, conditions)
    assert heldout[1, 2] == pytest.approx(observations["y"].values[:, 2].mean())
    assert own.present.sum() == 15


def test_an_observation_seen_nowhere_is_filled_with_the_mean_of_all() -> None:
    observations = observed_curves(5, 0)
    observations["y"][:, 3] = np.nan
    values, conditions = fitted_observations(observations)
    assert not conditions.present[:, 3].any()
    np.testing.assert_allclose(values[:, 3], np.nanmean(observations["y"].values))
    assert np.all(deviations(values) > 0)
    spread = values.std(axis=0)
    np.testing.assert_array_equal(deviations(values)[[0, 3]], [spread[0], spread.max()])
    np.testing.assert_array_equal(deviations(np.ones((4, 2))), 1.0)
    renamed = observations.rename(system="heldout_system", y="y_heldout")
    heldout, _ = heldout_observations(renamed, conditions)
    np.testing.assert_array_equal(heldout, values)


def test_systems_without_any_observation_are_refused() -> None:
    observations = observed_curves(5, 0)
    observations["y"][:] = np.nan
    with pytest.raises(DataError, match="none of the 5 systems has an observation"):
        fitted_observations(observations)


def test_a_mask_without_the_values_that_fill_it_is_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        Conditions.stated((2, 2), present=np.ones((2, 2), dtype=bool))


# --- what the model becomes ---------------------------------------------------------------------


def test_the_model_scales_the_noise_and_fills_the_gaps() -> None:
    problem, alpha, gamma = curve_problem(count=3)
    present = np.ones((3, 8), dtype=bool)
    present[1, 4] = False
    conditions = Conditions.stated((3, 8), np.array([1.0, 2.0, 0.5]), present, np.full(8, -9.0))
    problem = replace(problem, conditions=conditions)
    rng = np.random.default_rng(0)
    omega, e = torch.from_numpy(rng.standard_normal((4, 2))), torch.from_numpy(np.ones((4, 8)))
    p = torch.from_numpy(np.concatenate([alpha, gamma]))
    quiet = problem.model(p, omega, 0 * e)
    noise = problem.model(p, omega, e) - quiet
    systems = np.array([1, 0, 2, 1])
    expected = quiet + torch.tensor([2.0, 1.0, 0.5, 2.0])[:, None] * noise
    expected[[0, 3], 4] = -9.0
    torch.testing.assert_close(problem.model(p, omega, e, systems), expected)


@pytest.mark.parametrize("kind", [{"missing": 0.2}, {"scales": True}])
def test_the_model_at_the_truth_has_the_law_of_the_data(kind: dict) -> None:
    problem, alpha, gamma = irregular_problem(20_000, 2, **kind)
    sample = sample_model(problem, alpha, gamma, 20_000, "test", conditions=problem.conditions)
    spread = problem.data.std(axis=0)
    # Two means of 20 000 differ by 1 % of a deviation, two covariances by about as much of the
    # product; five of these.
    assert np.abs(sample.mean(axis=0) - problem.data.mean(axis=0)).max() < 0.05 * spread.min()
    gap = (np.cov(sample.T) - np.cov(problem.data.T)) / np.outer(spread, spread)
    assert np.abs(gap).max() < 0.06


def test_conditions_of_drawn_systems_stay_with_them() -> None:
    problem, _, _ = irregular_problem(30, 0, missing=0.3, scales=True)
    rows = np.array([4, 4, 17])
    some = problem.of_systems(rows)
    conditions, whole = some.conditions, problem.conditions
    np.testing.assert_array_equal(some.data, problem.data[rows])
    np.testing.assert_array_equal(conditions.scale, whole.scale[rows])
    filled = np.broadcast_to(whole.fill, (3, 8))[~conditions.present]
    np.testing.assert_array_equal(some.data[~conditions.present], filled)
    assert len(conditions) == 3


# --- the descent --------------------------------------------------------------------------------


def test_each_step_with_conditions_is_a_function_of_its_state() -> None:
    problem, alpha, gamma = irregular_problem(60, 0, missing=0.2, scales=True)
    settings = SMALL.replace(batch_size=40)
    state = begin(alpha, gamma, settings)
    for _ in range(settings.iterations):
        state, _ = step(state, problem, settings)
    whole = run(begin(alpha, gamma, settings), problem, settings, progress=False)
    np.testing.assert_array_equal(state.path, whole.state.path)


def test_conditions_of_full_sight_and_scale_one_change_nothing() -> None:
    problem, alpha, gamma = curve_problem(count=60)
    ones = Conditions.stated((60, 8), np.ones(60), np.ones((60, 8), dtype=bool), np.zeros(8))
    plain = run(begin(alpha + 0.2, gamma, SMALL), problem, SMALL, progress=False)
    same = run(
        begin(alpha + 0.2, gamma, SMALL), replace(problem, conditions=ones), SMALL, None, False
    )
    np.testing.assert_array_equal(same.state.path, plain.state.path)


@pytest.mark.full
def test_law_and_noise_are_recovered_with_a_fifth_missing() -> None:
    problem, alpha, gamma = irregular_problem(2000, 3, missing=0.2)
    start = begin(alpha + 0.2, gamma + 0.2, LONGER)
    descent = run(start, problem, LONGER, progress=False)
    # Over populations of 2000 the answers scatter by up to 0.03 in alpha and the amplitude and
    # 0.08 in the length: four of these.
    np.testing.assert_allclose(descent.alpha, alpha, atol=0.12)
    assert descent.gamma[0] == pytest.approx(gamma[0], abs=0.12)
    assert descent.gamma[1] == pytest.approx(gamma[1], abs=0.32)
    # Taken for observations, what fills the gaps looks like noise without correlation.
    ignored = run(start, replace(problem, conditions=None), LONGER, progress=False)
    assert ignored.gamma[1] < gamma[1] - 0.5


@pytest.mark.full
def test_noise_is_recovered_with_known_scales_and_biased_without() -> None:
    problem, alpha, gamma = irregular_problem(2000, 3, scales=True)
    start = begin(alpha + 0.2, gamma + 0.2, LONGER)
    descent = run(start, problem, LONGER, progress=False)
    np.testing.assert_allclose(descent.alpha, alpha, atol=0.16)
    # The scatter of the amplitude over populations of 2000 is about 0.02.
    assert descent.gamma[0] == pytest.approx(gamma[0], abs=0.08)
    # Ignored, the scales end up in the amplitude: log sqrt(mean s^2) = 0.15 for s in [0.5, 2].
    ignored = run(start, replace(problem, conditions=None), LONGER, progress=False)
    assert ignored.gamma[0] - descent.gamma[0] == pytest.approx(0.15, abs=0.08)


@pytest.mark.full
def test_oracles_use_the_conditions() -> None:
    problem, alpha, gamma = irregular_problem(300, 0, missing=0.2, scales=True)
    settings = DescentSettings(iterations=40, model_samples=400, directions=24)
    truth = np.concatenate([alpha, gamma])
    for estimator in ("distance", "likelihood"):
        answer = oracle(problem, estimator, truth, truth + 0.4, "law", 32, settings)
        assert abs(answer.p[4] - gamma[0]) < 0.2


# --- the assessment -----------------------------------------------------------------------------


@parameters("kind", [{"missing": 0.2, "scales": True}], full=[{"missing": 0.2}, {"scales": True}])
def test_heldout_test_accepts_the_truth_with_the_systems_own_conditions(kind: dict) -> None:
    problem, alpha, gamma = irregular_problem(300, 0, **kind)
    p = np.concatenate([alpha, gamma])
    p_values = []
    for seed in range(1, 7):
        observations = observed_curves(300, 100 + seed, **kind)
        observations = observations.rename(system="heldout_system").rename(
            {name: f"{name}_heldout" for name in observations}
        )
        heldout, conditions = heldout_observations(observations, problem.conditions)
        test = heldout_test(FittedModel(problem, p, p[None]), heldout, 25, conditions)
        p_values.append(test.p_value)
    # Uniform under the null: all six below .3 has probability 7e-4, as have all above .7.
    assert min(p_values) < 0.7
    assert max(p_values) > 0.3
    louder = p + np.log(2.0) * (np.arange(6) >= 4)
    wrong = heldout_test(FittedModel(problem, louder, louder[None]), heldout, 25, conditions)
    assert wrong.p_value == pytest.approx(1 / 26)


def test_entries_that_no_system_shows_count_for_nothing() -> None:
    problem, alpha, gamma = irregular_problem(60, 0, missing=0.2)
    p = np.concatenate([alpha, gamma])
    observations = observed_curves(30, 101, missing=0.2)
    observations = observations.rename(system="heldout_system", y="y_heldout")
    observations["y_heldout"][:, 5] = np.nan
    present = problem.conditions.present
    present[:, 2] = False
    problem.data[:, 2] = problem.conditions.fill[2]  # type: ignore[index]
    heldout, conditions = heldout_observations(observations, problem.conditions)
    test = heldout_test(FittedModel(problem, p, p[None]), heldout, 10, conditions)
    assert np.isfinite(test.statistic)
    assert np.isfinite(test.null).all()


def test_predicted_errors_count_the_mean_square_of_the_scales() -> None:
    # y = z + s xi with the noise known: se(mean) = sqrt((1 + mean(s^2) sigma^2) / N).
    scale = np.array([1.0, 3.0] * 50)
    problem = Problem(
        np.zeros((100, 1)),
        lambda z: z,
        normal_law(["a"]),
        IsotropicNoise(1),
        np.ones(3),
        conditions=Conditions.stated((len(scale), 1), scale),
    )
    known = identifiability(problem, np.zeros(2), np.array([np.log(2.0)]), samples=20_000)
    assert known.standard_errors[0] == pytest.approx(np.sqrt((1 + 5 * 4) / 100), rel=0.02)
