"""Weights against brute force, velocities against closed forms, descents against known limits."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import ConfigError
from popinv.methods.metrics import flat
from popinv_papers.kit.simplex import least_norm, project
from popinv_papers.kit.test_problems import CheckInput
from popinv_papers.mwgrad import check, particle_problem, velocities
from popinv_papers.mwgrad.descent import Settings, begin, run, step


def points(count: int = 12, d: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, d))


def normal(mean: list[float], variance: float = 1.0) -> velocities.NormalMixture:
    return velocities.NormalMixture(np.ones(1), np.array([mean]), variance)


def field(method: str, x: np.ndarray, *targets) -> np.ndarray:
    return velocities.velocities(method, targets, x)[0]


# --- simplex --------------------------------------------------------------------------------------


def test_projection_is_the_nearest_point_of_a_grid():
    grid = [np.array([a, b, 100 - a - b]) / 100 for a, b in itertools.product(range(101), repeat=2)
            if a + b <= 100]  # fmt: skip
    for w in (np.array([0.2, -0.5, 3]), np.array([0.4, 0.5, 0.3]), np.array([-1, -2, -3.0])):
        projected = project(w)
        assert projected.sum() == pytest.approx(1)
        assert projected.min() >= 0
        best = min(np.linalg.norm(w - g) for g in grid)
        assert np.linalg.norm(w - projected) <= best + 1e-12


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_least_norm_satisfies_its_conditions(count):
    rng = np.random.default_rng(count)
    for _ in range(100):
        # Full rank or not, with and without a common direction.
        vectors = rng.standard_normal((count, rng.integers(1, 9))) + rng.integers(2)
        q = vectors @ vectors.T
        w = least_norm(q)
        assert w.sum() == pytest.approx(1, abs=1e-9)
        assert w.min() >= 0
        # The condition of Karush, Kuhn and Tucker.
        products = q @ w
        assert w @ products - products.min() < 1e-9 * np.trace(q) / count
        others = rng.dirichlet(np.ones(count), 200)
        assert w @ q @ w <= np.einsum("ni,ij,nj->n", others, q, others).min() + 1e-9


def test_least_norm_of_two_vectors_is_the_closed_form():
    rng = np.random.default_rng(1)
    for _ in range(50):
        vectors = rng.standard_normal((2, 3))
        q = vectors @ vectors.T
        share = np.clip((q[1, 1] - q[0, 1]) / (q[0, 0] + q[1, 1] - 2 * q[0, 1]), 0, 1)
        np.testing.assert_allclose(least_norm(q), [share, 1 - share], atol=1e-9)


def test_permuted_objectives_permute_the_weights():
    vectors = points(4, 6)
    order = np.array([2, 0, 3, 1])
    w = least_norm(vectors @ vectors.T)
    np.testing.assert_allclose(least_norm(vectors[order] @ vectors[order].T), w[order], atol=1e-9)


# --- kernels and velocities -----------------------------------------------------------------------


def test_the_kernel_and_its_gradient():
    x, y, s = (
        torch.from_numpy(points(5)).requires_grad_(True),
        torch.from_numpy(points(4, seed=1)),
        0.7,
    )
    values = torch.exp(-(torch.cdist(x, y) ** 2) / (2 * s**2))
    kernel = velocities.radial_kernel(x.detach().numpy(), y.numpy(), s)
    np.testing.assert_allclose(kernel.values, values.detach().numpy(), rtol=1e-10)
    for j in range(4):
        (gradient,) = torch.autograd.grad(values[:, j].sum(), x, retain_graph=True)
        np.testing.assert_allclose(kernel.gradient[:, j], gradient.numpy(), rtol=1e-7, atol=1e-9)


def test_the_bandwidth_is_the_median_rule():
    x = points(9)
    squares = [np.sum((a - b) ** 2) for a in x for b in x]
    assert velocities.median_bandwidth(x) ** 2 == pytest.approx(
        np.median(squares) / (2 * np.log(10))
    )


def test_scores_are_gradients_of_log_densities():
    mixture = particle_problem.four_mixtures(0)[0]
    means = torch.from_numpy(mixture.means)

    def log_density(x: torch.Tensor) -> torch.Tensor:
        square = ((x[:, None] - means) ** 2).sum(2)
        return torch.logsumexp(torch.log(torch.from_numpy(mixture.weights)) - square, 1)

    x = 3 * points(20)
    peer = velocities.Differentiable(log_density)
    np.testing.assert_allclose(mixture.score(x), peer.score(x), rtol=1e-9)
    gap = mixture.log_density(x) - peer.log_density(x)
    np.testing.assert_allclose(gap, gap[0], rtol=1e-10)


def test_velocities_written_out():
    x, target = points(), normal([1.0, -1.0], 0.5)
    s, n = velocities.median_bandwidth(x), len(x)
    k = np.array([[np.exp(-np.sum((a - b) ** 2) / (2 * s**2)) for b in x] for a in x])
    # grad_i K_ij, and grad_j K_ij = -grad_i K_ij.
    slope = np.array(
        [[-(a - b) / s**2 * k[i, j] for j, b in enumerate(x)] for i, a in enumerate(x)]
    )
    score = target.score(x)
    svgd = np.array([sum(k[j, i] * score[j] + slope[j, i] for j in range(n)) / n for i in range(n)])
    gfsd = np.array([score[i] - slope[i].sum(0) / k[i].sum() for i in range(n)])
    blob = np.array([gfsd[i] - sum(slope[i, j] / k[j].sum() for j in range(n)) for i in range(n)])
    for method, expected in (("svgd", svgd), ("gfsd", gfsd), ("blob", blob)):
        np.testing.assert_allclose(field(method, x, target)[0], expected, rtol=1e-9, atol=1e-12)


def test_the_gram_of_svgd_is_that_of_its_hilbert_space():
    # The velocity is phi_k = (1/n) sum_j [s_k(x_j) K(x_j, .) + grad_j K(x_j, .)]; its norm is the
    # kernel Stein discrepancy, and <phi_k, s + grad> at the particles reproduces it.
    x, targets = points(), (normal([1.0, 0.0]), normal([0.0, 2.0], 0.5))
    fields, q = velocities.velocities("svgd", targets, x)
    s, h = velocities.median_bandwidth(x), 1e-5

    def phi(k: int, y: np.ndarray) -> np.ndarray:
        kernel = velocities.radial_kernel(x, y, s)
        return (kernel.values.T @ targets[k].score(x) + kernel.gradient.sum(axis=0)) / len(x)

    np.testing.assert_allclose(phi(0, x), fields[0], rtol=1e-10)
    for k, m in itertools.product(range(2), repeat=2):
        divergence = sum(
            (phi(k, x + h * e)[:, a] - phi(k, x - h * e)[:, a]) / (2 * h)
            for a, e in enumerate(np.eye(2))
        )
        stein = ((phi(k, x) * targets[m].score(x)).sum(axis=1) + divergence).mean()
        assert q[k, m] == pytest.approx(stein, rel=1e-6)


@pytest.mark.parametrize("method", ["svgd", "blob", "gfsd"])
def test_velocities_turn_and_move_with_the_plane(method):
    x, mean = points(), np.array([1.0, -0.5])
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.array([3.0, 1.0])
    here = field(method, x, normal(list(mean)))[0]
    there = field(method, x @ turn.T + shift, normal(list(turn @ mean + shift)))[0]
    np.testing.assert_allclose(there, here @ turn.T, atol=1e-9)


def test_the_neural_score_is_near_that_of_a_normal_sample():
    # grad log q of N(1, 4) at its own sample, in the bulk: -(x - 1)/4.
    x = 1 + 2 * points(400, 1)
    score = velocities.neural_score(x, np.random.default_rng(0), 100, 20)[:, 0]
    bulk = np.abs(x[:, 0] - 1) < 3
    assert np.abs(score + (x[:, 0] - 1) / 4)[bulk].mean() < 0.15


def test_normal_particles_go_to_the_nearest_normal_law_in_many_dimensions():
    # Twelve dimensions, two of them narrow, where a kernel of one width lets particles collapse.
    deviations = np.ones(12)
    deviations[:2] = 0.1, 0.3
    precision = torch.from_numpy(deviations**-2)
    target = velocities.Differentiable(lambda x: -0.5 * ((x - 0.5) ** 2 * precision).sum(dim=1))
    start = begin(points(60, 12), 1)
    ends = {
        method: run(start, [target], Settings(method, "fixed", "common_adam", 0.05), 400)[0]
        for method in ("normal", "gfsd")
    }
    x = ends["normal"].particles
    np.testing.assert_allclose(x.mean(axis=0), 0.5, atol=0.02)
    np.testing.assert_allclose(np.cov(x.T, bias=True), np.diag(deviations**2), atol=0.02)
    assert ends["gfsd"].particles[:, 0].std() < 0.03
    # Still the affine image of the start.
    design = np.column_stack([np.ones(60), start.particles])
    residual = x - design @ np.linalg.lstsq(design, x, rcond=None)[0]
    assert np.abs(residual).max() < 1e-8


def test_the_nearest_normal_law_of_a_density_that_is_not_normal():
    # At the minimum of KL(q, p) over normal laws: E s = 0 and E s' = -1/C.
    target = velocities.Differentiable(lambda x: -(x[:, 0] ** 4) / 4 - x[:, 0])
    start = begin(points(4000, 1), 1)
    settings = Settings("normal", "fixed", "common_adam", 0.05)
    x = run(start, [target], settings, 400)[0].particles[:, 0]
    assert np.mean(-(x**3) - 1) == pytest.approx(0, abs=0.02)
    assert np.mean(-3 * x**2) == pytest.approx(-1 / x.var(), rel=0.05)


# --- descents -------------------------------------------------------------------------------------


def test_one_objective_is_the_plain_method():
    x, target = points(), normal([1.0, 1.0])
    for weights in ("minnorm", "step", "fixed"):
        state, _ = step(begin(x, 1), [target], Settings("blob", weights, rate=0.05))
        np.testing.assert_allclose(state.particles, x + 0.05 * field("blob", x, target)[0])


def test_two_normal_laws_end_between_them():
    # Pareto stationary laws of KL to N(+-m, I) are N((2w - 1) m, I).
    targets = [normal([2.0, 0.0]), normal([-2.0, 0.0])]
    state = begin(points(60) + np.array([0.5, 3.0]), 2)
    state, norm = run(state, targets, Settings("gfsd", "minnorm", rate=0.1), 400)
    mean = state.particles.mean(axis=0)
    assert abs(mean[1]) < 0.05
    assert abs(mean[0]) <= 2
    # A kernel estimate of the entropy spreads the particles somewhat less than the law.
    assert np.all((state.particles.var(axis=0) > 0.5) & (state.particles.var(axis=0) < 1.2))
    assert norm < 0.02


def test_with_exact_velocities_no_objective_grows():
    # KL between normal laws of variance 1 is half the squared distance of the means, and with the
    # exact entropy the velocity of every particle is m_k - mean.
    targets = np.array([[2.0, 0.0], [0.0, 3.0], [-1.0, -1.0]])
    mean, rate = np.array([5.0, 4.0]), 0.2
    losses = []
    for _ in range(60):
        losses.append(((targets - mean) ** 2).sum(axis=1) / 2)
        fields = (targets - mean)[:, None]
        w = least_norm(velocities.gram(fields))
        mean = mean + rate * np.tensordot(w, fields, axes=1)[0]
    assert np.all(np.diff(losses, axis=0) <= 1e-12)
    assert np.linalg.norm(w @ (targets - mean)) < 1e-2


def test_a_step_is_a_function_of_its_state():
    targets = particle_problem.four_mixtures(1)
    for method in ("svgd", "blob", "normal"):
        settings = Settings(method, "step", "adam", rate=0.03)
        whole, _ = run(begin(points(), 4), targets, settings, 6)
        half, _ = run(begin(points(), 4), targets, settings, 3)
        half, _ = run(half, targets, settings, 3)
        np.testing.assert_array_equal(whole.particles, half.particles)


@pytest.fixture(scope="module")
def outcome():
    """Return the whole test problem with few steps, and rates chosen of few on few draws."""
    cases = particle_problem.CASES
    few = {name: replace(case, rates=case.rates[1:4:2]) for name, case in cases.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(particle_problem, "_DRAWS", 1)
        for module in (particle_problem, check):
            patch.setattr(module, "CASES", few)
        particle_problem.best_rate.cache_clear()
        yield check.check(CheckInput(seed=0), steps=8)
        particle_problem.best_rate.cache_clear()


@pytest.mark.full
def test_the_table_has_a_control_for_each_headline(outcome):
    json.dumps(flat(outcome.metrics))
    table = outcome.claims
    assert [claim.part for claim in table].count("headline") == 9
    assert all(claim.control for claim in table)
    # The finding that the weights of least norm leave particles behind is ours alone.
    own = [claim for claim in table if claim.source == "this package"]
    assert len(own) == 3
    assert all("fewer particles" in claim.claim for claim in own)
    assert drawn(outcome.figures["particles"]).axes
    assert drawn(outcome.figures["accelerated"]).axes
    assert outcome.result["curve_ill_conditioned"].shape == (3, 5, 100)


@pytest.mark.full
def test_acceleration_shows_on_ill_conditioned_laws(outcome):
    row = next(c for c in outcome.claims if "condition number" in c.claim)
    assert row.status == "holds"
    # Without momentum the accelerated moves are the plain ones.
    assert row.control.found.mean == pytest.approx(0, abs=1e-9)


def test_no_objective_grows_under_least_norm_alone():
    assert particle_problem.rises(3, "minnorm", 60).max() < 0.01
    assert particle_problem.rises(3, "fixed", 60).max() > 0.1


def test_blob_descends_its_energies():
    targets, x, h = particle_problem.four_mixtures(0)[:2], points(), 1e-5
    fields, _ = velocities.velocities("blob", targets, x, 1.0)
    for i, a in ((0, 0), (7, 1)):
        shift = np.zeros_like(x)
        shift[i, a] = h
        slope = particle_problem.energies(targets, x + shift) - particle_problem.energies(
            targets, x - shift
        )
        np.testing.assert_allclose(fields[:, i, a], -len(x) * slope / (2 * h), rtol=1e-4)


def test_the_gap_is_zero_on_the_pareto_laws_alone():
    variances = np.array([1.0, 0.04])
    target = particle_problem.NormalTarget(np.array([1.0, -0.3]), variances)
    x = points(40)
    white = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T, bias=True))).T
    scaled = white * variances**0.5
    for c in (-1.0, 0.2, 1.0):
        at = scaled + c * target.mean
        assert particle_problem.pareto_gap(target, at) == pytest.approx(0, abs=1e-6)
    off = scaled + np.array([0.0, 0.2])
    # Perpendicular to m in the metric of S, so that no Pareto law is nearer.
    along = (off.mean(axis=0) / variances) @ target.mean / (target.mean**2 / variances).sum()
    rest = off.mean(axis=0) - along * target.mean
    expected = 0.5 * (rest**2 / variances).sum()
    assert particle_problem.pareto_gap(target, off) == pytest.approx(expected, rel=1e-3)
    assert particle_problem.divergence(target, scaled + target.mean) == pytest.approx(0, abs=1e-9)
    # KL of N(m, 4 S) from N(m, S) in two dimensions.
    wide = 2 * scaled + target.mean
    assert particle_problem.divergence(target, wide) == pytest.approx(3 - 2 * np.log(2))


def test_momentum_grows_as_in_nesterov():
    # In a constant field v, p_1 = r v, p_2 = r v (1 + 1/4), p_3 = r v (1 + 2/5 (1 + 1/4)), r^2 = h.
    class Constant:
        def score(self, x):
            return np.ones_like(x)

        def log_density(self, x):
            return x.sum(axis=1)

    settings = Settings("normal", "fixed", "accelerated", rate=0.04)
    flat_target = [Constant()]
    x = points(400, 1)
    state, moved = begin(x, 1), []
    for _ in range(3):
        before = state.particles.mean()
        state, _ = step(state, flat_target, settings)
        moved.append((state.particles.mean() - before) / 0.04)
    np.testing.assert_allclose(moved, [1, 1.25, 1.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: field("blub", points(), normal([0, 0])), "Did you mean 'blob'"),
        (lambda: Settings(weights="exact"), "allowed: minnorm, step, fixed"),
        (lambda: Settings(optimiser="sgd"), "allowed: plain, adam, common_adam, accelerated"),
        (lambda: begin(points(), 2, np.array([0.5, 0.6])), "sum to 1"),
        (lambda: least_norm(np.array([[1.0, np.nan], [0.0, 1.0]])), "square and finite"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
