"""Mixtures of normal laws: density, samples, derivatives, estimates and the section."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from scipy.special import logsumexp
from study_sections import function

from popinv.errors import DivergenceError
from popinv.forward.section import forward_section
from popinv.population.constraints import POSITIVE, REAL, Interval
from popinv.population.contract import check_law
from popinv.population.kinds import law_section
from popinv.population.laws.gaussian import GaussianLaw
from popinv.population.laws.mixture import MixtureLaw, improve, mixture_quantile
from popinv.population.laws.parameters import Components
from popinv.population.laws.section import law_spread, law_values
from popinv.sections.base import plain

TRANSFORMS = [REAL, POSITIVE, Interval(1.0, 4.0)]
COMPONENTS = Components(
    weights=np.array([0.5, 0.2, 0.3]),
    means=np.array([[-1.5, 0.2, 0.0], [0.0, 1.0, -1.0], [2.0, -0.5, 1.2]]),
    deviations=np.array([[0.5, 0.3, 0.4], [0.3, 0.2, 0.6], [0.7, 0.4, 0.5]]),
)
LAW = MixtureLaw(["a", "b", "c"], TRANSFORMS, 3)
ALPHA = torch.from_numpy(LAW.unconstrained(COMPONENTS))


def draws(law: MixtureLaw, alpha: torch.Tensor, count: int, seed: int = 1) -> torch.Tensor:
    omega = np.random.default_rng(seed).standard_normal((count, law.d_omega))
    return law.sample(alpha, torch.from_numpy(omega))


def tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_one_component_is_the_gaussian_law():
    law, gaussian = MixtureLaw("abc", TRANSFORMS, 1), GaussianLaw("abc", TRANSFORMS)
    natural = [0.3, -1.0, 2.0, 0.5, 0.2, 1.5]
    alpha = torch.from_numpy(law.from_natural(natural))
    np.testing.assert_array_equal(alpha, gaussian.from_natural(natural))
    assert [name.removeprefix("component_1_") for name in law.names] == list(gaussian.names)
    omega = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 3)))
    z = law.sample(alpha, omega)
    torch.testing.assert_close(z, gaussian.sample(alpha, omega), rtol=1e-14, atol=0)
    density = gaussian.log_density(alpha, z)
    torch.testing.assert_close(law.log_density(alpha, z), density, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("names", "count"), [("ab", 2), ("ab", 1), ("a", 2)])
def test_only_several_components_make_several_parameters_depend_on_each_other(names, count):
    law = MixtureLaw(names, [REAL] * len(names), count)
    assert law.joint == (len(names) == 2 and count == 2)


def test_log_density_is_that_of_scipy():
    z = draws(LAW, ALPHA, 20)
    x = LAW.unbounded(z).numpy()
    each = [
        np.log(w) + stats.multivariate_normal(m, np.diag(s**2)).logpdf(x)
        for w, m, s in zip(*COMPONENTS, strict=True)
    ]
    slopes = [t.log_slope(torch.from_numpy(x[:, i])) for i, t in enumerate(TRANSFORMS)]
    wanted = logsumexp(each, axis=0) - torch.stack(slopes).sum(dim=0).numpy()
    np.testing.assert_allclose(LAW.log_density(ALPHA, z), wanted, rtol=1e-12)


def test_density_integrates_to_one():
    law = MixtureLaw(["a", "b"], [REAL, Interval(1.0, 4.0)], 3)
    chosen = Components(COMPONENTS.weights, COMPONENTS.means[:, ::2], COMPONENTS.deviations[:, ::2])
    a, b = torch.linspace(-7, 7, 400).double(), torch.linspace(1, 4, 402).double()[1:-1]
    z = torch.stack(torch.meshgrid(a, b, indexing="ij"), dim=-1).reshape(-1, 2)
    alpha = torch.from_numpy(law.unconstrained(chosen))
    density = torch.exp(law.log_density(alpha, z)).reshape(400, 400)
    total = torch.trapezoid(torch.trapezoid(density, b, dim=1), a, dim=0)
    # The trapezoidal rule is exact to rounding in a, and of second order in b.
    assert float(total) == pytest.approx(1.0, abs=1e-5)


def test_samples_have_the_law_of_the_mixture():
    x = LAW.unbounded(draws(LAW, ALPHA, 20_000)).numpy()
    weights, means, deviations = COMPONENTS
    # Marginals show each parameter, and sums how they depend on each other.
    for direction in np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, -1, 2]]):
        m, s = means @ direction, np.sqrt(deviations**2 @ direction**2)

        def cumulative(t: np.ndarray, m: np.ndarray = m, s: np.ndarray = s) -> np.ndarray:
            return stats.norm.cdf((t[:, None] - m) / s) @ weights

        # The level of each of the five tests is 1 %, at a fixed seed.
        assert stats.kstest(x @ direction, cumulative).pvalue > 0.01


@pytest.mark.parametrize("means", [[-1.0, 1.5], [-10.0, 10.0], [0.3, 0.3]])
def test_the_quantile_is_accurate_in_both_tails(means):
    weights, deviations = np.array([0.6, 0.4]), np.array([0.5, 0.7])
    omega = tensor([-35.0, -8.0, -2.0, -0.5, 0.0, 0.4, 3.0, 9.0, 35.0]).requires_grad_(True)
    x = mixture_quantile(
        torch.log(tensor(weights)), tensor(means), torch.log(tensor(deviations)), omega
    )
    (slope,) = torch.autograd.grad(x.sum(), omega)
    w, e = omega.detach().numpy(), (x.detach().numpy()[:, None] - means) / deviations
    lower = logsumexp(stats.norm.logcdf(e), axis=1, b=weights)
    upper = logsumexp(stats.norm.logsf(e), axis=1, b=weights)
    tail = np.where(w <= 0, lower, upper)
    np.testing.assert_allclose(tail, stats.norm.logcdf(-np.abs(w)), rtol=2e-14)
    log_density = logsumexp(stats.norm.logpdf(e), axis=1, b=weights / deviations)
    np.testing.assert_allclose(
        np.log(slope.numpy()), stats.norm.logpdf(w) - log_density, atol=1e-11
    )


def test_a_gap_between_the_components_is_crossed():
    # Phi(omega) is the weight of the first component to rounding: x lies anywhere in the gap.
    omega = tensor([stats.norm.ppf(0.6) + shift for shift in (-1e-3, -1e-9, 0.0, 1e-9, 1e-3)])
    x = mixture_quantile(
        torch.log(tensor([0.6, 0.4])), tensor([-100.0, 100.0]), torch.zeros(2).double(), omega
    )
    assert torch.isfinite(x).all()
    assert bool((x.diff() >= 0).all())
    assert bool((x[:2] < -90).all())
    assert bool((x[3:] > 90).all())


@pytest.mark.parametrize(
    ("weights", "means", "deviations", "omega"),
    [
        ([0.76, 0.07, 0.17], [-0.2, -0.7, -0.5], [0.62, 0.02, 44.26], -0.6),
        ([0.12, 0.04, 0.57, 0.27], [-4.9, 9.9, 8.0, 1.6], [4.2, 0.05, 2.79, 0.65], 0.94),
        ([0.18, 0.72, 0.1], [-7.3, -12.4, 0.7], [0.67, 5.24, 5.21], 0.59),
    ],
)
def test_where_newton_steps_go_to_and_fro_the_quantile_is_found(weights, means, deviations, omega):
    """The slope changes within a narrow component, from either side of which steps lead away."""
    x = mixture_quantile(
        torch.log(tensor(weights)), tensor(means), torch.log(tensor(deviations)), tensor([omega])
    )
    below = stats.norm.cdf((x.numpy() - means) / deviations) @ np.array(weights)
    assert below == pytest.approx(stats.norm.cdf(omega), rel=1e-12)


def test_derivatives_in_alpha_and_omega():
    omega = torch.from_numpy(np.random.default_rng(3).standard_normal((6, 3))).requires_grad_(True)
    alpha = ALPHA.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(LAW.sample, (alpha, omega))
    z = draws(LAW, ALPHA, 6).requires_grad_(True)
    assert torch.autograd.gradcheck(LAW.log_density, (alpha, z))


def test_the_density_is_that_of_the_map():
    omega = torch.from_numpy(np.random.default_rng(4).standard_normal((5, 3)))
    jacobian = torch.autograd.functional.jacobian(lambda w: LAW.sample(ALPHA, w).sum(dim=0), omega)
    slopes = torch.linalg.det(jacobian.permute(1, 0, 2))
    normal = torch.from_numpy(stats.norm.logpdf(omega.numpy()).sum(axis=1))
    density = LAW.log_density(ALPHA, LAW.sample(ALPHA, omega))
    torch.testing.assert_close(density, normal - torch.log(slopes), rtol=1e-11, atol=1e-11)


def test_natural_values_are_those_of_the_components():
    found = LAW.components(ALPHA.numpy())
    for got, wanted in zip(found, COMPONENTS, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-15)
    natural = dict(zip(LAW.names, LAW.to_natural(ALPHA.numpy()), strict=True))
    assert natural["component_1_weight"] == pytest.approx(0.5)
    # The second component has 0.2 of the 0.5 that the first leaves.
    assert natural["component_2_weight_of_rest"] == pytest.approx(0.4)
    assert natural["component_3_a_mean_increment"] == pytest.approx(2.0)
    assert LAW.shares.sum() == 2
    assert LAW.unitless[:2].all()
    with pytest.raises(ValueError, match="between 0 and 1"):
        LAW.from_natural({**natural, "component_1_weight": 1.0})


def test_components_are_numbered_by_their_means():
    shuffled = Components(*(array[[2, 0, 1]] for array in COMPONENTS))
    np.testing.assert_array_equal(LAW.unconstrained(shuffled), ALPHA)
    by_b = MixtureLaw("abc", TRANSFORMS, 3, ordered_by="b")
    found = by_b.components(by_b.unconstrained(COMPONENTS))
    np.testing.assert_allclose(found.means[:, 1], [-0.5, 0.2, 1.0], atol=1e-14)
    np.testing.assert_allclose(found.weights, [0.3, 0.5, 0.2], atol=1e-14)
    z = draws(LAW, ALPHA, 5)
    same = by_b.log_density(torch.from_numpy(by_b.unconstrained(COMPONENTS)), z)
    torch.testing.assert_close(same, LAW.log_density(ALPHA, z))
    equal = Components(np.array([0.5, 0.5]), np.zeros((2, 1)), np.ones((2, 1)))
    law = MixtureLaw("a", [REAL], 2)
    np.testing.assert_allclose(law.components(law.unconstrained(equal)).means, 0.0, atol=1e-7)


@pytest.mark.parametrize("deviations", [[1e-6, 1e3], [1e3, 1e-6]])
def test_equal_means_are_moved_apart_by_less_than_the_narrowest_component(deviations):
    law = MixtureLaw("a", [REAL], 2)
    each = Components(np.array([0.5, 0.5]), np.zeros((2, 1)), np.array(deviations)[:, None])
    means = law.components(law.unconstrained(each)).means
    assert 0 < means[1, 0] - means[0, 0] < 1e-3 * min(deviations)


@pytest.mark.full
def test_known_parameters_give_the_components_back():
    z = draws(LAW, ALPHA, 1500).numpy()
    # The start is far away, and its first component has the means of none.
    start = ALPHA.numpy() + np.random.default_rng(0).normal(0, 1.0, len(ALPHA))
    estimate = LAW.most_likely(z, start)
    at = torch.from_numpy(estimate).requires_grad_(True)
    scores = torch.autograd.functional.jacobian(
        lambda a: LAW.log_density(a, torch.from_numpy(z)), at
    )
    errors = np.sqrt(np.diag(torch.linalg.inv(scores.T @ scores).numpy()))
    assert np.abs((estimate - ALPHA.numpy()) / errors).max() < 4


def test_em_does_not_lower_the_likelihood():
    x = LAW.unbounded(draws(LAW, ALPHA, 500)).numpy()
    start = Components(np.full(3, 1 / 3), COMPONENTS.means + 1.0, np.ones((3, 3)))
    first = torch.from_numpy(LAW.unconstrained(start))
    before = LAW.log_density(first, LAW.bounded(torch.from_numpy(x))).mean()
    found, value = improve(x, start)
    alpha = torch.from_numpy(LAW.unconstrained(found))
    z = LAW.bounded(torch.from_numpy(x))
    slopes = [t.log_slope(torch.from_numpy(x[:, i])) for i, t in enumerate(TRANSFORMS)]
    shift = float(torch.stack(slopes).sum(dim=0).mean())
    assert float(LAW.log_density(alpha, z).mean()) + shift == pytest.approx(value, abs=1e-8)
    assert value > float(before) + shift


@pytest.mark.parametrize("unit", [1e-6, 1e3])
def test_em_is_the_same_in_any_unit(unit):
    x = LAW.unbounded(draws(LAW, ALPHA, 200)).numpy()
    start = Components(np.full(3, 1 / 3), COMPONENTS.means + 1.0, np.ones((3, 3)))
    found, value = improve(x, start)
    scaled, other = improve(
        unit * x, Components(start.weights, unit * start.means, unit * start.deviations)
    )
    np.testing.assert_allclose(scaled.weights, found.weights, rtol=1e-6)
    np.testing.assert_allclose(scaled.means, unit * found.means, rtol=1e-6)
    np.testing.assert_allclose(scaled.deviations, unit * found.deviations, rtol=1e-6)
    assert other == pytest.approx(value - x.shape[1] * np.log(unit), abs=1e-8)


@pytest.mark.parametrize("z", [[[0.0], [0.0], [0.0]], [[0.0], [np.nan], [1.0]]])
def test_systems_that_determine_no_components_are_refused(z):
    law = MixtureLaw("a", [REAL], 2)
    with pytest.raises(DivergenceError):
        law.most_likely(np.array(z), law.from_natural([0.5, 0.0, 1.0, 1.0, 1.0]))


FORWARD = forward_section(function("model:solve", "a", "b", observations={"times": [0.0, 1.0]}))
KEYS: dict[str, Any] = {
    "kind": "mixture",
    "components": 2,
    "transforms": {"a": "log", "b": {"logit": [0, 1]}},
    "ordered_by": "b",
    "start": {
        "component_1": {
            "weight": 0.7,
            "b": {"mean": -1.0, "standard_deviation": 0.3},
            "a": {"mean": 2.0, "standard_deviation": 0.5},
        },
        "component_2": {
            "weight": 0.3,
            "a": {"mean": 1.0, "standard_deviation": 0.2},
            "b": {"mean": 1.5, "standard_deviation": 0.4},
        },
    },
}


def test_a_section_states_components():
    section = law_section(KEYS)
    assert not list(section.problems(FORWARD))
    assert not list(section.value_problems(KEYS["start"], FORWARD))
    check_law(section, FORWARD)
    law = section.law(FORWARD)
    for values in (section.start, KEYS["start"], plain(section.start)):
        found = law.components(law_values(section, values, FORWARD))
        np.testing.assert_allclose(found.weights, [0.7, 0.3])
        np.testing.assert_allclose(found.means, [[2.0, -1.0], [1.0, 1.5]])
        np.testing.assert_allclose(found.deviations, [[0.5, 0.3], [0.2, 0.4]])
    spread = section.replace(spread={"component_1": 0.1, "component_2": 0.2})
    assert not list(spread.spread_problems())
    named = dict(zip(law.names, law_spread(spread, FORWARD), strict=True))
    assert named["component_1_weight"] == 0.1
    assert named["component_2_b_mean_increment"] == 0.2


def test_covariates_of_a_section_are_coefficients_of_its_law():
    numbers = {"a_age_coefficient": 0.3}
    keys = {**KEYS, "covariates": {"a": ["age"], "b": ["age", "sex"]}}
    section = law_section({**keys, "start": {**KEYS["start"], **numbers}})
    assert not list(section.problems(FORWARD))
    law = section.law(FORWARD)
    own = ("a_age_coefficient", "b_age_coefficient", "b_sex_coefficient")
    assert law.names == (*law_section(KEYS).law(FORWARD).names, *own)
    assert law.coefficients == ((9, 0), (10, 0), (11, 1))
    alpha = law_values(section, section.start, FORWARD)
    np.testing.assert_array_equal(alpha[9:], [0.3, 0.0, 0.0])
    rng = np.random.default_rng(2)
    omega, known = (torch.from_numpy(rng.standard_normal((4, 2))) for _ in range(2))
    point = (torch.from_numpy(alpha + 0.1).requires_grad_(True), omega)
    assert torch.autograd.gradcheck(lambda a, w: law.sample_given(a, w, known), point)
    # One alpha for each row, as in the first design.
    rows = torch.from_numpy(alpha) + 0.1 * torch.arange(4.0).double()[:, None]
    each = [law.sample_given(rows[i], omega[[i]], known[[i]]) for i in range(4)]
    torch.testing.assert_close(law.sample_given(rows, omega, known), torch.cat(each))
    # They have no spread in the first design.
    assert not law_spread(section, FORWARD)[9:].any()
    with pytest.raises(ValueError, match="covariates, which were not given"):
        law.sample(torch.from_numpy(alpha), torch.zeros(1, 2).double())
    truth = {**KEYS["start"], **dict.fromkeys(own, 0.1)}
    assert not list(section.value_problems(truth, FORWARD))
    (missing,) = section.value_problems({**KEYS["start"], **dict.fromkeys(own[1:], 0.1)}, FORWARD)
    assert "missing" in missing.text
    assert "a_age_coefficient" in str(missing)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"covariates": {"c": ["age"]}}, "one of the forward model's parameters: a, b"),
        ({"start": {**KEYS["start"], "b_age_coefficient": 1}}, "which has a_age_coefficient"),
    ],
)
def test_mistakes_of_covariates_are_named(change, message):
    section = law_section({**KEYS, "covariates": {"a": ["age"]}, **change})
    assert any(message in problem.text for problem in section.problems(FORWARD))


def test_one_component_needs_no_weight():
    start = {"component_1": {name: KEYS["start"]["component_1"][name] for name in "ab"}}
    section = law_section({**KEYS, "components": 1, "start": start})
    assert not list(section.problems(FORWARD))
    check_law(section, FORWARD)


def test_the_start_of_a_law_without_components_is_refused():
    with pytest.raises(ValidationError, match="'b' has moments of its own, but each component"):
        law_section({**KEYS, "start": KEYS["start"]["component_1"]})
    # A parameter may have the name of a moment.
    named = {"weight": 0.5, "mean": KEYS["start"]["component_1"]["a"]}
    section = {**KEYS, "transforms": {"mean": "log"}, "ordered_by": None}
    law_section({**section, "start": {"component_1": named, "component_2": named}})


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    keys = copy.deepcopy(KEYS)
    inner = keys
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    if value is None:
        del inner[path[-1]]
    return keys


EACH = {"mean": 0.0, "standard_deviation": 1.0}
MISTAKES = [
    (("start", "component_1", "weight"), 0.6, "add up to 0.9"),
    (("start", "component_1", "weight"), None, "missing: weight"),
    (("start", "component_1", "weight"), EACH, "must be a number"),
    (("start", "component_1", "a"), None, "missing: a"),
    (("start", "component_1", "a"), 1.0, "a mean and a standard_deviation"),
    (("start", "component_1", "c"), EACH, "unknown parameter"),
    (("start", "component_3"), {"weight": 0.1, "a": EACH, "b": EACH}, "the law's 2 components"),
    (("start", "component_2"), None, "missing: component_2"),
    (("start", "component_2", "b", "mean"), -1.0, "exceed the mean of component_1, -1"),
]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        *MISTAKES,
        (("ordered_by",), None, "is missing; it must be one of"),
        (("ordered_by",), "c", "parameters: a, b"),
        (("transforms", "a"), None, "missing: a"),
        (("transforms", "b"), {"logit": [1, 1]}, "must be below"),
        (("components",), 3, "missing: component_3"),
    ],
)
def test_mistakes_of_a_section_are_named(path, value, message):
    problems = list(law_section(changed(path, value)).problems(FORWARD))
    assert any(message in problem.text for problem in problems), problems


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        *MISTAKES,
        (("start", "component_1", "weight"), -1, "greater than 0"),
        (("start", "component_1", "a", "standard_deviation"), 0, "greater than 0"),
        (("start", "component_1"), 3, "mapping"),
    ],
)
def test_mistakes_of_true_values_are_named(path, value, message):
    truth = changed(path, value)["start"]
    problems = list(law_section(KEYS).value_problems(truth, FORWARD))
    assert any(message in problem.text for problem in problems), problems


def test_a_parameter_with_the_name_of_the_weight_is_refused():
    forward = forward_section({**plain(FORWARD), "parameters": ["weight", "b"]})
    assert any("rename" in problem.text for problem in law_section(KEYS).problems(forward))


@pytest.mark.parametrize(
    ("names", "components", "joint", "split"),
    [("ab", 2, True, True), ("ab", 1, False, False), ("a", 2, False, True), ("abc", 3, True, True)],
)
def test_groups_tie_parameters_together(names, components, joint, split):
    law = MixtureLaw(names, [REAL] * len(names), components)
    assert (law.joint, law.component is not None, law.affine) == (joint, split, components == 1)


@pytest.mark.parametrize(
    ("transforms", "components"), [((REAL, POSITIVE), 2), ((POSITIVE, REAL), 3)]
)
def test_the_density_is_the_sum_of_those_of_its_components(transforms, components):
    law = MixtureLaw("ab", transforms, components, ordered_by="b")
    rng = np.random.default_rng(components)
    alpha = torch.from_numpy(0.5 * rng.standard_normal(len(law.names)))
    z = law.sample(alpha, torch.from_numpy(rng.standard_normal((50, 2))))
    log_weights, alphas = law.split(alpha)
    assert torch.exp(log_weights).sum().item() == pytest.approx(1.0)
    assert alphas.shape == (components, len(law.component.names))
    each = [law.component.log_density(own, z) for own in alphas]
    total = torch.logsumexp(log_weights[:, None] + torch.stack(each), dim=0)
    torch.testing.assert_close(total, law.log_density(alpha, z))


def test_a_law_without_components_says_so():
    with pytest.raises(NotImplementedError, match="GaussianLaw has no components"):
        GaussianLaw(["a"], [REAL]).split(torch.zeros(2))
