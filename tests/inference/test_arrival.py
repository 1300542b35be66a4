"""When a descent counts as arrived, and steps that know no unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import PLACES, line
from problems import curve_problem
from tiers import parameters

from popinv.errors import DivergenceError
from popinv.inference.density.problem import Problem, begin
from popinv.inference.estimators.descent import run
from popinv.inference.estimators.fit_distance import fit_distance, judge_arrival, starts_near
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.uncertainty.distance_influence import distance_influence
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.store.checkpoints import Checkpoint

SMALL = DescentSettings(iterations=40, model_samples=400, directions=24)


def test_a_descent_on_its_way_has_not_arrived_and_one_at_its_end_has():
    problem, alpha, gamma = curve_problem(count=400)
    p = np.concatenate([alpha, gamma])
    slow = SMALL.replace(learning_rate=0.002, final_learning_rate=0.002)
    far = run(begin(alpha + 0.5, gamma + 0.3, slow), problem, slow, progress=False)
    there = run(begin(alpha, gamma, SMALL), problem, SMALL, progress=False)
    influence = distance_influence(problem, p)
    errors = np.sqrt((influence(problem.data) ** 2).sum(axis=0)) / len(problem.data)
    moving, still = (
        judge_arrival(state, settings, influence, errors, problem.free)
        for state, settings in ((far.state, slow), (there.state, SMALL))
    )
    assert not moving.arrived
    assert np.abs(moving.remaining).max() > 2
    assert still.arrived


@pytest.mark.full
def test_a_descent_goes_on_until_it_has_arrived_or_says_that_it_has_not():
    problem, alpha, gamma = curve_problem(count=300)
    slow = SMALL.replace(learning_rate=0.02, final_learning_rate=0.02, legs=2)
    p = np.concatenate([alpha, gamma])
    start = p + np.array([1.0, 1.0, 1.0, 1.0, 0.5, 0.5])
    estimate = fit_distance(problem, slow, [start], progress=False).estimate
    assert not estimate.arrived
    assert estimate.diagnostics["legs"] == 2
    assert "still" in estimate.reason
    patient = SMALL.replace(legs=6)
    arrived = fit_distance(problem, patient, [start], progress=False).estimate
    assert arrived.arrived
    assert np.all(np.abs(arrived.p - p) < 5 * arrived.standard_errors)


@pytest.mark.full
def test_its_own_noise_is_what_other_seeds_differ_by():
    problem, alpha, gamma = curve_problem(count=400)
    p = np.concatenate([alpha, gamma])
    answers, predicted = [], []
    for seed in range(12):
        again = fit_distance(replace(problem, seed=50 + seed), SMALL, [p], progress=False).estimate
        answers.append(again.p)
        predicted.append(np.diag(again.monte_carlo))
    ratio = np.std(answers, axis=0, ddof=1) / np.sqrt(np.mean(predicted, axis=0))
    # A deviation of 12 is known to 21 %, and a window of 12 steps to as much.
    assert np.all((ratio > 0.4) & (ratio < 2.2))


@parameters("factor", [0.01, 10.0], full=[1.0])
def test_steps_know_no_unit(factor):
    # Heights of boys in cm, mm and m from a start at zero: the mean is 150 deviations of the start
    # away in one, and a hundredth of it in another.
    rng = np.random.default_rng(0)
    z = np.column_stack([150 + 8 * rng.standard_normal(60), 6 + 1.7 * rng.standard_normal(60)])
    data = line(torch.from_numpy(z)).numpy() + 0.7 * rng.standard_normal((60, 6))
    law = normal_law(["height", "growth"])
    problem = Problem(factor * data, line, law, IsotropicNoise(6), np.full(5, 0.5), seed=1)
    settings = DescentSettings(iterations=200, model_samples=400, directions=50)
    descent = run(begin(np.zeros(4), np.zeros(1), settings), problem, settings, progress=False)
    assert descent.alpha[0] / factor == pytest.approx(z[:, 0].mean(), rel=0.01)
    assert np.exp(descent.alpha[2]) / factor == pytest.approx(8.0, rel=0.3)
    assert len(PLACES) == 6


def test_legs_and_restarts_resume_exactly(tmp_path):
    problem, alpha, gamma = curve_problem(count=200)
    starts = starts_near(problem, np.concatenate([alpha, gamma]), 2)
    np.testing.assert_array_equal(starts[0][:4], alpha)
    assert np.all(starts[1] != starts[0])
    settings = SMALL.replace(legs=1, iterations=12)
    whole = fit_distance(problem, settings, starts, progress=False)

    class Killed(Exception):
        pass

    class Fragile(Checkpoint):
        writes = 0

        def write(self, arrays):
            Fragile.writes += 1
            if Fragile.writes == 19:
                super().write(arrays)
                raise Killed

    checkpoint = Fragile(tmp_path / "state.zarr", {"study": 1}, seconds=0)
    with pytest.raises(Killed):
        fit_distance(problem, settings, starts, checkpoint, progress=False)
    kept = checkpoint.read()
    assert kept["0.0.iteration"] == 12
    assert 0 < kept["1.0.iteration"] < 12
    resumed = fit_distance(problem, settings, starts, checkpoint, progress=False)
    np.testing.assert_array_equal(resumed.estimate.p, whole.estimate.p)
    np.testing.assert_array_equal(resumed.estimate.path, whole.estimate.path)


def test_a_start_that_diverges_is_left_out(capsys):
    problem, alpha, gamma = curve_problem(200)
    settings = SMALL.replace(legs=1)
    good = np.concatenate([alpha, gamma])
    astray = np.full_like(good, np.nan)
    alone = fit_distance(problem, settings, [good], progress=False)
    kept = fit_distance(problem, settings, [astray, good], progress=False)
    np.testing.assert_array_equal(kept.estimate.p, alone.estimate.p)
    assert "start 1 of 2 is left out" in capsys.readouterr().out
    with pytest.raises(DivergenceError):
        fit_distance(problem, settings, [astray, astray], progress=False)
