"""Closed forms against whole matrices, limits and reference values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import exp1, gamma, zeta

from popinv.errors import ConfigError, DataError
from popinv_papers.bigram import cross_entropy, gradient_descent, sign_descent
from popinv_papers.bigram.entries import Bigrams, adam_losses
from popinv_papers.bigram.power_law import fitted_exponent, frequencies, harmonic
from popinv_papers.bigram.series import run_descent

SIZE = 40


def zipf_matrices(exponent: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return pi (d,) and pi_{j|i} (d, d), each row permuted by itself."""
    rng = np.random.default_rng(seed)
    pi = frequencies(SIZE, exponent)
    return pi, np.stack([rng.permutation(pi) for _ in range(SIZE)])


def whole_loss(pi: np.ndarray, target: np.ndarray, w: np.ndarray) -> float:
    return float((pi[:, None] * (w - target) ** 2).sum() / (pi[:, None] * target**2).sum())


@pytest.mark.parametrize("exponent", [0.4, 1.0, 2.0])
def test_gradient_descent_on_the_whole_matrix(exponent):
    pi, target = zipf_matrices(exponent)
    w = np.zeros_like(target)
    for steps in range(1, 8):
        w -= pi[:, None] * (w - target) / pi[0]
        expected = whole_loss(pi, target, w)
        assert gradient_descent.relative_loss(SIZE, exponent, steps) == pytest.approx(
            expected, rel=1e-12
        )
        general = gradient_descent.relative_loss_of(pi, (target**2).sum(axis=1), steps)
        assert general == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("exponent", [0.4, 1.0, 2.0])
@pytest.mark.parametrize("step", [0.003, 0.02, 0.11])
def test_sign_descent_on_the_whole_matrix(exponent, step):
    _pi, target = zipf_matrices(exponent)
    w = np.zeros_like(target)
    for steps in range(1, 12):
        w -= step * np.sign(w - target)
        left = sign_descent.distance(target, step, steps)
        np.testing.assert_allclose(left, np.abs(w - target), atol=1e-14)


def simplified_loss(exponent, steps, phi):
    """Return r(T, phi) from the distances of all entries."""
    pi = frequencies(SIZE, exponent)
    step = phi**-exponent / (harmonic(SIZE, exponent) * steps)
    # On its way, or to and fro about the target.
    left = np.where(pi >= steps * step, pi - steps * step, step / 2)
    return (left**2).sum() / (pi**2).sum()


