"""Gaussian laws: correlations, transforms, fixed and common parameters, covariates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from study_sections import function

from popinv.errors import ConfigError
from popinv.forward.section import forward_section
from popinv.population.constraints import POSITIVE, REAL, Interval
from popinv.population.kinds import law_section
from popinv.population.laws.gaussian import GaussianLaw, lognormal_law, normal_law
from popinv.population.laws.section import law_spread, law_values

MEAN, DEVIATION = np.array([0.3, -1.0, 2.0]), np.array([0.5, 0.2, 1.5])
R = np.array([[1.0, 0.6, -0.2], [0.6, 1.0, 0.1], [-0.2, 0.1, 1.0]])
COVARIANCE = R * np.outer(DEVIATION, DEVIATION)
NATURAL = [*MEAN, *DEVIATION, 0.6, -0.2, 0.1]
FORWARD = forward_section(
    function("model:solve", "a", "b", "c", observations={"times": [0.0, 1.0]})
)


def draws(law: GaussianLaw, natural: list[float], count: int = 200_000) -> np.ndarray:
    alpha = torch.from_numpy(law.from_natural(natural))
    omega = torch.from_numpy(np.random.default_rng(1).standard_normal((count, law.d_omega)))
    return law.sample(alpha, omega).numpy()


def test_correlated_parameters_have_the_moments_of_their_names():
    z = draws(normal_law("abc", groups=["abc"]), NATURAL)
    # Standard errors of 200,000 draws: at most 0.004 for means, 0.3 % for covariances.
    np.testing.assert_allclose(z.mean(axis=0), MEAN, atol=0.015)
    np.testing.assert_allclose(np.cov(z, rowvar=False), COVARIANCE, atol=0.02)


@pytest.mark.parametrize("kind", ["normal", "lognormal"])
def test_log_density_is_that_of_scipy(kind):
    law = {"normal": normal_law, "lognormal": lognormal_law}[kind]("abc", groups=["abc"])
    alpha = torch.from_numpy(law.from_natural(NATURAL))
    x = np.random.default_rng(2).standard_normal((7, 3))
    wanted = stats.multivariate_normal(MEAN, COVARIANCE).logpdf(x)
    z = np.exp(x) if kind == "lognormal" else x
    if kind == "lognormal":
        wanted = wanted - x.sum(axis=1)
    np.testing.assert_allclose(law.log_density(alpha, torch.from_numpy(z)), wanted, rtol=1e-12)


def test_log_density_of_a_logit_normal_parameter_integrates_to_one():
    law = GaussianLaw(["a"], [Interval(1.0, 4.0)])
    alpha = torch.from_numpy(law.from_natural([0.5, 0.8]))
    z = torch.linspace(1, 4, 4002, dtype=torch.float64)[1:-1, None]
    density = torch.exp(law.log_density(alpha, z))
    assert float(torch.trapezoid(density, z[:, 0])) == pytest.approx(1.0, abs=1e-4)


def test_fixed_and_common_parameters_are_the_same_in_all_systems():
    law = GaussianLaw("abc", [POSITIVE, REAL, POSITIVE], common=["b"], fixed={"c": 7.0})
    assert law.names == ("a_mean", "b_mean", "a_standard_deviation")
    assert law.d_omega == 1
    z = draws(law, [0.1, -3.0, 0.5], 1000)
    assert np.unique(z[:, 1]) == -3.0
    assert np.unique(z[:, 2]) == 7.0
    assert np.log(z[:, 0]).std() == pytest.approx(0.5, rel=0.1)


def test_the_mean_follows_covariates():
    law = normal_law(
        "abc", covariates=["weight", "age"], effects=[("b", "age"), ("c", "age"), ("c", "weight")]
    )
    natural = [*MEAN, *DEVIATION, 0.4, -0.3, 2.0]
    alpha = torch.from_numpy(law.from_natural(natural))
    c = torch.tensor([[1.0, 10.0], [-2.0, 0.5]], dtype=torch.float64)
    z = law.sample(alpha, torch.zeros(2, 3, dtype=torch.float64), c).numpy()
    wanted = [
        [MEAN[0], MEAN[1] + 0.4 * age, MEAN[2] - 0.3 * age + 2.0 * weight]
        for weight, age in c.tolist()
    ]
    np.testing.assert_allclose(z, wanted, rtol=1e-14)
    density = law.log_density(alpha, torch.from_numpy(z), c)
    np.testing.assert_allclose(density, stats.norm(0, DEVIATION).logpdf(0).sum(), rtol=1e-12)
    with pytest.raises(ValueError, match="depends on covariates"):
        law.sample(alpha, torch.zeros(2, 3, dtype=torch.float64))


def test_correlations_that_belong_to_no_law_are_refused():
    law = normal_law("abc", groups=["abc"])
    with pytest.raises(ValueError, match="no joint law"):
        law.from_natural([*MEAN, *DEVIATION, 0.9, 0.9, -0.9])


@pytest.mark.parametrize("group", ["abc", "ab", "cb"])
def test_known_parameters_give_their_correlations_back(group):
    law = lognormal_law("abc", groups=[group])
    natural = NATURAL if group == "abc" else [*NATURAL[:6], 0.4]
    found = law.to_natural(law.most_likely(draws(law, natural, 20_000), law.from_natural(natural)))
    np.testing.assert_allclose(found, natural, atol=0.03)


@pytest.mark.parametrize("group", ["abc", "cab"])
def test_correlations_of_all_known_parameters_are_those_of_the_sample_from_any_start(group):
    law = normal_law("abc", groups=[group])
    z = draws(normal_law("abc", groups=["abc"]), NATURAL, 50)
    found = law.to_natural(law.most_likely(z, law.from_natural([1e3] * 3 + [1e-3] * 3 + [0.0] * 3)))
    correlation = np.corrcoef(z[:, ["abc".index(name) for name in group]], rowvar=False)
    wanted = [*z.mean(axis=0), *z.std(axis=0), *correlation[[1, 2, 2], [0, 0, 1]]]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def section(**keys):
    start = {name: {"mean": 0.5, "standard_deviation": 0.2} for name in keys.pop("start", "abc")}
    return law_section({"kind": "lognormal", "start": start, **keys})


def test_a_section_states_the_structure():
    asked = section(
        start="ac", fixed={"b": 1.5}, correlations=True, covariates={"c": ["age", "sex_male"]}
    )
    law = asked.law(FORWARD)
    assert law.names[4:] == ("c_age_coefficient", "c_sex_male_coefficient", "a_c_correlation")
    alpha = law_values(asked, asked.start, FORWARD)
    np.testing.assert_allclose(alpha[4:], 0.0)
    np.testing.assert_allclose(law_spread(asked, FORWARD), [0.5] * 4 + [0.0] * 3)
    assert not list(asked.problems(FORWARD))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"fixed": {"d": 1.0}}, "the forward model has the parameters a, b, c"),
        ({"fixed": {"a": 1.0}}, "that are not fixed"),
        ({"correlations": [["a", "a"]]}, "stands twice"),
        ({"correlations": [["a", "b"], ["b", "c"]]}, "stands twice"),
        ({"correlations": [["a", "d"]]}, "'d' does not vary"),
        ({"covariates": {"d": ["age"]}}, "one of the parameters with a mean"),
    ],
)
def test_structure_that_contradicts_is_named(keys, message):
    assert any(message in problem.text for problem in section(**keys).problems(FORWARD))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "is missing"),
        ({"a_b_correlation": 1.5}, "between -1 and 1"),
        ({"a_b_correlation": "strong"}, "must be a number"),
    ],
)
def test_true_correlations_are_checked(values, message):
    asked = section(correlations=[["a", "b"]])
    truth = {name: {"mean": 0.5, "standard_deviation": 0.2} for name in "abc"} | values
    problems = list(asked.value_problems(truth, FORWARD))
    assert any(message in problem.text for problem in problems)


def test_a_logit_needs_an_interval():
    asked = law_section(
        {
            "kind": "transformed_normal",
            "transforms": {"a": {"logit": [1, 1]}, "b": "log", "c": "none"},
            "start": {name: {"mean": 0.0, "standard_deviation": 1.0} for name in "abc"},
        }
    )
    assert any("must be below" in problem.text for problem in asked.problems(FORWARD))
    with pytest.raises((ConfigError, ValueError)):
        law_section({"kind": "transformed_normal", "transforms": {"a": "sqrt"}, "start": {}})


def test_a_law_says_which_entries_belong_to_which_covariate():
    law = normal_law(
        "abc", covariates=["weight", "age"], effects=[("b", "age"), ("c", "age"), ("c", "weight")]
    )
    assert law.coefficients == ((6, 1), (7, 1), (8, 0))
    assert [law.names[entry] for entry, _ in law.coefficients] == [
        "b_age_coefficient",
        "c_age_coefficient",
        "c_weight_coefficient",
    ]
    assert normal_law("abc").coefficients == ()


def test_the_deviation_follows_covariates():
    law = normal_law(
        "ab",
        covariates=["weight", "age"],
        effects=[("a", "weight")],
        scale_effects=[("b", "age"), ("a", "age")],
    )
    assert law.names[4:] == (
        "a_weight_coefficient",
        "b_age_scale_coefficient",
        "a_age_scale_coefficient",
    )
    assert law.coefficients == ((4, 0), (5, 1), (6, 1))
    alpha = torch.from_numpy(law.from_natural([1.0, 2.0, 0.5, 0.25, 0.1, 0.3, -0.2]))
    c = torch.tensor([[2.0, 1.5]], dtype=torch.float64)
    z = law.sample(alpha, torch.ones(1, 2, dtype=torch.float64), c)[0]
    wanted = [1.0 + 0.2 + 0.5 * np.exp(-0.3), 2.0 + 0.25 * np.exp(0.45)]
    np.testing.assert_allclose(z, wanted, rtol=1e-14)


def test_a_fixed_value_keeps_all_its_digits():
    law = GaussianLaw("ab", [REAL, REAL], fixed={"b": 0.1})
    assert np.unique(draws(law, [0.0, 1.0], 10)[:, 1]) == 0.1
