"""The free-form law: its map, its density, its moments, its limits and its section."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from study_sections import function

from popinv.forward.section import forward_section
from popinv.population.constraints import POSITIVE, REAL, Interval
from popinv.population.kinds import law_section
from popinv.population.laws.free_form import FreeFormLaw, MonotoneMap, _hermite
from popinv.population.laws.gaussian import GaussianLaw
from popinv.population.laws.section import law_spread, law_values

TRANSFORMS = [REAL, POSITIVE, Interval(1.0, 4.0)]
LAW = FreeFormLaw("abc", TRANSFORMS, 7, 1.0, True, order="cab")


def some_alpha(law: FreeFormLaw = LAW, size: float = 0.6, seed: int = 0) -> torch.Tensor:
    rng, d = np.random.default_rng(seed), law.d_z
    alpha = size * rng.standard_normal(len(law.names))
    alpha[: 2 * d] = np.concatenate([np.linspace(0.3, -0.4, d), np.linspace(-0.5, 0.2, d)])
    return torch.from_numpy(alpha)


def normals(count: int, width: int = 3, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, width)))


def test_without_coefficients_it_is_the_gaussian_law():
    gaussian = GaussianLaw("abc", TRANSFORMS)
    alpha = torch.zeros(len(LAW.names), dtype=torch.float64)
    alpha[:6] = some_alpha()[:6]
    omega = normals(50)
    # The numbers are those of the parameters in the order of the map.
    z = LAW.sample(alpha, omega[:, [2, 0, 1]])
    torch.testing.assert_close(z, gaussian.sample(alpha[:6], omega), rtol=1e-10, atol=1e-10)
    density = gaussian.log_density(alpha[:6], z)
    torch.testing.assert_close(LAW.log_density(alpha, z), density, rtol=1e-9, atol=1e-9)


def test_linear_coefficients_alone_are_correlations():
    law = FreeFormLaw("ab", [REAL, REAL], 5, 1.0, True)
    alpha = np.zeros(len(law.names))
    # A coefficient b gives the correlation b / sqrt(1 + b^2); alpha holds b over its prior.
    alpha[law.names.index("b_on_a_linear")] = 0.75 / 2
    gaussian = GaussianLaw("ab", [REAL, REAL], groups=["ab"])
    other = gaussian.from_natural([0.0, 0.0, 1.0, 1.0, 0.6])
    omega = normals(20, 2)
    torch.testing.assert_close(
        law.sample(torch.from_numpy(alpha), omega),
        gaussian.sample(torch.from_numpy(other), omega),
        rtol=1e-9,
        atol=1e-9,
    )


def test_mean_and_deviation_are_those_of_the_transformed_parameter():
    alpha = some_alpha()
    x = LAW.unbounded(LAW.sample(alpha, normals(400_000)))
    wanted = torch.exp(alpha[3:6])
    assert torch.all((x.mean(dim=0) - alpha[:3]).abs() < 0.01 * wanted)
    torch.testing.assert_close(x.std(dim=0), wanted, rtol=0.02, atol=0)


def test_density_is_that_of_the_push_forward():
    alpha, omega = some_alpha(), normals(12)
    omega[0] = torch.tensor([3.5, -4.0, 3.2])
    z = LAW.sample(alpha, omega)
    wanted = []
    for row in omega:
        slopes = torch.autograd.functional.jacobian(
            lambda w: LAW.sample(alpha, w[None])[0], row, vectorize=True
        )
        normal = stats.norm.logpdf(row.numpy()).sum()
        wanted.append(normal - float(torch.linalg.slogdet(slopes)[1]))
    np.testing.assert_allclose(LAW.log_density(alpha, z), wanted, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(LAW.log_density_at(alpha, z, omega), wanted, rtol=1e-8, atol=1e-8)


def test_scores_are_derivatives_of_the_density_with_an_alpha_for_each_row():
    alpha, omega = some_alpha(), normals(6)
    z = LAW.sample(alpha, omega)
    rows = alpha.repeat(len(z), 1).requires_grad_(True)
    (scores,) = torch.autograd.grad(LAW.log_density_at(rows, z, omega).sum(), rows)
    for i in range(len(alpha)):
        shift = 1e-5 * torch.eye(len(alpha), dtype=torch.float64)[i]
        up, down = LAW.log_density(alpha + shift, z), LAW.log_density(alpha - shift, z)
        torch.testing.assert_close(scores[:, i], (up - down) / 2e-5, rtol=1e-3, atol=1e-3)


def test_density_of_a_strongly_bent_law_integrates_to_one():
    law = FreeFormLaw("ab", [REAL, REAL], 7, 1.0, True)
    alpha = some_alpha(law, 0.8, seed=3)
    line = torch.linspace(-8, 8, 500).double()
    z = torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1).reshape(-1, 2)
    density = torch.exp(law.log_density(alpha, z)).reshape(500, 500)
    total = torch.trapezoid(torch.trapezoid(density, line, dim=1), line, dim=0)
    assert float(total) == pytest.approx(1.0, abs=2e-3)


def test_map_is_increasing_and_has_mean_zero_and_variance_one():
    g = MonotoneMap(9, 2.0)
    a = torch.from_numpy(np.random.default_rng(2).standard_normal(9))
    omega = torch.linspace(-8, 8, 20_001).double()
    value, log_slope = g.value(a, omega)
    assert torch.all(torch.diff(value) > 0)
    slope = torch.gradient(value, spacing=(omega,))[0]
    torch.testing.assert_close(torch.exp(log_slope), slope, rtol=1e-3, atol=1e-5)
    weights = torch.exp(-0.5 * omega**2) / np.sqrt(2 * np.pi)
    assert float(torch.trapezoid(weights * value, omega)) == pytest.approx(0, abs=1e-6)
    assert float(torch.trapezoid(weights * value**2, omega)) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(g.inverse(a, value), omega, rtol=0, atol=1e-8)


def test_prior_of_the_slope_is_a_random_walk_of_the_stated_roughness():
    g = MonotoneMap(13, 2.0)
    c = torch.from_numpy(np.random.default_rng(4).standard_normal((100_000, 13))) @ g.basis.T
    # Coefficients away from the ends are half a deviation apart.
    steps = c[:, 5] - c[:, 9]
    assert float(steps.std()) == pytest.approx(2.0 * np.sqrt(2.0), rel=0.01)


def test_hermite_polynomials_are_orthonormal_under_the_normal_law():
    places, weights = np.polynomial.hermite_e.hermegauss(8)
    values = _hermite(torch.from_numpy(places)[:, None])[:, 0].numpy()
    products = values.T @ (weights[:, None] / weights.sum() * values)
    np.testing.assert_allclose(products, np.eye(3), atol=1e-12)


def test_the_random_walk_has_mean_zero_under_the_normal_law():
    g = MonotoneMap(9, 2.0)
    omega = torch.linspace(-8, 8, 4001).double()
    weights = torch.exp(-0.5 * omega**2)
    # The sums over the grid are exact to about 1e-7, as c has a corner at the last knot.
    for column in g.basis.T:
        c = g._raw(column, omega)[1]
        assert float(torch.sum(weights * c) / weights.sum()) == pytest.approx(0, abs=1e-5)


FORWARD = function("m:f", "b", "a", observations={"name": "y", "times": [1, 2]})


def section(**changes: Any) -> dict[str, Any]:
    each = {"mean": 0.3, "standard_deviation": 0.8}
    return {
        "kind": "free_form",
        "transforms": {"a": "log", "b": "none"},
        "knots": 5,
        "start": {"a": each, "b": each},
    } | changes


def test_section_states_the_law_and_its_start():
    forward = forward_section(FORWARD)
    own = law_section(section())
    law = own.law(forward)
    assert law.names[:4] == ("b_mean", "a_mean", "b_standard_deviation", "a_standard_deviation")
    assert "b_on_a_linear" in law.names
    alpha = law_values(own, own.start, forward)
    np.testing.assert_allclose(alpha, [0.3, 0.3, np.log(0.8), np.log(0.8), *[0] * 14])
    assert law_spread(own, forward).tolist() == [0.5] * 4 + [0.0] * 14
    other = law_section(section(order=["b", "a"])).law(forward)
    assert "a_on_b_linear" in other.names


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"order": ["a"]}, "each of the forward model's parameters once"),
        ({"start": {"a": {"mean": 0.0, "standard_deviation": 1.0}}}, "mean"),
        ({"start": {**section()["start"], "a_shap": 1.0}}, "not a name of the law"),
        ({"transforms": {"a": "log"}}, "missing"),
    ],
)
def test_section_names_what_does_not_fit(changes: dict[str, Any], words: str):
    wrong = list(law_section(section(**changes)).problems(forward_section(FORWARD)))
    assert any(words in problem.text for problem in wrong), wrong
