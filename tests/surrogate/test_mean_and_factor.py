"""The network of mean and covariance of a random simulator's answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popinv.population.noise.intrinsic import Factor
from popinv.surrogate.artefact import surrogate_dataset, surrogate_of
from popinv.surrogate.mean_and_factor import (
    GaussianScore,
    MeanAndFactor,
    natural_outputs,
    systematic_error,
)
from popinv.surrogate.training import TrainingData, TrainingSettings, prepare, train
from popinv.surrogate.training_problem import loss_and_gradient, loss_of

SMALL = {"width": 16, "depth": 2}


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def score(d: int, transformed: bool = False) -> GaussianScore:
    root = 0.3 * drawn(d, d, seed=1)
    noise = root @ root.T + 0.1 * torch.eye(d, dtype=torch.float64)
    return GaussianScore(Factor(d), noise, transformed)


@pytest.mark.parametrize("transformed", [False, True])
@pytest.mark.parametrize("d", [1, 3, 12])
def test_the_gradient_is_that_of_the_loss(d, transformed):
    loss = score(d, transformed)
    answer = (0.5 * drawn(20, d + loss.factor.size)).requires_grad_(True)
    # Some solves are farther away than usual.
    y = drawn(20, d, seed=2) * torch.linspace(0.1, 60, 20)[:, None].double()
    (wanted,) = torch.autograd.grad(loss(answer, y).sum(), answer)
    value, gradient = loss.with_gradient(answer.detach(), y)
    torch.testing.assert_close(value, loss(answer, y).detach())
    torch.testing.assert_close(gradient, wanted)


def test_the_loss_is_the_expected_log_score_with_noise():
    loss = score(2)
    answer, y = 0.5 * drawn(1, 2 + loss.factor.size), drawn(1, 2, seed=2)
    mean, entries = natural_outputs(answer, loss.factor)
    covariance = loss.factor.covariance(entries)[0] + loss.noise
    law = torch.distributions.MultivariateNormal(mean[0], covariance)
    # The log density is quadratic, for which these points of the noise are exact.
    moves = 2**0.5 * torch.linalg.cholesky(loss.noise).T
    expected = -law.log_prob(y + torch.cat([moves, -moves])).mean() - np.log(2 * np.pi)
    assert float(loss(answer, y)) == pytest.approx(float(expected))


def test_the_loss_is_least_at_the_true_mean_and_covariance():
    loss = score(3)
    answer = 0.3 * drawn(1, 3 + loss.factor.size)
    mean, entries = natural_outputs(answer, loss.factor)
    moves = 3**0.5 * torch.linalg.cholesky(loss.factor.covariance(entries)[0]).T
    y = mean + torch.cat([moves, -moves])
    gradient = loss.with_gradient(answer.expand(6, -1), y)[1].mean(dim=0)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))
    near = loss(answer.expand(6, -1), y).mean()
    for move in 0.1 * torch.eye(answer.shape[1], dtype=torch.float64):
        for sign in (1, -1):
            assert loss((answer + sign * move).expand(6, -1), y).mean() > near


def random_line(n: int, seed: int) -> TrainingData:
    """Return solves of mean (a, a + b) and deviations exp(-1 + b / 2) (1, 0.5), correlated 0.5."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 2))
    e = rng.standard_normal((n, 2))
    e[:, 1] = 0.5 * (0.5 * e[:, 0] + np.sqrt(0.75) * e[:, 1])
    mean = np.stack([z[:, 0], z[:, 0] + z[:, 1]], axis=1)
    return TrainingData(z, mean + np.exp(-1 + z[:, 1:] / 2) * e)


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(**{"hyperparameters": SMALL, "random": True, **changes})


def test_the_gradient_of_a_training_step_is_that_of_its_loss():
    problem = prepare(random_line(60, 0), settings(whitening=np.eye(2)))
    value, gradient = loss_and_gradient(problem, *problem.training)
    loss = loss_of(problem, *problem.training)
    parts = torch.autograd.grad(loss, list(problem.network.parameters()))
    assert value == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(
        gradient, torch.cat([part.reshape(-1) for part in parts]), rtol=1e-3, atol=1e-5
    )


@pytest.fixture(scope="module")
def learned() -> MeanAndFactor:
    whitening = np.linalg.inv(0.2 * np.eye(2))
    data = random_line(3000, 1)
    trained = train(data, settings(whitening=whitening, max_epochs=60), progress=False)[0]
    return MeanAndFactor.of_training(trained, data.z)


