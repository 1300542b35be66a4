"""Correlated families of noise: structure, closed forms, coordinates and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from noise_checks import check_factor, check_whitening
from pydantic import ValidationError
from scipy.linalg import toeplitz as scipy_toeplitz
from torch.distributions import MultivariateNormal, kl_divergence

from popinv.errors import ConfigError
from popinv.forward.base import Observations
from popinv.forward.section import ForwardSection, forward_section
from popinv.population.kinds import noise_section
from popinv.population.noise.channels import ChannelNoise
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.terms import composed
from popinv.population.noise.time_series import (
    AutoregressiveNoise,
    BlockNoise,
    autoregressive_factor,
)
from popinv.population.noise.unstructured import DiagonalNoise, FullNoise, IsotropicNoise
from popinv.population.synthetic import noise_rows

PLACES = np.array([[0.1], [0.4], [0.9]])

MODELS = {
    "autoregressive": AutoregressiveNoise(3, 4, order=1),
    "toeplitz": AutoregressiveNoise(2, 6, order=5),
    "full": FullNoise(5, shrinkage=0.0),
    "kernel": KernelNoise(PLACES, "matern32", nugget=False),
    "isotropic blocks": BlockNoise(IsotropicNoise(3), 4, 2),
    "diagonal blocks": BlockNoise(DiagonalNoise(3), 4, order=1),
    "kernel blocks": BlockNoise(KernelNoise(PLACES, "exponential", nugget=False), 4, order=1),
    "full blocks": BlockNoise(FullNoise(3, shrinkage=0.0), 4, order=1),
    "channels": ChannelNoise(2, 2, np.zeros(1), correlated_times=False),
    "channels over time": ChannelNoise(1, 3, np.array([0.0, 0.1, 0.9, 1.0]), correlated_times=True),
}
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def random_gamma(model, seed: int = 0, spread: float = 0.5) -> np.ndarray:
    return spread * np.random.default_rng(seed).standard_normal(len(model.names))


@each_model
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_positive_definite_with_a_true_factor_and_whitening(model, data):
    # The factor's condition number reaches cosh(2)^5 e^4, about 4e4, here.
    check_factor(model, data, smallest=-2.0, whitened=1e-9)


@each_model
@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_natural_values_go_there_and_back(model, seed):
    gamma = random_gamma(model, seed)
    natural = model.to_natural(gamma)
    named = dict(zip(model.names, natural, strict=True))
    np.testing.assert_allclose(model.from_natural(named), gamma, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model.bounded(model.unbounded(natural)), natural, rtol=1e-12)


@each_model
def test_natural_values_of_many_rows_are_those_of_each(model):
    rows = np.stack([random_gamma(model, seed) for seed in range(3)])
    each = np.stack([model.to_natural(row) for row in rows])
    np.testing.assert_allclose(model.to_natural(rows), each, rtol=1e-14)
    assert len(model.correlations) == len(model.scale) == len(model.names) == len(set(model.names))


@each_model
def test_samples_follow_the_factor_and_are_differentiable(model):
    gamma = torch.from_numpy(random_gamma(model)).requires_grad_(True)
    e = torch.from_numpy(np.random.default_rng(1).standard_normal((3, model.d_y)))
    torch.testing.assert_close(
        model.sample(gamma, e), e @ model.cholesky(gamma).T, rtol=1e-12, atol=1e-12
    )
    assert torch.autograd.gradcheck(lambda g: model.sample(g, e), gamma)
    assert torch.autograd.gradcheck(model.covariance, gamma)


@pytest.mark.full
@each_model
def test_sample_covariance_approaches_gamma(model):
    gamma = random_gamma(model, 3, 0.3)
    expected = model.covariance(torch.from_numpy(gamma)).numpy()
    xi = noise_rows(composed(model), gamma, seed=1, stage="test", clean=np.zeros((8000, model.d_y)))
    # Standard error of an entry: at most sqrt(2 / 8000) = 1.6 % of the largest variance.
    np.testing.assert_allclose(np.cov(xi.T), expected, atol=0.07 * expected.max())


def test_first_order_is_the_geometric_sequence():
    model = AutoregressiveNoise(2, 4, order=1)
    gamma = model.from_natural({"standard_deviation": 2.0, "correlation": -0.6})
    block = 4 * scipy_toeplitz((-0.6) ** np.arange(4))
    expected = np.kron(np.eye(2), block)
    np.testing.assert_allclose(
        model.covariance(torch.from_numpy(gamma)).numpy(), expected, rtol=1e-13, atol=1e-15
    )


@given(partial=st.lists(st.floats(-0.9, 0.9), min_size=1, max_size=6))
@settings(deadline=None, max_examples=40)
def test_partial_autocorrelations_are_those_of_the_correlation(partial):
    # Independent of Durbin-Levinson: pi_k is the last coefficient of the regression on k lags.
    order = len(partial)
    factor = autoregressive_factor(torch.atanh(torch.tensor(partial, dtype=torch.float64)), 9)
    correlation = (factor @ factor.T).numpy()
    np.testing.assert_allclose(correlation, scipy_toeplitz(correlation[:, 0]), atol=1e-11)
    r = correlation[:, 0]
    for k in range(1, 9):
        coefficients = np.linalg.solve(scipy_toeplitz(r[:k]), r[1 : k + 1])
        expected = partial[k - 1] if k <= order else 0.0
        # Six partials of 0.9 leave an error variance of 5e-5, so a condition number of 1e6.
        assert coefficients[-1] == pytest.approx(expected, abs=1e-8)


def test_the_highest_order_reaches_any_toeplitz_matrix():
    r = np.array([1.0, 0.5, 0.1, -0.2, 0.05])
    matrix = scipy_toeplitz(r)
    partial = [np.linalg.solve(scipy_toeplitz(r[:k]), r[1 : k + 1])[-1] for k in range(1, 5)]
    model = AutoregressiveNoise(1, 5, order=4)
    gamma = model.from_natural({"standard_deviation": 1.0, "correlation": partial})
    np.testing.assert_allclose(
        model.covariance(torch.from_numpy(gamma)).numpy(), matrix, atol=1e-14
    )


def test_a_correlation_next_to_one_keeps_its_digits():
    factor = autoregressive_factor(torch.tensor([15.0], dtype=torch.float64), 3)
    # 1 - tanh(15)^2 = 4 e^{-30} to the last digits; forming it from tanh would leave four.
    assert float(factor[1, 1]) == pytest.approx(2 * np.exp(-15.0), rel=1e-10)


@pytest.mark.parametrize("name", [name for name in MODELS if "blocks" in name])
def test_blocks_are_the_kronecker_product(name):
    model = MODELS[name]
    gamma = torch.from_numpy(random_gamma(model))
    count = len(model.places.names)
    over_places = model.places.covariance(gamma[:count]).numpy()
    order = len(model.names) - count
    in_time = AutoregressiveNoise(1, 4, order)
    unit = torch.cat([torch.zeros(1, dtype=torch.float64), gamma[count:]])
    expected = np.kron(over_places, in_time.covariance(unit).numpy())
    np.testing.assert_allclose(model.covariance(gamma).numpy(), expected, rtol=1e-13)


def test_isotropic_blocks_are_the_autoregressive_family():
    blocks, series = BlockNoise(IsotropicNoise(3), 4, order=1), AutoregressiveNoise(3, 4, order=1)
    gamma = torch.tensor([0.3, -0.7], dtype=torch.float64)
    torch.testing.assert_close(blocks.covariance(gamma), series.covariance(gamma))


def test_names_are_readable():
    assert AutoregressiveNoise(2, 3, order=1).names == ("standard_deviation", "correlation")
    assert AutoregressiveNoise(2, 3, 2).names[1:] == (
        "partial_correlation_1",
        "partial_correlation_2",
    )
    assert MODELS["kernel blocks"].names == ("standard_deviation", "length", "time_correlation")
    assert MODELS["full blocks"].names[2:] == (
        "standard_deviation_3",
        "place_correlation_1_2",
        "place_correlation_1_3",
        "place_correlation_2_3",
        "time_correlation",
    )
    assert FullNoise(3, shrinkage=0.0).names[3:] == (
        "correlation_1_2",
        "correlation_1_3",
        "correlation_2_3",
    )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("autoregressive", {"standard_deviation": 0.2, "correlation": 0.5}),
        ("toeplitz", {"standard_deviation": 0.2, "correlation": 0.5}),
        ("toeplitz", {"standard_deviation": 0.2, "correlation": [0.5, 0.1, 0, 0, -0.3]}),
        ("full", {"standard_deviation": 0.2, "correlation": 0.3}),
        ("full", {"standard_deviation": [1.0, 2, 3, 4, 5], "correlation": 0.0}),
        ("isotropic blocks", {"standard_deviation": 0.2, "time_correlation": 0.5}),
        ("diagonal blocks", {"standard_deviation": [1, 2, 3.0], "time_correlation": 0.5}),
        (
            "kernel blocks",
            {"standard_deviation": 0.2, "length": 0.3, "time_correlation": 0.5},
        ),
        (
            "full blocks",
            {"standard_deviation": 1.0, "place_correlation": [0.1, 0.2, 0], "time_correlation": 0},
        ),
    ],
)
def test_values_of_the_configuration_are_taken(name, values):
    model = MODELS[name]
    natural = dict(zip(model.names, model.to_natural(model.from_natural(values)), strict=True))
    for key, value in values.items():
        if key in natural:
            assert natural[key] == pytest.approx(value)
    if name.endswith("blocks"):
        variances = np.diag(model.covariance(torch.from_numpy(model.from_natural(values))))
        each = np.repeat(np.broadcast_to(values["standard_deviation"], 3), 4)
        np.testing.assert_allclose(variances, each**2, rtol=1e-7)


def test_full_natural_values_are_deviations_and_correlations():
    model = FullNoise(4, shrinkage=0.0)
    root = np.random.default_rng(0).standard_normal((4, 4))
    covariance = root @ root.T
    gamma = model.from_cholesky(torch.from_numpy(np.linalg.cholesky(covariance)))
    torch.testing.assert_close(model.covariance(gamma), torch.from_numpy(covariance))
    deviations = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviations, deviations)
    expected = [*deviations, *(correlation[j, i] for j in range(4) for i in range(j))]
    np.testing.assert_allclose(model.to_natural(gamma.numpy()), expected, rtol=1e-12)


def test_full_penalty_is_the_divergence_from_independent_noise():
    model = FullNoise(4, shrinkage=0.7)
    gamma = torch.from_numpy(random_gamma(model))
    covariance = model.covariance(gamma)
    mean = torch.zeros(4, dtype=torch.float64)
    noise = MultivariateNormal(mean, covariance)
    independent = MultivariateNormal(mean, torch.diag(torch.diagonal(covariance)))
    expected = 0.7 * kl_divergence(independent, noise)
    torch.testing.assert_close(model.penalty(gamma), expected, rtol=1e-12, atol=0)


def test_full_moves_by_the_exponential_and_knows_its_whitened_gradient():
    model = FullNoise(4, shrinkage=0.0)
    gamma = random_gamma(model)
    rng = np.random.default_rng(0)
    change = rng.standard_normal((4, 4))
    change = (change + change.T) / 2
    factor = model.cholesky(torch.from_numpy(gamma)).numpy()
    moved = torch.from_numpy(model.moved(gamma, change))
    values, vectors = np.linalg.eigh(change)
    expected = factor @ (vectors * np.exp(2 * values)) @ vectors.T @ factor.T
    np.testing.assert_allclose(model.covariance(moved).numpy(), expected, rtol=1e-10, atol=1e-12)

    weight = torch.from_numpy(rng.standard_normal((4, 4)))

    def value(g: np.ndarray) -> float:
        return float((weight * model.covariance(torch.from_numpy(g))).sum())

    p = torch.from_numpy(gamma).requires_grad_(True)
    (gradient,) = torch.autograd.grad((weight * model.covariance(p)).sum(), p)
    slope = model.whitened_gradient(gamma, gradient.numpy())
    h = 1e-6
    difference = (
        value(model.moved(gamma, h * change)) - value(model.moved(gamma, -h * change))
    ) / 2
    assert np.sum(slope * change) == pytest.approx(difference / h, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("autoregressive", {"standard_deviation": 1, "correlation": 1.0}, "between -1 and 1"),
        ("autoregressive", {"standard_deviation": 1, "correlation": [0.1, 0.2]}, "expected one"),
        ("full", {"standard_deviation": [1.0, 2.0], "correlation": 0.0}, "one number or 5"),
        ("full", {"standard_deviation": 1, "correlation": -0.5}, "not positive definite"),
        ("kernel blocks", {"standard_deviation": 1, "time_correlation": 0.1}, "expected the name"),
    ],
)
def test_values_that_no_noise_has_are_refused(name, values, message):
    with pytest.raises(ValueError, match=message):
        MODELS[name].from_natural(values)


@pytest.mark.parametrize("order", [0, 3])
def test_orders_that_do_not_fit_are_refused(order):
    for build in (
        lambda: AutoregressiveNoise(2, 3, order),
        lambda: BlockNoise(FullNoise(2, shrinkage=0.0), 3, order),
    ):
        with pytest.raises(ValueError, match="does not fit 3 times"):
            build()


def series(times) -> Observations:
    x, t = np.meshgrid([0.2, 0.7], times, indexing="ij")
    return Observations(np.column_stack([x.ravel(), t.ravel()]), ("x", "t"), "u")


@pytest.mark.parametrize(
    ("places", "kind"),
    [("isotropic", IsotropicNoise), ("diagonal", DiagonalNoise), ("full", FullNoise)],
)
def test_sections_become_models(places, kind):
    observations = series([0.1, 0.2, 0.3])
    blocks = noise_section({"kind": "blocks", "places": places, "order": 2}).noise(observations)
    assert isinstance(blocks.places, kind)
    assert (blocks.d_y, blocks.times, blocks.places.d_y) == (6, 3, 2)
    assert noise_section({"kind": "full", "shrinkage": 0.2}).noise(observations).shrinkage == 0.2
    assert noise_section({"kind": "autoregressive", "order": 1}).noise(observations).times == 3


def test_a_kernel_over_places_leaves_time_out():
    blocks = noise_section({"kind": "blocks", "places": "matern32", "order": 1}).noise(
        series([0, 1, 2])
    )
    values = {"standard_deviation": 1.0, "length": 0.5, "time_correlation": 0.0}
    covariance = blocks.covariance(torch.from_numpy(blocks.from_natural(values))).numpy()
    expected = KernelNoise(np.array([[0.2], [0.7]]), "matern32", nugget=False)
    gamma = torch.from_numpy(expected.from_natural({"amplitude": 1.0, "length": 0.5}))
    assert covariance[0, 3] == pytest.approx(float(expected.covariance(gamma)[0, 1]))


def test_a_kernel_over_places_reads_all_their_coordinates():
    places = np.array([[0.0, 0.0], [0.3, 0.4]])
    coordinates = np.column_stack([np.repeat(places, 3, axis=0), np.tile([0.0, 1.0, 2.0], 2)])
    observations = Observations(coordinates, ("x", "y", "t"), "u")
    blocks = noise_section({"kind": "blocks", "places": "exponential"}).noise(observations)
    values = {"standard_deviation": 1.0, "length": 0.5, "time_correlation": 0.0}
    covariance = blocks.covariance(torch.from_numpy(blocks.from_natural(values)))
    assert covariance[0, 3] == pytest.approx(np.exp(-1.0), rel=1e-6)


def forward(**observations) -> ForwardSection:
    keys = {"kind": "python", "function": "model:solve", "parameters": ["a"]}
    return forward_section({**keys, "observations": observations})


def described(section, model: ForwardSection) -> list[str]:
    problems = [*section.problems(model), *section.value_problems(section.start, model)]
    return [problem.text for problem in problems]


FULL_BLOCKS = {"kind": "blocks", "places": "full"}


@pytest.mark.parametrize(
    ("entries", "keys", "part"),
    [
        (2, {"kind": "channels"}, None),
        (4, {"kind": "channels", "channels": 2, "start": {"standard_deviation": [1, 2]}}, None),
        (1, {"kind": "channels"}, "got 1, but there are 1 entries"),
        (4, {"kind": "channels", "channels": 3}, "got 3, but there are 4 entries"),
        (2, {"kind": "channels", "start": {"standard_deviation": [1, 2, 3]}}, "are 2 channels"),
        (3, {"kind": "channels", "start": {"correlation": [0.1]}}, "3 have 3 pairs"),
        (3, {"kind": "channels", "start": {"correlation": -0.6}}, "are impossible"),
        (2, {"kind": "blocks", "order": 2}, None),
        (2, {"kind": "blocks", "order": 3}, "with 3 times it must be at most 2"),
        (2, {"kind": "blocks", "places": "matern32"}, None),
        (3, {**FULL_BLOCKS, "start": {"place_correlation": -0.4}}, None),
        (3, {**FULL_BLOCKS, "start": {"place_correlation": -0.6}}, "are impossible"),
        (3, {**FULL_BLOCKS, "start": {"place_correlation": [0.1]}}, "3 have 3 pairs"),
        (3, {"kind": "autoregressive", "order": 3}, "with 3 times it must be at most 2"),
        (3, {"kind": "autoregressive", "start": {"correlation": [0.1, 0.2]}}, "are 1 lags"),
    ],
)
def test_sections_name_what_does_not_fit_the_observations(entries, keys, part):
    texts = described(noise_section(keys), forward(count=entries, times=[0.1, 0.2, 0.3]))
    assert len(texts) == (part is not None), texts
    assert all(part in text for text in texts)


def test_all_observations_without_times_are_channels():
    section = noise_section({"kind": "channels", "start": {"standard_deviation": [1, 2, 3, 4]}})
    assert described(section, forward(count=4)) == []
    (text,) = described(section, forward(count=8))
    assert "got 4 numbers, but there are 8 channels" in text
    (text,) = described(section.replace(times="exponential"), forward(count=4))
    assert "the observations have no times" in text


def test_the_start_of_a_kernel_has_a_nugget_where_the_noise_has_one():
    assert "nugget" not in noise_section({"kind": "kernel"}).start_values()
    asked = {"kind": "kernel", "nugget": True}
    assert noise_section(asked).start_values()["nugget"] > 0
    given = noise_section({**asked, "start": {"nugget": 0.02}})
    assert given.start_values()["nugget"] == 0.02
    with pytest.raises(ValidationError, match="set 'nugget: true' beside it"):
        noise_section({"kind": "kernel", "start": {"nugget": 0.02}})


@pytest.mark.parametrize("times", [[0.1, 0.2, 0.4], [0.1]])
def test_irregular_times_are_refused(times):
    with pytest.raises(ConfigError, match="equally spaced times"):
        noise_section({"kind": "autoregressive", "order": 1}).noise(series(times))


def test_no_time_is_refused():
    observations = Observations(PLACES, ("x",), "u")
    with pytest.raises(ConfigError, match="have no time: their coordinates are x"):
        noise_section({"kind": "blocks", "places": "full", "order": 1}).noise(observations)


@each_model
@settings(max_examples=10)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_noise_is_whitened_to_what_it_was_made_of_and_has_the_covariance(model, data, seed):
    check_whitening(model, data, seed)
