"""The likelihood of many observations in the span of their signals, against the whole signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import normal_log_density
from slopes import slopes
from tiers import parameters

from popinv.inference.density import reduced
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.integrate import marginal
from popinv.inference.integrate.marginal import Evaluation, MarginalSettings, evaluate
from popinv.population.known import Known
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.kernel import KernelNoise
from popinv.surrogate.exact import ExactSimulator

D_Y = 240
PLACES = np.linspace(0.0, 1.0, D_Y)
X = torch.from_numpy(PLACES)
MIX = torch.from_numpy(np.random.default_rng(1).standard_normal((2, D_Y)))
TRUTH = np.array([1.0, -0.5, np.log(0.8), np.log(0.5), np.log(0.3), np.log(0.2)])
DRAWS = MarginalSettings(draws=64)
Simulate = Callable[[torch.Tensor], torch.Tensor]


def line(z: torch.Tensor) -> torch.Tensor:
    return z[:, :1] + z[:, 1:] * X


def bent(z: torch.Tensor) -> torch.Tensor:
    """Curves whose shape depends on the parameters, with the grain of a trained network."""
    curve = torch.exp(0.3 * z[:, :1] - (1.0 + 0.2 * z[:, 1:]) * X) + torch.sin(z[:, 1:] * X)
    return curve + 0.003 * torch.sin(2 * z @ MIX)


def many(simulate: Simulate, count: int = 24, scales: bool = False, sd: float = 0.3) -> Problem:
    """Return systems with two parameters, seen at many places through correlated noise."""
    rng = np.random.default_rng(3)
    law, noise = normal_law(["a", "b"]), KernelNoise(PLACES[:, None], "exponential", nugget=False)
    alpha, gamma = (torch.from_numpy(part.copy()) for part in (TRUTH[:4], truth(sd)[4:]))
    signal = simulate(law.sample(alpha, torch.from_numpy(rng.standard_normal((count, 2)))))
    xi = noise.sample(gamma, torch.from_numpy(rng.standard_normal((count, D_Y)))).numpy()
    scale = rng.uniform(0.5, 2.0, count) if scales else None
    data = signal.numpy() + (1.0 if scale is None else scale[:, None]) * xi
    return Problem(
        data,
        ExactSimulator(simulate),
        law,
        noise,
        np.full(6, 0.5),
        conditions=Conditions.stated(data.shape, scale=scale),
    )


def truth(sd: float = 0.3) -> np.ndarray:
    return np.array([*TRUTH[:4], np.log(sd), TRUTH[5]])


def span(problem: Problem, p: np.ndarray) -> reduced.Span | None:
    return marginal._Evaluator(problem, p, DRAWS, None).span


def whole(problem: Problem, p: np.ndarray, memory: dict[str, np.ndarray] | None = None):
    """Evaluate the whole signals, as a simulator does that cannot answer some alone."""
    return evaluate(replace(problem, simulate=problem.simulate.__call__), p, DRAWS, memory)


def assert_same(one: Evaluation, other: Evaluation) -> None:
    for name, values in one.memory.items():
        np.testing.assert_array_equal(values, getattr(other, name), err_msg=name)


def exact_log_likelihood(problem: Problem, p: np.ndarray) -> np.ndarray:
    design = np.column_stack([np.ones(D_Y), PLACES])
    noise = problem.noise.covariance(torch.from_numpy(p[4:].copy())).numpy()
    scale, seen = problem.conditions.scale, np.full(problem.data.shape, True)
    covariance = design @ np.diag(np.exp(2 * p[2:4])) @ design.T + scale[:, None, None] ** 2 * noise
    return normal_log_density(problem.data - design @ p[:2], covariance, seen)


@pytest.mark.parametrize("scales", [False, True])
def test_of_a_linear_model_it_is_exact(scales):
    problem, p = many(line, 12, scales), TRUTH + 0.1
    found = span(problem, p)
    assert found.directions.shape == (D_Y, 2)
    evaluation = evaluate(problem, p, DRAWS)
    # As for whole signals in test_marginal.py.
    np.testing.assert_allclose(
        evaluation.log_likelihood, exact_log_likelihood(problem, p), atol=1e-4
    )
    exact = slopes(lambda q: exact_log_likelihood(problem, q), p, 1e-5)
    np.testing.assert_allclose(evaluation.scores, exact, atol=3e-4)
    assert np.abs(evaluation.score_error).max() < 3e-4


def test_what_all_signals_have_in_common_takes_no_direction():
    def offset(z: torch.Tensor) -> torch.Tensor:
        return line(z) + 5 * torch.sin(9 * X)

    found = span(many(offset, 6), TRUTH)
    assert found.directions.shape == (D_Y, 2)


@parameters("near, scales", [(True, True)], full=[(False, False), (False, True), (True, False)])
def test_it_is_that_of_whole_signals_to_the_stated_error(scales, near):
    problem = many(bent, 60, scales, sd=0.05)
    p = truth(0.05) + 0.05
    found = span(problem, p)
    assert 2 < found.directions.shape[1] < len(found.entries) < D_Y / 2
    memory = whole(problem, truth(0.05)).memory if near else None
    # The draws of both are the same, so that their error does not count.
    ours, theirs = evaluate(problem, p, DRAWS, memory), whole(problem, p, memory)
    difference = ours.log_likelihood - theirs.log_likelihood
    assert 0 < np.abs(difference).max() < reduced._FAR_OUT
    # What is left out at the mode is known, and posteriors are narrow.
    assert np.sqrt(np.mean(difference**2)) < reduced._LEFT_OUT / 8
    rms = np.sqrt(np.mean((ours.scores - theirs.scores) ** 2, axis=0))
    assert np.all(rms < reduced._LEFT_OUT / 10 * theirs.scores.std(axis=0))


def test_what_is_left_out_at_the_mode_is_known(monkeypatch):
    for name, value in (("_LEFT_OUT", 0.5), ("_CHECKED", 0.75), ("_FAR_OUT", 5.0)):
        monkeypatch.setattr(reduced, name, value)
    problem, p = many(bent, 60, sd=0.05), truth(0.05) + 0.05
    ours, theirs = evaluate(problem, p, DRAWS), whole(problem, p)
    difference = ours.log_likelihood - theirs.log_likelihood
    assert 0 < np.sqrt(np.mean(difference**2)) < 0.5 / 8
    rms = np.sqrt(np.mean((ours.scores - theirs.scores) ** 2, axis=0))[:4]
    assert np.all(rms < 0.5 / 40 * theirs.scores.std(axis=0)[:4])


def test_fewer_observations_make_proposals_as_good():
    problem, p = many(bent, 40, sd=0.05), truth(0.05)
    corrected = replace(DRAWS, corrections=((2, 1.1),))
    ours = evaluate(problem, p, corrected)
    theirs = evaluate(replace(problem, simulate=problem.simulate.__call__), p, corrected)
    # A correction is kept if more of the draws count.
    assert np.mean(theirs.corrections > 0) > 0.3
    assert np.mean(ours.corrections > 0) > 0.3
    np.testing.assert_allclose(ours.effective_share, theirs.effective_share, atol=0.05)


def test_a_basis_that_does_not_serve_the_parameters_is_made_for_them(monkeypatch):
    problem, p = many(bent, 6, sd=0.05), truth(0.05)
    make, loud = reduced._basis, np.array([*p[:4], 3.0, p[5]])

    def elsewhere(given: Problem, place: np.ndarray) -> reduced._Basis | None:
        return make(given, place if np.array_equal(place, p) else loud)

    monkeypatch.setattr(reduced, "_basis", elsewhere)
    own, basis = span(problem, p), make(problem, p)
    assert own.directions.shape == basis.vectors.shape


def test_scores_are_the_derivatives_of_its_values():
    problem = many(bent, 40, sd=0.05)
    cell = reduced._CELL * problem.scale
    p = cell * np.round(truth(0.05) / cell)
    here = evaluate(problem, p, DRAWS)
    for i in range(4):
        # Values are smooth within the cell, but for the tolerance of the modes.
        shift = 0.04 * np.eye(6)[i]
        up, down = (evaluate(problem, q, DRAWS, here.memory) for q in (p + shift, p - shift))
        slope = (up.log_likelihood - down.log_likelihood).sum() / 0.08
        deviation = here.scores[:, i].std() * np.sqrt(len(here.scores))
        assert abs(here.scores[:, i].sum() - slope) < 0.01 * deviation


def test_signals_of_many_directions_are_taken_whole():
    def rough(z: torch.Tensor) -> torch.Tensor:
        return torch.sin(9 * z @ MIX)

    problem = many(rough, 6)
    assert reduced.reducible(problem)
    assert span(problem, TRUTH) is None
    assert_same(evaluate(problem, TRUTH, DRAWS), whole(problem, TRUTH))


@pytest.mark.parametrize("in_a_block", [8, 2])
def test_a_system_whose_signal_leaves_the_span_is_taken_whole(in_a_block, monkeypatch):
    if in_a_block == 2:
        monkeypatch.setattr(marginal, "_BLOCK_VALUES", 1)
        monkeypatch.setattr(marginal, "_FEW_IN_A_BLOCK", 2)

    def surprising(z: torch.Tensor) -> torch.Tensor:
        # No draw of the law, not even with 1.5 times its deviations, is so far out.
        return line(z) + torch.relu(z[:, :1] - 6.0) * torch.cos(9 * X)

    problem = many(surprising, 8)
    far = torch.tensor([[7.0, 0.0]], dtype=torch.float64)
    problem.data[3] = surprising(far)[0].numpy() + problem.data[3] - problem.data[3].mean()
    ours, theirs = evaluate(problem, TRUTH, DRAWS), whole(problem, TRUTH)
    others = np.arange(8) != 3
    # Blocks of other sizes round otherwise.
    np.testing.assert_allclose(ours.log_likelihood[3], theirs.log_likelihood[3], rtol=1e-12)
    np.testing.assert_allclose(ours.scores[3], theirs.scores[3], rtol=1e-9)
    assert np.any(ours.log_likelihood[others] != theirs.log_likelihood[others])
    np.testing.assert_allclose(
        ours.log_likelihood[others], theirs.log_likelihood[others], atol=1e-3
    )
    near = evaluate(problem, TRUTH + 0.01, DRAWS, ours.memory)
    again = whole(problem, TRUTH + 0.01, ours.memory)
    np.testing.assert_allclose(near.scores[3], again.scores[3], rtol=1e-9)


def test_small_problems_are_taken_whole():
    problem, few = many(line, 6), reduced._FEWEST_OBSERVATIONS - 1
    noise = KernelNoise(PLACES[:few, None], "exponential", nugget=False)
    simulate = problem.simulate.of_outputs(np.arange(few))
    small = replace(problem, data=problem.data[:, :few], noise=noise, simulate=simulate)
    assert span(problem, TRUTH) is not None
    assert span(small, TRUTH) is None
    assert_same(evaluate(small, TRUTH, DRAWS), whole(small, TRUTH))


def test_gaps_designs_and_strongly_curved_laws_are_taken_whole():
    problem = many(line, 6)
    assert reduced.reducible(problem)
    present = np.ones(problem.data.shape, dtype=bool)
    known = Known.of_arrays(np.ones((6, 1)), np.ones((6, 0)))
    gaps = Conditions.stated(present.shape, present=present, fill=np.zeros(D_Y))
    for conditions in (gaps, Conditions.stated(present.shape, known=known)):
        assert not reduced.reducible(replace(problem, conditions=conditions))
    assert not reduced.reducible(replace(problem, simulate=line))
    law = normal_law(["a", "b"])
    law.strongly_curved = True
    assert not reduced.reducible(replace(problem, law=law))


def test_what_single_systems_say_does_not_depend_on_the_others():
    problem, p = many(bent, 20, sd=0.05), truth(0.05)
    all_of_them = evaluate(problem, p, DRAWS)
    some = np.array([2, 11, 19])
    alone = evaluate(problem.of_systems(some), p, DRAWS, numbers=some)
    np.testing.assert_allclose(alone.log_likelihood, all_of_them.log_likelihood[some], rtol=1e-8)
    np.testing.assert_allclose(alone.scores, all_of_them.scores[some], rtol=1e-6, atol=1e-8)


def test_signals_that_cannot_be_simulated_are_left_out_of_the_span():
    def failing(z: torch.Tensor) -> torch.Tensor:
        # Few draws of the law are so far out.
        return torch.where(z[:, :1] < 2.5, line(z), torch.nan)

    found = span(many(failing, 6), TRUTH)
    assert found.directions.shape[1] == 2
