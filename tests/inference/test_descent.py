"""The coupled descent: gradients, fixed points, invariances, and exact resumption."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import curve_problem, noise_problem, silent
from slopes import slopes
from tiers import parameters

from popinv.errors import DataError, DivergenceError
from popinv.inference.density.problem import DescentState, Problem, begin
from popinv.inference.estimators import descent as module
from popinv.inference.estimators.descent import estimate, learning_rate, run, step
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.estimators.trust_region import location_sizes, longest_steps
from popinv.population.constraints import REAL
from popinv.population.laws.gaussian import GaussianLaw, lognormal_law, normal_law
from popinv.population.noise.unstructured import DiagonalNoise, IsotropicNoise
from popinv.store.checkpoints import state_from_arrays, state_to_arrays
from popinv.transport.sliced import directions

SMALL = DescentSettings(iterations=12, model_samples=200, directions=16, averaging=0.5)


def loss_at(problem, settings, p, metric_at):
    """Return J(p; B) of the first step with its random numbers, the metric taken elsewhere."""
    state = begin(p[: problem.d_alpha], p[problem.d_alpha :], settings)
    u = module._metric_directions(
        problem,
        settings.replace(policy="cut" if settings.policy != "plain" else "plain"),
        torch.from_numpy(metric_at),
        module._unit_directions(problem, settings, 0),
        torch.from_numpy(problem.data),
        None,
    )
    original = module._metric_directions
    module._metric_directions = lambda *args: u
    try:
        return step(state, problem, settings)[1]["loss"]
    finally:
        module._metric_directions = original


@pytest.mark.parametrize("debias", [False, True])
@pytest.mark.parametrize("policy", ["cut", "plain", "full"])
def test_gradient_equals_finite_differences(policy, debias):
    problem, alpha, gamma = curve_problem(count=100)
    settings = SMALL.replace(policy=policy, debias=debias, regularisation=2.0)
    p = np.concatenate([alpha, gamma]) + 0.2
    # The regularisation is about the start, so it is left out of the differences below.
    plain = settings.replace(regularisation=0.0)
    gradient = step(begin(p[:4], p[4:], plain), problem, plain)[1]["gradient"]

    def loss(q: np.ndarray) -> float:
        return loss_at(problem, plain, q, metric_at=q if policy == "full" else p)

    # The loss is piecewise smooth: ranks that swap within 2h move it by O(h), and the
    # differences carry rounding of about 1e-16 / h.
    assert gradient == pytest.approx(slopes(loss, p, 1e-6), rel=1e-3, abs=1e-5)


def test_a_batch_has_no_system_twice():
    problem, _, _ = curve_problem(count=60)
    batches = [module._batch(problem, SMALL.replace(batch_size=50), k).numpy() for k in range(2)]
    for batch in batches:
        assert len(np.unique(batch[:, 0])) == len(batch) == 50
        assert np.isin(batch[:, 0], problem.data[:, 0]).all()
    assert not np.array_equal(*batches)
    for size in (None, 60, 100):
        whole = module._batch(problem, SMALL.replace(batch_size=size), 0)
        np.testing.assert_array_equal(whole, problem.data)


def test_cut_and_full_differ_in_the_noise_alone():
    problem, alpha, gamma = curve_problem(count=100)
    state = begin(alpha + 0.1, gamma + 0.3, SMALL)
    cut = step(state, problem, SMALL)[1]["gradient"]
    full = step(begin(alpha + 0.1, gamma + 0.3, SMALL), problem, SMALL.replace(policy="full"))
    np.testing.assert_allclose(cut[:4], full[1]["gradient"][:4], rtol=1e-12)
    assert np.all(np.abs(cut[4:] - full[1]["gradient"][4:]) > 1e-3)


def test_one_system_without_noise_gives_the_gaussian_misfit():
    # N = 1, a fixed z and no model noise: J = |Gamma^{-1/2} (y - G(z))|^2 / 2 (arXiv 2405.17955).
    problem, alpha, gamma = curve_problem(count=1)
    # One draw (twice, to be a sample) without spread; orthogonal directions make it exact.
    still = replace(problem, simulate=lambda z: 0 * z[:, :1] + torch.ones(8))
    theta = torch.from_numpy(directions(np.random.default_rng(0), 8, 8))
    p = torch.from_numpy(np.concatenate([alpha, gamma]))
    data = torch.from_numpy(problem.data)
    u = module._metric_directions(still, SMALL, p, theta, data, None)
    value = module._half_distance(data, torch.ones((1, 8), dtype=torch.float64), u, debias=False)
    residual = problem.noise.whiten(p[4:], data - 1)
    assert float(value) == pytest.approx(float((residual**2).sum()) / 2, rel=1e-12)


def test_any_square_root_of_the_covariance_gives_the_same_loss():
    problem, _, gamma = curve_problem(count=200)
    noise = problem.noise
    covariance = noise.covariance(torch.from_numpy(gamma))
    values, vectors = torch.linalg.eigh(covariance)
    symmetric = (vectors * values**-0.5) @ vectors.T
    data = torch.from_numpy(problem.data)
    sample = data.flip(0) * 1.1
    whitened = (
        noise.whiten(torch.from_numpy(gamma), data),
        noise.whiten(torch.from_numpy(gamma), sample),
    )
    # The roots differ by a rotation, so equal in mean over all directions: many are taken.
    theta = torch.from_numpy(directions(np.random.default_rng(0), 4000, 8))
    one = module._half_distance(*whitened, theta, debias=False)
    other = module._half_distance(data @ symmetric, sample @ symmetric, theta, debias=False)
    assert float(one) == pytest.approx(float(other), rel=0.02)


@pytest.mark.full
@parameters(
    "factor, optimiser",
    [(0.05, "gauss_newton"), (20.0, "adam")],
    full=[(20.0, "gauss_newton"), (0.05, "adam")],
)
def test_without_signal_the_noise_is_found_from_far_away(factor, optimiser):
    problem = noise_problem(deviation=2.0)
    rates = {"learning_rate": 0.1, "final_learning_rate": 0.01} if optimiser == "adam" else {}
    # Adam first forgets the large gradients of the far start.
    iterations = 500 if optimiser == "adam" else 250
    settings = DescentSettings(
        optimiser=optimiser, iterations=iterations, model_samples=1000, directions=20, **rates
    )
    start = problem.noise.from_natural({"standard_deviation": 2.0 * factor})
    descent = run(begin(np.zeros(2), start, settings), problem, settings, progress=False)
    # The data's own deviation is the answer; the descent's noise is well below 1 %.
    assert np.exp(descent.gamma[0]) == pytest.approx(problem.data.std(), rel=0.01)
    np.testing.assert_array_equal(descent.alpha, np.zeros(2))


@pytest.mark.full
def test_finite_samples_bias_the_cut_down_and_the_full_gradient_up_and_debiasing_neither():
    # The distance of two samples of one law is not zero but a floor f: the cut then stops at
    # sigma = s (1 - f'), the full gradient at s (1 + f'), and half the model's own floor mends it.
    problem = noise_problem(count=1000, d_y=12)
    gap = {}
    for name, changes in {
        "cut": {"model_samples": 50},
        "full": {"model_samples": 50, "policy": "full"},
        "debiased": {"model_samples": 100, "debias": True},
    }.items():
        settings = DescentSettings(
            optimiser="adam",
            iterations=300,
            directions=24,
            batch_size=50,
            learning_rate=0.05,
            final_learning_rate=0.005,
        )
        settings = settings.replace(**{"debias": False, **changes})
        state = run(begin(np.zeros(2), np.zeros(1), settings), problem, settings, None, False)
        gap[name] = state.gamma[0] - np.log(problem.data.std())
    assert gap["cut"] < -0.03
    assert gap["full"] > 0.03
    # The averaged iterates scatter by about half a per cent.
    assert abs(gap["debiased"]) < 0.015


@pytest.mark.full
def test_a_small_model_sample_does_not_bias_the_debiased_descent():
    # N = 40 data standing for the whole law: with as few draws, the plain loss shrinks sigma.
    gaps = {True: [], False: []}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        problem = replace(noise_problem(), data=rng.standard_normal((40, 4)), seed=seed)
        for debias in gaps:
            settings = DescentSettings(
                debias=debias,
                iterations=150,
                model_samples=80 if debias else 40,
                directions=20,
                learning_rate=0.1,
            )
            descent = run(begin(np.zeros(2), np.zeros(1), settings), problem, settings, None, False)
            gaps[debias].append(descent.gamma[0] - np.log(problem.data.std()))
    assert abs(np.mean(gaps[True])) < 0.4 * abs(np.mean(gaps[False]))
    assert np.mean(gaps[False]) < 0


def test_started_at_the_truth_it_stays_within_the_sampling_error():
    problem, alpha, gamma = curve_problem(count=1000)
    settings = DescentSettings(iterations=80, model_samples=1000, directions=64)
    descent = run(begin(alpha, gamma, settings), problem, settings, progress=False)
    # Standard errors at N = 1000 are about 2 to 4 % in each; four of them.
    np.testing.assert_allclose(descent.alpha, alpha, atol=0.12)
    np.testing.assert_allclose(descent.gamma, gamma, atol=0.15)


@pytest.mark.full
def test_starts_a_factor_five_away_in_the_noise_end_at_the_same_point():
    problem, alpha, gamma = curve_problem(count=500)
    settings = DescentSettings(iterations=200, model_samples=1000, directions=64)
    ends = []
    for direction in ([1, 1], [-1, -1]):
        start = gamma + np.log(5.0) * np.array(direction)
        ends.append(run(begin(alpha + 0.5, start, settings), problem, settings, None, False).gamma)
    # Their scatter is far below the sampling error of the noise at N = 500, about 5 %.
    assert np.ptp(ends, axis=0).max() < 0.02


@pytest.mark.parametrize("optimiser", ["gauss_newton", "adam"])
@pytest.mark.parametrize("pool", [0, 40])
def test_interrupted_and_resumed_is_the_same_bit_for_bit(optimiser, pool):
    problem, alpha, gamma = curve_problem(count=60)
    settings = SMALL.replace(optimiser=optimiser, pooled_directions=pool, batch_size=50)
    whole = run(begin(alpha, gamma, settings), problem, settings, progress=False)
    kept = {}

    class Killed(Exception):
        pass

    def kill(state):
        if state.iteration < 5:
            return
        kept.update({name: array.copy() for name, array in state_to_arrays(state).items()})
        raise Killed

    with pytest.raises(Killed):
        run(begin(alpha, gamma, settings), problem, settings, kill, progress=False)
    state = state_from_arrays(DescentState, kept)
    assert state.iteration == 5
    resumed = run(state, problem, settings, progress=False)
    np.testing.assert_array_equal(resumed.alpha, whole.alpha)
    np.testing.assert_array_equal(resumed.gamma, whole.gamma)
    for name, array in state_to_arrays(whole.state).items():
        np.testing.assert_array_equal(state_to_arrays(resumed.state)[name], array)


def test_held_parameters_do_not_move():
    problem, alpha, gamma = curve_problem(count=60)
    descent = run(
        begin(alpha + 0.3, gamma, SMALL), replace(problem, free_noise=False), SMALL, None, False
    )
    np.testing.assert_array_equal(descent.gamma, gamma)
    assert np.all(descent.alpha != alpha + 0.3)


def test_strong_regularisation_holds_the_law_at_the_start():
    problem, alpha, gamma = curve_problem(count=60)
    held = run(
        begin(alpha + 0.3, gamma, SMALL), problem, SMALL.replace(regularisation=1e-4), None, False
    )
    np.testing.assert_allclose(held.alpha, alpha + 0.3, atol=1e-3)


def test_regularisation_is_a_gaussian_prior_about_the_start():
    problem, alpha, gamma = curve_problem(count=60)
    away = np.array([0.3, -0.2, 0.1, 0.4])
    state = replace(begin(alpha + away, gamma, SMALL), start=np.concatenate([alpha, gamma + 1]))
    free = step(deepcopy(state), problem, SMALL)[1]
    held = step(deepcopy(state), problem, SMALL.replace(regularisation=0.5))[1]
    # The negative logarithm of N(start, h^2 I), h = 1/2, and its gradient.
    assert held["loss"] - free["loss"] == pytest.approx(np.sum(away**2) / (2 * 0.25), rel=1e-10)
    np.testing.assert_allclose(held["gradient"][:4] - free["gradient"][:4], away / 0.25, rtol=1e-9)
    np.testing.assert_array_equal(held["gradient"][4:], free["gradient"][4:])


@pytest.mark.parametrize("deviation", [0.5, 2.0])
def test_a_step_on_the_prior_alone_is_newtons(deviation):
    # Nothing is seen of the law, so that the prior's curvature 1 / h^2 is all there is.
    problem = replace(noise_problem(count=50), free_law=True, free_noise=False)
    settings = SMALL.replace(regularisation=deviation, learning_rate=0.5)
    away = np.array([0.01, -0.02])
    state = replace(begin(away, np.zeros(1), settings), start=np.zeros(3))
    moved = step(state, problem, settings)[0].parameters
    np.testing.assert_allclose(moved[:2] - away, -0.5 * away / (1 + module._DAMPING), rtol=1e-9)


def test_every_tenth_step_records_the_loss_in_the_metric_of_the_datas_deviations():
    problem, alpha, gamma = curve_problem(count=60)
    settings = SMALL.replace(debias=False)
    state = run(begin(alpha, gamma, settings), problem, settings, progress=False).state
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(state.fixed_loss)), [0, 10])
    # Independent noise of the data's own deviations has this metric.
    own = replace(problem, noise=DiagonalNoise(8))
    state = step(begin(alpha, np.log(problem.data.std(axis=0)), settings), own, settings)[0]
    assert state.fixed_loss[0] == pytest.approx(state.loss[0], rel=1e-9)


def test_without_progress_nothing_is_printed(capsys):
    problem, alpha, gamma = curve_problem(count=60)
    settings = SMALL.replace(iterations=1)
    run(begin(alpha, gamma, settings), problem, settings, progress=False)
    assert capsys.readouterr() == ("", "")


class PenalisedLaw(GaussianLaw):
    """A normal law with a standard normal prior on its parameters, perhaps without the first."""

    first = True

    @property
    def of_shape(self) -> np.ndarray:
        return np.array([self.first, *[True] * (len(self.names) - 1)])


@pytest.mark.parametrize("first", [False, True])
def test_the_penalty_of_a_law_is_added_for_each_system(first):
    problem, alpha, gamma = curve_problem(count=60)
    state = begin(alpha, gamma, SMALL)
    free = step(deepcopy(state), problem, SMALL)[1]
    law = PenalisedLaw(["decay", "height"], [REAL, REAL])
    law.first = first
    held = step(deepcopy(state), replace(problem, law=law), SMALL)[1]
    # Minus the logarithm of the prior, over the number of systems.
    penalty = np.sum(law.of_shape * alpha**2) / (2 * 60)
    assert held["loss"] - free["loss"] == pytest.approx(penalty, rel=1e-10)
    added = held["gradient"] - free["gradient"]
    np.testing.assert_allclose(added[:4], law.of_shape * alpha / 60, rtol=1e-9)
    np.testing.assert_array_equal(added[4:], 0.0)


def test_a_step_on_the_penalty_alone_is_newtons():
    problem = replace(noise_problem(count=50), law=PenalisedLaw(["a"], [REAL]), free_law=True)
    problem = replace(problem, free_noise=False)
    settings = SMALL.replace(learning_rate=0.5)
    away = np.array([0.01, -0.02])
    moved = step(begin(away, np.zeros(1), settings), problem, settings)[0].parameters
    np.testing.assert_allclose(moved[:2] - away, -0.5 * away / (1 + module._DAMPING), rtol=1e-9)


def test_the_learning_rate_falls_geometrically_to_its_final_value():
    settings = SMALL.replace(iterations=9, learning_rate=0.8, final_learning_rate=0.05)
    rates = [learning_rate(settings, k) for k in range(9)]
    np.testing.assert_allclose(rates, np.geomspace(0.8, 0.05, 9), rtol=1e-12)
    assert learning_rate(settings.replace(iterations=1), 0) == 0.8


def test_adam_is_that_of_torch():
    # The step of a logarithm has no unit, so it is Adam's own.
    problem = noise_problem(count=50)
    settings = SMALL.replace(
        optimiser="adam", iterations=6, learning_rate=0.02, final_learning_rate=0.01
    )
    p = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([p], betas=(module._BETA_1, module._BETA_2), eps=0.0)
    state = begin(np.zeros(2), np.array([0.3]), settings)
    for k in range(6):
        state, info = step(state, problem, settings)
        p.grad = torch.from_numpy(info["gradient"][2:])
        adam.param_groups[0]["lr"] = learning_rate(settings, k)
        adam.step()
        assert state.parameters[2] == pytest.approx(p.item(), rel=1e-12)


def test_a_location_moves_by_a_part_of_its_natural_size():
    # A shift of all four observations has H = d_y; sqrt(2 J / d_y + v) then is its size.
    size = location_sizes(4, 6.0, 1.0, np.array([4.0, 16.0]))
    np.testing.assert_allclose(size, [2.0, 1.0], rtol=1e-14)
    np.testing.assert_allclose(location_sizes(4, -6.0, 9.0, np.array([4.0])), 3.0, rtol=1e-14)
    problem = noise_problem()
    longest = longest_steps(problem, SMALL.replace(max_step=0.5), 6.0, 1.0, np.array([4.0, 1.0]))
    np.testing.assert_allclose(longest, [0.5 * 2.0, 0.5, 0.5], rtol=1e-14)


def test_the_first_step_of_a_location_is_bounded_by_loss_and_spread():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((300, 4)) * np.array([0.5, 1.0, 2.0, 3.0])
    noise, law = IsotropicNoise(4), normal_law(["a"])
    problem = Problem(data, lambda z: z.expand(-1, 4), law, noise, np.full(3, 0.5))
    # Orthogonal directions, so that their mean is that over the observations.
    settings = SMALL.replace(policy="plain", debias=False, max_step=0.01)
    before = begin(np.array([2.0, 0.0]), np.zeros(1), settings)
    after, info = step(before, problem, settings)
    spread = np.trace(np.cov(data.T)) / 4
    size = np.sqrt((2 * info["loss"] / 4 + spread) * 4 / after.curvature[0, 0])
    assert after.parameters[0] - 2.0 == pytest.approx(-0.01 * size, rel=1e-9)


def test_the_logarithm_of_a_median_near_zero_does_not_leap():
    """A background of 1e-8 hardly moves the observations, so its natural size has no end."""
    x = torch.tensor([0.5, 1.0, 2.0, 4.0])
    data = 1 + np.exp(0.3 * np.random.default_rng(0).standard_normal((60, 1))) * x.numpy()
    law = lognormal_law(["slope", "background"], common=["background"])
    noise, start = IsotropicNoise(4), np.array([0.0, -18.0, -1.0])
    problem = Problem(data, lambda z: z[:, :1] * x + z[:, 1:], law, noise, np.full(4, 0.5))
    after = run(begin(start, np.full(1, -2.0), SMALL), problem, SMALL, progress=False).state
    steps = np.abs(np.diff(after.path[:, 1], prepend=-18.0))
    assert 0 < steps.max() <= 4 * SMALL.max_step


def test_the_answer_is_the_mean_of_the_last_share():
    problem, alpha, gamma = curve_problem(count=60)
    descent = run(begin(alpha, gamma, SMALL), problem, SMALL, progress=False)
    np.testing.assert_allclose(
        np.concatenate([descent.alpha, descent.gamma]),
        descent.state.path[6:].mean(axis=0),
        rtol=1e-15,
    )
    np.testing.assert_array_equal(
        estimate(descent.state, SMALL.replace(averaging=0.0)), descent.state.path[-1]
    )


def test_no_logarithm_moves_further_than_allowed():
    problem, alpha, gamma = curve_problem(count=60)
    descent = run(begin(alpha + 2, gamma - 2, SMALL), problem, SMALL, progress=False)
    path = np.vstack([np.concatenate([alpha + 2, gamma - 2]), descent.state.path])
    longest = np.abs(np.diff(path, axis=0)).max(axis=0)
    assert np.all(longest[problem.logarithmic] <= SMALL.max_step * (1 + 1e-12))
    assert np.any(longest > 0.9 * SMALL.max_step)


def test_a_deviation_on_its_way_to_zero_does_not_hold_up_the_others():
    # The data have no spread in height: its deviation falls step by step as far as it may.
    problem, alpha, gamma = curve_problem(count=300)
    rng = np.random.default_rng(1)
    z = np.column_stack([0.5 + 0.3 * rng.standard_normal(300), np.ones(300)])
    noise = problem.noise.sample(
        torch.from_numpy(gamma), torch.from_numpy(rng.standard_normal((300, 8)))
    )
    flat = replace(problem, data=problem.simulate(torch.from_numpy(z)).numpy() + noise.numpy())
    settings = SMALL.replace(iterations=60)
    start = alpha + np.array([1.0, 0.5, 0.5, 0.0])
    descent = run(begin(start, gamma, settings), flat, settings, progress=False)
    assert descent.alpha[3] < -2
    assert descent.alpha[0] == pytest.approx(0.5, abs=0.1)
    assert descent.alpha[2] == pytest.approx(np.log(0.3), abs=0.25)


def test_a_number_that_is_not_finite_stops_the_descent():
    problem = noise_problem()
    bad = replace(problem, simulate=lambda z: torch.full((len(z), 4), torch.nan))
    with pytest.raises(DivergenceError, match="step 0 of the descent") as plain:
        run(begin(np.zeros(2), np.zeros(1), SMALL), bad, SMALL, progress=False)
    assert "system" not in str(plain.value)
    data = bad.data.copy()
    data[17] *= 1000
    with pytest.raises(DivergenceError, match=rf"observations {data[17, 0]:.4g}, .* in the units"):
        run(begin(np.zeros(2), np.zeros(1), SMALL), replace(bad, data=data), SMALL, progress=False)


def test_a_checkpoint_of_another_descent_is_refused():
    problem, alpha, gamma = curve_problem(count=60)
    with pytest.raises(DataError, match="12 iterations, the settings require 13"):
        run(begin(alpha, gamma, SMALL), problem, SMALL.replace(iterations=13), progress=False)
    with pytest.raises(DataError, match="lacks iteration"):
        state_from_arrays(DescentState, {})


def test_law_without_signal_is_left_alone():
    # A direction in which nothing can be learned must not break the preconditioner.
    data = np.random.default_rng(0).standard_normal((100, 4))
    problem = Problem(data, silent(4), normal_law(["a"]), IsotropicNoise(4), np.full(3, 0.5))
    descent = run(begin(np.zeros(2), np.zeros(1), SMALL), problem, SMALL, progress=False)
    assert np.isfinite(descent.alpha).all()
    assert np.isfinite(descent.gamma).all()
