"""The key `prior` of law and noise: its names, its words, and what is refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy import stats
from slopes import slopes
from study_sections import function

from popinv.config.loading import load
from popinv.errors import ConfigError
from popinv.population.constraints import POSITIVE
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.population.priors.prior import CorrelationPriors, EntryPriors, LkjPrior
from popinv.population.priors.stated import ObservedScales, posterior_prior, stated_prior

EACH = {"mean": 0.5, "standard_deviation": 0.2}
STUDY = {
    "forward": function(
        "simulator:solve", "a", "b", "c", "d", observations={"name": "y", "times": [1, 2, 3]}
    ),
    "law": {
        "kind": "lognormal",
        "correlations": [["a", "b"]],
        "fixed": {"d": 1.0},
        "start": {"a": EACH, "b": EACH, "c": {"mean": 0.1, "standard_deviation": 0}},
        "covariates": {"a": ["weight"]},
    },
    "noise": {"kind": "isotropic"},
    "observations": {"file": "data.csv"},
}
HALF = {"half_normal": 1.0}
BETA = {"beta": {"a": 2, "b": 3}}


def study(law_prior=None, noise_prior=None, **changes):
    given = copy.deepcopy(STUDY)
    for section, change in changes.items():
        given[section] = {**given.get(section, {}), **change}
    for section, prior in (("law", law_prior), ("noise", noise_prior)):
        if prior is not None:
            given[section]["prior"] = prior
    return load({"seed": 1, "studies": {"s": given}}).studies["s"]


def stated(law_prior=None, noise_prior=None, **changes):
    """Return the priors for the models of a study."""
    read = study(law_prior, noise_prior, **changes)
    noise = read.noise.model(read.forward.observed(1), read.noise.covariate_names())
    return stated_prior(read.law, read.noise, read.law.law(read.forward), noise)


def refusal(*priors, **changes):
    with pytest.raises(ConfigError) as raised:
        study(*priors, **changes)
    return str(raised.value)


def test_a_study_without_priors_states_none():
    assert stated().parts == ()
    assert study().law.model_dump()["prior"] is None


def test_priors_have_the_places_of_their_parameters():
    found = stated(
        {
            "c": {"mean": {"normal": {"mean": 0, "standard_deviation": 1}}},
            "b": {"standard_deviation": HALF},
            "a_weight_coefficient": {"normal": {"mean": 0, "standard_deviation": 1}},
            "a_b_correlation": BETA,
        },
        {"standard_deviation": HALF},
    )
    correlation, of_law, of_noise = found.parts
    # The names: a, b, c means, a, b deviations, the coefficient, the correlation; the noise.
    assert isinstance(correlation, CorrelationPriors)
    assert correlation.touched.tolist() == [6]
    assert isinstance(of_law, EntryPriors)
    assert of_law.entries.tolist() == [2, 4, 5]
    assert of_noise.entries.tolist() == [7]
    assert of_noise.constraints == (POSITIVE,)


def test_a_file_reads_back_as_it_was_written():
    prior = {"a": {"standard_deviation": HALF, "mean": "weak"}, "correlations": {"lkj": 2.0}}
    read = study(prior)
    assert read.law.model_dump()["prior"] == prior
    assert type(read.law).model_validate(read.law.model_dump()) == read.law


def test_the_order_of_weak_and_other_priors_has_no_meaning():
    of_mean = {"normal": {"mean": 0, "standard_deviation": 1}}
    for law_prior in ({"a": "weak", "a_mean": of_mean}, {"a_mean": of_mean, "a": "weak"}):
        assert stated(law_prior).words == (
            "law a mean: normal (mean 0, standard deviation 1)",
            "law a standard deviation: half-Student-t (degrees of freedom 4, scale 0.5)",
        )
    for law_prior in (
        {"correlations": "weak", "a_b_correlation": BETA},
        {"a_b_correlation": BETA, "correlations": "weak"},
    ):
        assert stated(law_prior).words == ("law a b correlation: beta (a 2, b 3)",)


def test_a_coefficient_has_no_weak_prior():
    told = refusal({"a_weight_coefficient": "weak"})
    assert "law.prior.a_weight_coefficient" in told
    assert "has no weak prior" in told
    assert "normal" in told
    # The word for all leaves it flat.
    assert not any("coefficient" in word for word in stated("weak").words)


def test_weak_priors_take_their_scales_from_the_start():
    found = stated("weak", "weak")
    assert found.words == (
        "law a mean: normal (mean 0.5, standard deviation 5)",
        "law b mean: normal (mean 0.5, standard deviation 5)",
        "law c mean: normal (mean 0.1, standard deviation 5)",
        "law a standard deviation: half-Student-t (degrees of freedom 4, scale 0.5)",
        "law b standard deviation: half-Student-t (degrees of freedom 4, scale 0.5)",
        "law a b correlation: LKJ of shape 2",
        "noise standard deviation: half-Student-t (degrees of freedom 4, scale 0.75)",
    )
    wide = stated("weak", law={"start": {**STUDY["law"]["start"], "a": {**EACH, "mean": 7}}})
    # A start far from zero may be far from the answer too.
    assert wide.words[0] == "law a mean: normal (mean 7, standard deviation 70)"
    varied = {"a": {"mean": 0.5, "standard_deviation": 3}, "b": EACH, "c": EACH}
    large = stated({"a": "weak"}, law={"start": varied})
    assert large.words == (
        "law a mean: normal (mean 0.5, standard deviation 30)",
        "law a standard deviation: half-Student-t (degrees of freedom 4, scale 7.5)",
    )


def test_weak_priors_of_errors_and_mixtures():
    errors = {"grows": "combined", "tails": "student"}
    mixture = {
        "kind": "mixture",
        "transforms": {"a": "none"},
        "start": {
            "component_1": {"weight": 0.4, "a": {"mean": 0, "standard_deviation": 0.5}},
            "component_2": {"weight": 0.6, "a": {"mean": 2, "standard_deviation": 0.5}},
        },
    }
    forward = {**STUDY["forward"], "parameters": ["a"]}
    given = {**copy.deepcopy(STUDY), "forward": forward, "law": {**mixture, "prior": "weak"}}
    given["noise"] = {"kind": "isotropic", "errors": errors, "prior": "weak"}
    read = load({"seed": 1, "studies": {"s": given}}).studies["s"]
    noise = read.noise.model(read.forward.observed(1))
    found = stated_prior(read.law, read.noise, read.law.law(read.forward), noise)
    half = "half-Student-t (degrees of freedom 4, scale"
    assert found.words == (
        "law component 1 weight: beta (a 2, b 2)",
        "law component 1 a mean: normal (mean 0, standard deviation 5)",
        f"law component 2 a mean increment: {half} 5)",
        f"law component 1 a standard deviation: {half} 1.25)",
        f"law component 2 a standard deviation: {half} 1.25)",
        f"noise standard deviation: {half} 0.75)",
        f"noise proportional: {half} 0.25)",
        "noise degrees of freedom: lognormal (mean 1.792, standard deviation 1)",
    )


def test_a_key_without_an_index_stands_for_every_sensor():
    found = stated(None, {"standard_deviation": HALF}, noise={"kind": "diagonal"})
    (part,) = found.parts
    assert part.entries.tolist() == [7, 8, 9]
    one = stated(None, {"standard_deviation_2": HALF}, noise={"kind": "diagonal"})
    assert one.parts[0].entries.tolist() == [8]


def test_lkj_is_of_each_matrix():
    groups = {"correlations": [["a", "b"], ["c", "d"]], "fixed": {}, "covariates": {}}
    groups["start"] = dict.fromkeys("abcd", EACH)
    found = stated({"correlations": {"lkj": 3}}, law=groups)
    assert [type(part) for part in found.parts] == [LkjPrior, LkjPrior]
    assert [part.entries.tolist() for part in found.parts] == [[8], [9]]
    each = stated({"correlations": BETA}, law=groups)
    assert [part.touched.tolist() for part in each.parts] == [[8], [9]]


@pytest.mark.parametrize(
    ("law", "noise", "said"),
    [
        ({"d": {"mean": "weak"}}, None, "'law.fixed' states the value of 'd'"),
        (
            {"c": {"standard_deviation": HALF}},
            None,
            "'law.start' states that 'c' is equal in all systems (standard_deviation: 0)",
        ),
        ({"a": {"standard_deviatio": HALF}}, None, "Did you mean 'a_standard_deviation'?"),
        ({"a": {"mean": {"half_cauchy": 1}}}, None, "Did you mean 'half_normal'?"),
        ({"a": {"mean": {"normal": {"mean": 1}}}}, None, "normal.standard_deviation"),
        ({"a": {"mean": {**HALF, **BETA}}}, None, "a prior is one of normal, lognormal"),
        ({"a": {"mean": {"normal": {"mean": 1, "standard_deviation": 0}}}}, None, "got 0, but"),
        ({"a": {"mean": HALF}}, None, "half_normal is a prior of a positive parameter"),
        (
            {"a": {"standard_deviation": BETA}},
            None,
            "beta is a prior of a correlation or a share, but 'a_standard_deviation' must be "
            "positive",
        ),
        ({"a_b_correlation": HALF}, None, "must lie between -1 and 1"),
        ({"a_b_correlation": {"lkj": 2}}, None, "state it as 'correlations: {lkj: 2}'"),
        ({"correlations": {"lkj": 2}, "a_b_correlation": BETA}, None, "has another prior"),
        ({"a_b_correlation": BETA, "correlations": {"lkj": 2}}, None, "has a prior of its own"),
        (None, {"correlations": BETA}, "the noise has no correlations"),
        (None, {"standard_deviation": {"lkj": 2}}, "lkj is a prior of a whole correlation matrix"),
        (None, {"sigma": HALF}, "the noise has no parameter 'sigma'"),
        ({"a": {"mean": 3}}, None, "a prior is one of normal, lognormal"),
        (
            {"a": {"mean": {"gaussian": {"mean": 1, "standard_deviation": 1}}}},
            None,
            "half_student_t, beta, lkj, such as {half_normal: 0.5}",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(law, noise, said):
    told = refusal(law, noise)
    assert said in told
    assert "law.prior." in told or "noise.prior." in told
    assert told.startswith("config/config.yaml: 1 problem")


def test_all_faults_are_told_together():
    told = refusal({"d": {"mean": "weak"}, "e": {"mean": "weak"}}, {"sigma": HALF})
    assert "3 problems" in told


def test_unrestricted_noise_takes_priors_of_its_deviations_and_of_its_matrix():
    found = stated(None, {"correlations": {"lkj": 2}, "standard_deviation": HALF},
                   noise={"kind": "full"})  # fmt: skip
    lkj, deviations = found.parts
    assert isinstance(lkj, LkjPrior)
    assert lkj.entries.tolist() == [10, 11, 12]
    assert deviations.entries.tolist() == [7, 8, 9]


def test_a_posterior_has_weak_priors_of_the_positive_parameters_that_have_none():
    read = study({"a": {"mean": "weak", "standard_deviation": HALF}}, noise={"kind": "full"})
    noise = read.noise.model(read.forward.observed(1), ())
    prior = posterior_prior(read.law, read.noise, read.law.law(read.forward), noise)
    # Means of a, b and c, deviations of a and b, the coefficient, the correlation; the noise.
    assert np.flatnonzero(prior.entries).tolist() == [0, 3, 4, 7, 8, 9]
    p = np.array([0.5, 0.1, 0.2, -1.0, -2.0, 0.3, 0.1, -1.0, -1.5, -2.0, 0.1, 0.2, 0.3])
    start = np.array([0.2, *read.noise.start_values().values()])
    scale = 2.5 * start[1]
    expected = [
        stats.norm(0.5, 5.0).logpdf(0.5),
        stats.halfnorm(scale=1.0).logpdf(np.exp(-1.0)),
        np.log(2) + stats.t(4, scale=0.5).logpdf(np.exp(-2.0)),
        *(np.log(2) + stats.t(4, scale=scale).logpdf(np.exp(u)) for u in (-1.0, -1.5, -2.0)),
    ]
    assert prior.value(p) == pytest.approx(sum(expected))
    slope = slopes(lambda q: prior.value(q, True), p, 1e-6)
    np.testing.assert_allclose(prior.gradient(p, True), slope, atol=1e-7)


KERNEL = {"kind": "kernel", "nugget": True}


def scale_of(word: str) -> float:
    """Return the scale at the end of the words of a half-Student-t density."""
    return float(word.rstrip(")").rsplit(" ", 1)[1])


def words_of_noise(seen: ObservedScales | None, **noise) -> dict[str, float]:
    """Return the scale of the weak prior of each parameter of the noise, by name."""
    read = study(None, "weak", noise={**KERNEL, **noise})
    law, model = read.law.law(read.forward), read.noise.model(read.forward.observed(1), ())
    found = stated_prior(read.law, read.noise, law, model, seen)
    return {word.split(":")[0].removeprefix("noise "): scale_of(word) for word in found.words}


def test_a_weak_prior_of_the_noise_has_the_unit_of_the_data():
    # Neither the amplitude nor the length is stated: their defaults say nothing of their sizes.
    observed = study().forward.observed(1)
    y = np.random.default_rng(1).normal(3.0, 2.0, (50, len(observed)))
    y[0, 0] = np.nan
    extent = np.ptp(observed.coordinates)
    for unit in (1.0, 1000.0):
        scales = words_of_noise(ObservedScales.of(unit * y, observed), start={"nugget": 0.2})
        assert scales["amplitude"] == pytest.approx(2.5 * unit * np.nanstd(y), rel=1e-3)
        assert scales["length"] == pytest.approx(2.5 * 0.3 * extent, rel=1e-3)
        # A stated start is a guess in the unit of the data.
        assert scales["nugget"] == pytest.approx(0.5)
    # Before there are data, the start serves.
    assert words_of_noise(None)["amplitude"] == pytest.approx(0.75)


def test_the_posterior_of_data_in_another_unit_has_the_same_prior():
    read = study(noise={"kind": "isotropic"})
    observed = read.forward.observed(1)
    law, model = read.law.law(read.forward), read.noise.model(observed, ())
    y = np.random.default_rng(2).normal(size=(30, len(observed)))
    p = np.append(law.from_natural([read.law.values(read.law.start)[n] for n in law.names]), -1.0)
    unit = np.eye(len(p))[-1] * np.log(1000)
    values = [
        posterior_prior(read.law, read.noise, law, model, ObservedScales.of(k * y, observed)).value(
            q, True
        )
        for k, q in ((1, p), (1000, p + unit))
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_a_share_of_the_signal_has_no_unit():
    observed = study().forward.observed(1)
    y = np.full((4, len(observed)), 1000.0) * np.arange(1, 5)[:, None]
    errors = {"grows": "proportional"}
    scales = words_of_noise(ObservedScales.of(y, observed), errors=errors)
    assert scales["amplitude"] == pytest.approx(0.75)


def test_coefficients_of_a_shape_have_a_prior_already():
    law = {"kind": "free_form", "transforms": {"a": "none"}, "start": {"a": EACH}}
    given = {**copy.deepcopy(STUDY), "forward": {**STUDY["forward"], "parameters": ["a"]}}
    normal = {"normal": {"mean": 0, "standard_deviation": 1}}
    given["law"] = {**law, "prior": {"a_shape_1": normal}}
    with pytest.raises(ConfigError, match="coefficient of the shape, to which the law gives"):
        load({"seed": 1, "studies": {"s": given}})
    given["law"]["prior"] = "weak"
    read = load({"seed": 1, "studies": {"s": given}}).studies["s"]
    found = stated_prior(read.law, read.noise, read.law.law(read.forward), IsotropicNoise(3))
    assert [word.split(":")[0] for word in found.words] == [
        "law a mean",
        "law a standard deviation",
    ]


class Squared(type(normal_law(["a"]))):
    """A law with natural values of its own."""

    def to_natural(self, unconstrained):
        return super().to_natural(unconstrained) * np.array([1.0, 2.0])

    def to_unconstrained(self, natural):
        return super().to_unconstrained(natural / np.array([1.0, 2.0]))


def test_natural_values_that_are_no_known_function_are_refused():
    law = {"kind": "normal", "start": {"a": EACH}, "prior": "weak"}
    given = {**copy.deepcopy(STUDY), "forward": {**STUDY["forward"], "parameters": ["a"]}}
    read = load({"seed": 1, "studies": {"s": {**given, "law": law}}}).studies["s"]
    own = Squared(["a"], normal_law(["a"]).transforms)
    with pytest.raises(ConfigError, match="'to_natural' of its own"):
        stated_prior(read.law, read.noise, own, IsotropicNoise(3))