def test_mean_and_covariance_are_learned_from_single_solves(learned):
    z = np.random.default_rng(9).standard_normal((500, 2))
    signal = torch.from_numpy(learned.predict(z))
    size = np.exp(-1 + z[:, 1] / 2)
    mean = np.stack([z[:, 0], z[:, 0] + z[:, 1]], axis=1)
    error = (signal[:, :2].numpy() - mean) / size[:, None]
    # About 30 effective coefficients from 3000 solves give 0.1.
    assert np.sqrt((error**2).mean()) < 0.2
    covariance = learned.factor.covariance(signal[:, 2:]).numpy() / size[:, None, None] ** 2
    np.testing.assert_allclose(np.median(covariance, axis=0), [[1, 0.25], [0.25, 0.25]], atol=0.08)
    assert np.sqrt(np.mean((np.log(covariance[:, 0, 0])) ** 2)) < 0.3


def test_the_derivatives_are_those_of_the_signal(learned):
    surrogate = learned.in_double()
    # The last rows are far outside the training solves.
    z = drawn(6, 2) * torch.tensor([1, 1, 1, 2, 4, 8], dtype=torch.float64)[:, None]
    tangents = drawn(3, 6, 2)
    value, change = surrogate.linearise(z, tangents)
    torch.testing.assert_close(value, surrogate(z))
    for tangent, moved in zip(tangents, change, strict=True):
        wanted = torch.autograd.functional.jvp(surrogate, z, tangent)[1]
        torch.testing.assert_close(moved, wanted)


def test_a_stored_surrogate_is_the_same(learned):
    stored = surrogate_dataset(learned, {}, {})
    again = surrogate_of(stored)
    assert isinstance(again, MeanAndFactor)
    # Within the training solves and outside.
    z = torch.cat([drawn(5, 2), 20 * drawn(5, 2)])
    assert torch.equal(again(z), learned(z))


def test_an_answer_is_bounded_outside_the_training_solves_alone(learned):
    data = random_line(3000, 1)
    inside = torch.from_numpy(data.z)
    outputs = learned.inner.standardised(inside)
    assert torch.equal(learned.trained.bounded(outputs), outputs)
    directions = drawn(200, 2)
    far = 1e3 * directions / directions.norm(dim=1, keepdim=True)
    free = natural_outputs(learned.inner.standardised(far), learned.factor)[1]
    assert not free.abs().max() < 1e30
    deviations = learned.factor.covariance(learned(far)[:, 2:]).diagonal(dim1=1, dim2=2).sqrt()
    # The solves have means within 7 and deviations up to 2. Beyond them, half of the range of the
    # arcsinh of a mean and of a log deviation is added.
    assert deviations.max() < 1e3
    assert learned(far)[:, :2].abs().max() < 1e3


def test_units_of_answers_do_not_matter():
    data, factors = random_line(200, 3), np.array([1e4, 1e-3])
    other = TrainingData(data.z, 5.0 + factors * data.y)
    one, two = (
        MeanAndFactor.of_training(train(each, settings(max_epochs=3), progress=False)[0], each.z)
        for each in (data, other)
    )
    z = drawn(4, 2)
    signal, scaled = one(z), two(z)
    torch.testing.assert_close(
        scaled[:, :2], 5.0 + torch.from_numpy(factors) * signal[:, :2], rtol=1e-3, atol=1e-4
    )
    rows = one.factor.places[0]
    torch.testing.assert_close(
        scaled[:, 2:], torch.from_numpy(factors)[rows] * signal[:, 2:], rtol=1e-2, atol=1e-4
    )


@pytest.mark.full
def test_a_broad_design_with_answers_of_any_size_is_learned():
    rng = np.random.default_rng(5)
    z = rng.normal(0, 3, (1000, 1))
    y = np.exp(2 * z + 0.1 * rng.standard_normal((1000, 1)))
    trained = train(TrainingData(z, y), settings(), progress=False)[0]
    surrogate = MeanAndFactor.of_training(trained, z)
    tested = np.linspace(-2, 4, 13)[:, None]
    found = surrogate.predict(tested)[:, 0]
    # The answers lie between 0.02 and 3000, and those of the design between 1e-9 and 1e9.
    np.testing.assert_allclose(found[tested[:, 0] > 0], np.exp(2 * tested[tested > 0]), rtol=0.3)


def test_the_systematic_error_is_that_of_the_mean():
    rng, factor = np.random.default_rng(6), Factor(2)
    z = rng.standard_normal((4000, 2))
    entries = np.tile([0.5, 0.7, 0.2], (4000, 1))
    covariance = factor.covariance(torch.from_numpy(entries[:1]))[0].numpy()
    y = rng.multivariate_normal(np.zeros(2), covariance, size=4000)
    noise = np.diag([0.3, 0.4]) ** 2
    right = np.concatenate([np.zeros((4000, 2)), entries], axis=1)
    # The standard error of the mean square is 2 / 4000 or so.
    assert systematic_error(right, z, y, noise) < 0.04
    root = np.linalg.cholesky(covariance + noise)
    wrong = right.copy()
    wrong[:, :2] += (0.3 + 0.2 * z[:, :1] * np.ones(2)) @ root.T
    found = systematic_error(wrong, z, y, noise)
    assert found == pytest.approx(np.sqrt(0.3**2 + 0.2**2), rel=0.15)