@pytest.mark.parametrize("exponent", [0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("steps", [1, 3, 10, 200])
def test_the_best_step_beats_a_fine_grid(exponent, steps):
    loss, phi = sign_descent.best_relative_loss(SIZE, exponent, steps)
    grid = np.geomspace(1, SIZE, 4001)
    losses = [simplified_loss(exponent, steps, x) for x in grid]
    assert loss <= min(losses) + 1e-12
    # The grid's points are 0.1 % apart.
    assert loss == pytest.approx(min(losses), rel=2e-3)
    # At the edge of an interval phi is rounded to either side, where the formula is continuous.
    there = min(phi * (1 + 1e-12), SIZE)
    assert simplified_loss(exponent, steps, there) == pytest.approx(loss, rel=1e-6)


# Exact values at scaled times, to four digits, from sums over k in double precision elsewhere.
@pytest.mark.parametrize(
    ("exponent", "size", "steps", "expected"),
    [
        (0.5, 10**3, [0.5 * 1000**0.5 / 2, 1000**0.5 / 2, 1000**0.5], [0.3245, 0.1461, 0.0363]),
        (0.5, 10**6, [250, 500, 1000], [0.3266, 0.1484, 0.0375]),
        (1.0, 10**4, [5, 50, 500, 5000], [0.6419, 0.4121, 0.1862, 0.0224]),
        (2.0, 10**4, [1, 10, 100, 1000], [0.30248, 0.11816, 0.03797, 0.01198]),
    ],
)
def test_reference_values_of_gradient_descent(exponent, size, steps, expected):
    losses = [gradient_descent.relative_loss(size, exponent, t) for t in steps]
    np.testing.assert_allclose(losses, expected, atol=6e-5)


def test_horizons_are_scaled_times():
    assert gradient_descent.horizon(10**4, 0.5, 3.0) == pytest.approx(150)
    assert gradient_descent.horizon(10**4, 1.0, 0.5) == pytest.approx(50)
    assert gradient_descent.horizon(10**4, 2.0, 7.0) == 7
    assert sign_descent.horizon(10**4, 0.25, 7.0) == 7
    assert sign_descent.horizon(10**4, 0.5, 0.5) == pytest.approx(5)
    assert sign_descent.horizon(10**4, 1.0, 3.0) == pytest.approx(150)


def test_exponent_one_is_not_the_worst_at_a_realistic_size():
    """At 10^5 symbols and 3 % exponent 1.1 takes more, and at 30 % sign descent loses at 1.5."""
    assert gradient_descent.steps_to(10**5, 1.0, 0.03) == 35_795
    assert gradient_descent.steps_to(10**5, 1.1, 0.03) == 61_202
    assert gradient_descent.steps_to(10**5, 1.5, 0.3) == 6
    assert sign_descent.steps_to(10**5, 1.5, 0.3) == 211


def test_limits_of_gradient_descent():
    np.testing.assert_allclose(
        gradient_descent.limit(0.5, np.array([0.5, 1, 2])), [0.3266, 0.1485, 0.0375], atol=5e-5
    )
    np.testing.assert_allclose(
        gradient_descent.limit(2.0, np.array([1, 10, 100, 1000])),
        [0.32423, 0.11827, 0.03802, 0.01204],
        atol=5e-6,
    )
    # ((1-a)/a) times the generalised exponential integral, by quadrature.
    for exponent in (0.25, 0.3, 0.4, 0.7):
        for tau in (0.3, 1.0, 2.5):
            integral, _ = quad(lambda t, p=1 / exponent, x=tau: np.exp(-x * t) / t**p, 1, np.inf)
            expected = (1 - exponent) / exponent * integral
            assert float(gradient_descent.limit(exponent, tau)) == pytest.approx(expected, rel=1e-7)
            # A vocabulary of a million is near: d^a is the number of steps, 30 for a = 1/4.
            steps = gradient_descent.horizon(10**6, exponent, tau)
            near = gradient_descent.relative_loss(10**6, exponent, steps)
            assert near == pytest.approx(expected, abs=0.01)
    # Leading forms for large tau.
    for a, tau in ((0.5, 40.0), (0.3, 60.0)):
        leading = (1 - a) / a * np.exp(-tau) / tau
        assert float(gradient_descent.limit(a, tau)) == pytest.approx(leading, rel=0.06)
    for a, tau in ((2.0, 1e5), (1.5, 1e5)):
        leading = gamma(1 - 1 / a) / (a * zeta(a)) * (2 * tau) ** -(1 - 1 / a)
        assert float(gradient_descent.limit(a, tau)) == pytest.approx(leading, rel=1e-4)


def test_a_finite_vocabulary_at_exponent_one():
    # The sum as an integral, E_1(2t/d) / H_{d,1}: right to about a per cent.
    for size, tolerance in ((10**3, 0.013), (10**5, 0.006)):
        for doubled in (10, 100, 300):
            exact = gradient_descent.relative_loss(size, 1.0, doubled / 2)
            near = exp1(doubled / size) / harmonic(size, 1.0)
            assert near == pytest.approx(exact, rel=tolerance)


def test_reference_values_of_sign_descent():
    root = 1e3**0.5
    for tau, loss, phi in ((0.5, 0.5354, 3.82), (1, 0.3038, 2.0), (2, 0.1216, 1.25)):
        losses = sign_descent.best_relative_loss(10**3, 1.0, tau * root / 2)
        assert losses == (pytest.approx(loss, abs=1e-4), pytest.approx(phi, rel=0.01))
    for tau, expected in ((0.5, 0.5356), (1, 0.3040), (2, 0.1216), (4, 0.0358)):
        assert sign_descent.limit(1.0, tau) == pytest.approx(expected, abs=6e-5)
    for tau, exact, limit in ((1, 0.1661, 0.1667), (5, 0.0562, 0.0569), (20, 0.0138, 0.0144)):
        assert sign_descent.best_relative_loss(10**6, 0.25, tau)[0] == pytest.approx(
            exact, abs=6e-5
        )
        assert sign_descent.limit(0.25, tau) == pytest.approx(limit, abs=6e-5)
    for share, exact in ((0.25, 0.620), (0.5, 0.387), (0.75, 0.174)):
        steps = sign_descent.horizon(10**6, 0.5, share)
        # A vocabulary so small a power of which is the horizon feels that T is not large.
        assert sign_descent.best_relative_loss(10**6, 0.5, steps)[0] == pytest.approx(
            exact, abs=0.002
        )


def test_the_limit_of_sign_descent_is_free_where_one_direction_is_left():
    # 1 / (zeta(2) (1 + tau^2)) once tau^2 >= 1 / (2^a - 1).
    for tau in (1.0, 1.7, 5.0):
        expected = 6 / np.pi**2 / (1 + tau**2)
        assert sign_descent.limit(1.0, tau) == pytest.approx(expected, rel=1e-9)
    losses = [sign_descent.limit(1.0, tau) for tau in (0.1, 0.2, 0.4, 0.8, 1.6)]
    assert np.all(np.diff(losses) < 0)


@pytest.mark.parametrize(
    ("target", "gradient", "sign"), [(0.3, 153, 51), (0.1, 1361, 113), (0.05, 2818, 167)]
)
def test_steps_to_a_relative_loss(target, gradient, sign):
    assert abs(gradient_descent.steps_to(10**4, 1.0, target) - gradient) <= 1
    assert abs(sign_descent.steps_to(10**4, 1.0, target) - sign) <= 1
    for steps_to, loss in (
        (gradient_descent.steps_to, lambda t: gradient_descent.relative_loss(10**4, 1.0, t)),
        (sign_descent.steps_to, lambda t: sign_descent.best_relative_loss(10**4, 1.0, t)[0]),
    ):
        steps = steps_to(10**4, 1.0, target)
        assert loss(steps) <= target < loss(steps - 1)


def test_slopes_against_the_vocabulary():
    sizes = np.array([10**3, 10**4, 10**5])
    for target in (0.3, 0.5):
        gradient = [gradient_descent.steps_to(int(d), 1.0, target) for d in sizes]
        sign = [sign_descent.steps_to(int(d), 1.0, target) for d in sizes]
        assert np.polyfit(np.log(sizes), np.log(gradient), 1)[0] == pytest.approx(
            1 - target, abs=0.06
        )
        assert np.polyfit(np.log(sizes), np.log(sign), 1)[0] == pytest.approx(0.5, abs=0.02)


def counted(seed: int = 0, size: int = 30, length: int = 4000) -> Bigrams:
    rng = np.random.default_rng(seed)
    probabilities = frequencies(size, 1.0)
    return Bigrams.of([rng.choice(size, length, p=probabilities) for _ in range(3)], size)


def test_counts_are_frequencies():
    sequences = [np.array([0, 1, 0, 1, 2]), np.array([2]), np.array([1, 0])]
    bigrams = Bigrams.of(sequences, 4)
    pairs = dict(zip(zip(bigrams.first, bigrams.second, strict=True), bigrams.counts, strict=True))
    assert pairs == {(0, 1): 2, (1, 0): 2, (1, 2): 1}
    np.testing.assert_allclose(bigrams.marginals, [0.4, 0.6, 0, 0])
    # L(0) - L* = 1/2 sum pi_i pi_{j|i}^2.
    assert bigrams.entries.start == pytest.approx(0.5 * (0.4 + 0.6 * (4 / 9 + 1 / 9)))


def test_symbols_out_of_range_are_refused():
    with pytest.raises(DataError, match=r"must lie in \[0, 3\)"):
        Bigrams.of([np.array([0, 3])], 3)
    with pytest.raises(DataError, match="no sequence has two symbols"):
        Bigrams.of([np.array([1])], 3)


@pytest.mark.parametrize("method", ["gradient", "sign"])
def test_losses_on_counts_are_those_of_a_run(method):
    bigrams = counted()
    for steps in (1, 2, 7, 40):
        if method == "gradient":
            step, exact = 1 / bigrams.marginals.max(), bigrams.entries.gradient_loss(steps)
        else:
            exact, step = bigrams.entries.best_sign_loss(steps)
        assert run_descent(bigrams, method, step, steps) == pytest.approx(exact, rel=1e-9)


def test_the_best_step_on_counts_is_near_the_best_of_a_fine_grid():
    bigrams = counted()
    for steps in (2, 10, 50):
        loss, _ = bigrams.entries.best_sign_loss(steps)
        grid = np.geomspace(1e-3 / steps, 1 / steps, 2000)
        best = min(bigrams.entries.sign_loss(steps, step) for step in grid)
        assert loss <= best * 1.02


def test_adam_is_that_of_torch():
    bigrams, rate, steps = counted(size=12), 0.01, 30
    target = torch.zeros((12, 12), dtype=torch.float64)
    conditional = bigrams.counts / bigrams.context_counts[bigrams.first]
    target[bigrams.first, bigrams.second] = torch.from_numpy(conditional)
    w = torch.zeros_like(target).requires_grad_(True)
    weight = torch.from_numpy(bigrams.marginals)[:, None]
    optimiser = torch.optim.Adam([w], lr=rate, eps=1e-16)
    losses = []
    for _ in range(steps + 1):
        loss = (weight * (w - target) ** 2).sum() / 2
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        # Pairs that never occur have no gradient; torch would divide 0 by epsilon, which is 0.
        optimiser.step()
    matrix = adam_losses(bigrams.entries, rate, steps)
    np.testing.assert_allclose(matrix, np.array(losses) / losses[0], rtol=1e-9)


def test_the_exponent_of_a_power_law_is_found():
    for exponent in (0.7, 1.0, 1.6):
        counts = np.round(1e9 * frequencies(500, exponent))
        exponents, misfit = fitted_exponent(np.random.default_rng(0).permutation(counts))
        assert exponents == pytest.approx(exponent, abs=1e-3)
        assert misfit < 1e-3
    with pytest.raises(ConfigError, match="at least 3"):
        fitted_exponent(np.array([100, 50, 3, 2]))


def test_cross_entropy_falls_and_its_gradient_is_right():
    # One step of gradient descent on the whole matrix, with torch's gradient.
    size, step = 15, 3.0
    pi = torch.from_numpy(frequencies(size, 1.0))
    w = torch.zeros((size, size), dtype=torch.float64, requires_grad=True)

    def excess(w: torch.Tensor) -> torch.Tensor:
        cross = -(pi[:, None] * pi * torch.log_softmax(w, 1)).sum()
        return cross + (pi * pi.log()).sum()

    start = excess(w)
    (gradient,) = torch.autograd.grad(start, w)
    expected = (excess(w - step * gradient) / start).item()
    losses = cross_entropy.gradient_losses(size, 1.0, step, 5)
    assert losses[1] == pytest.approx(expected, rel=1e-12)
    assert np.all(np.diff(losses) < 0)
    signs = cross_entropy.sign_losses(size, 1.0, 0.05, 20)
    (gradient,) = torch.autograd.grad(start_of := excess(w), w)
    expected = (excess(w - 0.05 * gradient.sign()) / start_of).item()
    assert signs[1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradient_descent.relative_loss(1, 1.0, 3), "size is 1"),
        (lambda: gradient_descent.relative_loss(10, -1.0, 3), "exponent is -1.0"),
        (lambda: gradient_descent.steps_to(10, 1.0, 0.0), "target is 0.0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
