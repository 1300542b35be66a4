"""Laws: closed-form moments, differentiability, names, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from popinv.forward.wavenumbers import wavenumbers
from popinv.population.constraints import POSITIVE, REAL, Interval
from popinv.population.laws.composed import ProductLaw
from popinv.population.laws.fields import LevelSetLaw, MaternLaw
from popinv.population.laws.gaussian import GaussianLaw, lognormal_law, normal_law
from popinv.population.laws.mixture import MixtureLaw
from popinv.population.laws.section import flat_values
from popinv.population.synthetic import broad_parameters, parameters

LAWS = {
    "matern_1d": (MaternLaw(1, 8, 1.5), [0.5, 0.6, 0.3]),
    "matern_2d": (MaternLaw(2, 4, 2.0), [-0.5, 0.4, 0.2]),
    "level_set_1d": (LevelSetLaw(1, 8), [5.0, 0.5, 3.0]),
    "level_set_2d": (LevelSetLaw(2, 4), [5.0, 0.5, 3.0]),
    "normal": (normal_law(["a", "b"]), [1.0, -2.0, 0.5, 2.0]),
    "lognormal": (lognormal_law(["a", "b"]), [1.0, -2.0, 0.5, 0.1]),
    "correlated": (normal_law(["a", "b"], groups=["ba"]), [1.0, -2.0, 0.5, 2.0, -0.6]),
    "mixed": (
        GaussianLaw(
            ["a", "b", "c", "d", "e"],
            [POSITIVE, REAL, Interval(1.0, 4.0), POSITIVE, REAL],
            common=["b"],
            fixed={"d": 2.5},
            groups=["ace"],
        ),
        [1.0, -2.0, 0.5, 3.0, 0.2, 0.4, 1.5, 0.7, -0.3, 0.1],
    ),
    "mixture": (
        MixtureLaw(["a", "b"], [REAL, POSITIVE], 2),
        [0.6, -1.0, 0.2, 2.5, 1.0, 0.5, 0.3, 0.7, 0.2],
    ),
    "mixture of one": (MixtureLaw(["a", "b"], [REAL, REAL], 1), [1.0, -2.0, 0.5, 2.0]),
}


def omega(law, count: int = 6) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((count, law.d_omega)))


@pytest.mark.parametrize("name", LAWS)
def test_gradients_with_respect_to_alpha(name):
    law, natural = LAWS[name]
    alpha = torch.from_numpy(law.from_natural(natural)).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda a: law.sample(a, omega(law)), alpha)


@pytest.mark.parametrize("name", LAWS)
def test_a_law_says_whether_it_is_affine(name):
    law, natural = LAWS[name]
    alpha = torch.from_numpy(law.from_natural(natural))
    for each in (law, ProductLaw(law, normal_law(["c"])), ProductLaw(normal_law(["c"]), law)):
        all_alpha = alpha
        if each is not law:
            halves = (alpha, torch.tensor([0.3, -0.2], dtype=torch.float64))
            all_alpha = torch.cat(halves if each._first is law else halves[::-1])
        first, second = omega(each)[:3], omega(each)[3:]
        ends = [each.sample(all_alpha, w) for w in (first, second, (first + second) / 2)]
        affine = torch.allclose(ends[2], (ends[0] + ends[1]) / 2, rtol=1e-12, atol=1e-14)
        assert affine == each.affine == law.affine


@pytest.mark.parametrize("name", LAWS)
def test_a_law_says_which_entries_differ_between_systems(name):
    law, natural = LAWS[name]
    z = law.sample(torch.from_numpy(law.from_natural(natural)), omega(law))
    np.testing.assert_array_equal(law.varying, (z.std(dim=0) > 0).numpy())


@pytest.mark.parametrize("name", LAWS)
def test_natural_values_round_trip(name):
    law, natural = LAWS[name]
    np.testing.assert_allclose(law.to_natural(law.from_natural(natural)), natural, rtol=1e-14)
    named = dict(zip(law.names, natural, strict=True))
    np.testing.assert_array_equal(law.from_natural(named), law.from_natural(natural))


@pytest.mark.parametrize("name", LAWS)
def test_one_alpha_per_row_equals_row_by_row(name):
    law, natural = LAWS[name]
    base = torch.from_numpy(law.from_natural(natural))
    alphas = base + 0.1 * torch.arange(6, dtype=torch.float64)[:, None]
    together = law.sample(alphas, omega(law))
    for i in range(6):
        alone = law.sample(alphas[i], omega(law)[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dimension", [1, 2])
@given(length=st.floats(0.02, 5), deviation=st.floats(0.05, 3))
def test_standard_deviation_of_a_matern_field_is_that_of_its_picture(dimension, length, deviation):
    law = MaternLaw(dimension, 6, 1.5)
    q = law.spectrum(torch.tensor(length, dtype=torch.float64)).numpy()
    n = 64
    line = (np.arange(n) + 0.5) / n
    points = np.stack(np.meshgrid(*[line] * dimension, indexing="ij"), -1).reshape(-1, dimension)
    k = wavenumbers(dimension, 6)
    cosines = np.prod(np.cos(np.pi * k[:, None, :] * points[None]), axis=-1)
    # The pointwise variance sum_j s^2 q_j cos_j(x)^2, averaged over the domain; the mid-point
    # rule is exact for these cosines.
    variance = (deviation**2 * q[:, None] * cosines**2).sum(axis=0).mean()
    assert variance == pytest.approx(deviation**2, rel=1e-12)


def test_matern_spectrum_follows_the_formula():
    law, length = MaternLaw(2, 3, 1.0), 0.4
    q = law.spectrum(torch.tensor(length, dtype=torch.float64)).numpy()
    k2 = (wavenumbers(2, 3) ** 2).sum(axis=1)
    formula = (1 + length**2 * np.pi**2 * k2) ** -2.0
    np.testing.assert_allclose(q / q[0], formula / formula[0], rtol=1e-13)


def test_matern_sample_has_the_moments_of_alpha():
    law = MaternLaw(1, 5, 1.5)
    alpha = law.from_natural([0.7, 0.5, 0.2])
    z = parameters(law, alpha, seed=1, stage="test", count=4000)
    assert np.all(z[:, 0] == 0.7)
    q = law.spectrum(torch.tensor(0.2, dtype=torch.float64)).numpy()
    # Relative standard error of a variance at 4000 draws: sqrt(2/4000) = 2.2 %; four of them.
    np.testing.assert_allclose(z[:, 1:].var(axis=0), 0.25 * q, rtol=0.09)


def test_level_set_coefficients_have_unit_norm_and_permeabilities_pass_through():
    law = LevelSetLaw(1, 8)
    z = parameters(law, law.from_natural([4.0, 0.5, 3.0]), 1, "test", 50)
    np.testing.assert_allclose(z[:, :2], np.log([[0.5, 3.0]] * 50), rtol=1e-14)
    # L2 norm on (0, 1): cosines have mean square 1/2.
    np.testing.assert_allclose((z[:, 2:] ** 2).sum(axis=1) / 2, 1.0, rtol=1e-13)


@pytest.mark.parametrize("dimension", [1, 2])
def test_level_set_coefficients_are_in_the_proportions_of_the_formula(dimension):
    law = LevelSetLaw(dimension, 4)
    c = law.sample(torch.from_numpy(law.from_natural([5.0, 0.5, 3.0])), omega(law))[:, 2:]
    squares = np.sum(wavenumbers(dimension, 4) ** 2, axis=1)
    unscaled = omega(law).numpy() / (np.pi**2 * squares + 25.0) ** 2
    factors = np.linalg.norm(c, axis=1, keepdims=True) / np.linalg.norm(
        unscaled, axis=1, keepdims=True
    )
    np.testing.assert_allclose(c, factors * unscaled, rtol=1e-12)


def test_a_longer_inverse_length_roughens_the_level_set():
    law = LevelSetLaw(1, 8)
    smooth, rough = (
        parameters(law, law.from_natural([v, 1.0, 2.0]), 1, "test", 200)[:, 2:] for v in (1.0, 20.0)
    )
    k2 = np.arange(1, 9) ** 2
    assert (smooth**2 @ k2).mean() < (rough**2 @ k2).mean()


def test_lognormal_is_the_exponential_of_normal():
    law, log_law = normal_law(["a", "b"]), lognormal_law(["a", "b"])
    alpha = torch.from_numpy(law.from_natural([1.0, -2.0, 0.5, 2.0]))
    torch.testing.assert_close(
        log_law.sample(alpha, omega(law)), torch.exp(law.sample(alpha, omega(law)))
    )
    assert law.names == ("a_mean", "b_mean", "a_standard_deviation", "b_standard_deviation")


def test_a_broad_design_varies_alpha_from_row_to_row():
    law = normal_law(["a"])
    alpha = law.from_natural([1.0, 0.5])
    z = broad_parameters(law, alpha, np.array([2.0, 0.0]), 1, "test", 4000)
    # Var z = spread^2 + s^2 = 4.25, within four standard errors (2.2 % each).
    assert z.var() == pytest.approx(4.25, rel=0.09)
    again = broad_parameters(law, alpha, np.array([2.0, 0.0]), 1, "test", 10)
    np.testing.assert_array_equal(again, z[:10])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mean": 0.0, "length": 1.0}, "expected the names"),
        ({"mean": 0.0, "standard_deviation": -1.0, "length": 1.0}, "positive"),
        ([1.0, 2.0], "expected 3 values"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        MaternLaw(1, 4, 1.5).from_natural(values)


WITH_DENSITY = {
    **{name: law for name, law in LAWS.items() if not name.startswith("level_set")},
    "product": (
        ProductLaw(MaternLaw(1, 4, 1.5), lognormal_law(["stiffness"])),
        [0.5, 0.6, 0.3, 1.0, 0.2],
    ),
}


@pytest.mark.parametrize("name", ["normal", "lognormal"])
def test_log_density_of_independent_parameters_is_that_of_scipy(name):
    law, natural = LAWS[name]
    alpha = torch.from_numpy(law.from_natural(natural))
    z = law.sample(alpha, omega(law))
    mean, deviation = np.array(natural[:2]), np.array(natural[2:])
    if name == "normal":
        expected = stats.norm(mean, deviation).logpdf(z.numpy())
    else:
        expected = stats.lognorm(deviation, scale=np.exp(mean)).logpdf(z.numpy())
    np.testing.assert_allclose(law.log_density(alpha, z), expected.sum(axis=1), rtol=1e-12)


def test_log_density_of_a_matern_field_is_that_of_its_coefficients():
    law = MaternLaw(2, 3, 1.0)
    alpha = torch.from_numpy(law.from_natural([0.5, 0.6, 0.3]))
    z = law.sample(alpha, omega(law))
    covariance = 0.36 * np.diag(law.spectrum(torch.tensor(0.3, dtype=torch.float64)).numpy())
    expected = stats.multivariate_normal(cov=covariance).logpdf(z[:, 1:].numpy())
    np.testing.assert_allclose(law.log_density(alpha, z), expected, rtol=1e-12)


@pytest.mark.parametrize("name", WITH_DENSITY)
def test_the_law_of_known_parameters_is_found_again(name):
    law, natural = WITH_DENSITY[name]
    alpha = law.from_natural(natural)
    z = parameters(law, alpha, seed=2, stage="test", count=5000)
    estimate = law.most_likely(z, alpha + 0.5)
    # Standard errors at 5000 draws are at most 3 % (the largest deviation, 2, over root 5000).
    np.testing.assert_allclose(estimate, alpha, atol=0.12)
    # The score at the maximum is zero, but for the mean that has no density.
    at = torch.from_numpy(estimate).requires_grad_(True)
    law.log_density(at, torch.from_numpy(z)).mean().backward()
    np.testing.assert_allclose(at.grad, 0.0, atol=1e-3)


@pytest.mark.parametrize("name", WITH_DENSITY)
def test_unbounded_coordinates_are_undone(name):
    law, natural = WITH_DENSITY[name]
    z = law.sample(torch.from_numpy(law.from_natural(natural)), omega(law))
    torch.testing.assert_close(law.bounded(law.unbounded(z)), z, rtol=1e-13, atol=0)
    # Any numbers are parameters in these coordinates.
    assert torch.isfinite(law.unbounded(law.bounded(-3 * torch.ones_like(z)))).all()


def test_a_level_set_law_says_that_it_has_no_density():
    law = LevelSetLaw(1, 4)
    with pytest.raises(NotImplementedError, match="LevelSetLaw has no density"):
        law.log_density(torch.zeros(3), torch.zeros((1, 6)))


def test_flat_values() -> None:
    assert flat_values({"mean": 1.0, "length": 2.0}) == {"mean": 1.0, "length": 2.0}
    nested = {"k": {"mean": 1.0, "standard_deviation": 2.0}}
    assert flat_values(nested) == {"k_mean": 1.0, "k_standard_deviation": 2.0}


def test_logarithmic_marks_the_lognormal_parameters():
    field = MaternLaw(1, 2, 1.5)
    assert ProductLaw(field, lognormal_law(["damping"])).logarithmic == (False,) * 3 + (True,)
    assert normal_law(["a", "b"]).logarithmic == (False, False)
