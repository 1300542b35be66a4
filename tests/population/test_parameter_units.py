"""Units and descriptions of the parameters of every kind of law and noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import xarray as xr

from popinv.config.loading import load
from popinv.inference.answer.law_summary import summary_names
from popinv.population.model import Model
from popinv.population.noise.unstructured_section import IsotropicSection
from popinv.population.units import covariate_centres, law_parameters, noise_parameters

FORWARD = {
    "kind": "python",
    "function": "simulator:solve",
    "parameters": [{"name": "V", "units": "L"}, {"name": "share"}],
    "observations": {"name": "conc", "units": "mg/L", "times": [0, 1, 2], "coordinate_units": "h"},
}
BOTH = {name: {"mean": 0.5, "standard_deviation": 0.1} for name in ("V", "share")}


def model(law: dict[str, Any], noise: dict[str, Any] | None = None, **forward: Any) -> Model:
    study = {
        "forward": {**FORWARD, **forward},
        "law": law,
        "noise": noise or {"kind": "isotropic"},
        "observations": {"file": "y.csv"},
    }
    checked = load({"studies": {"own": study}}).studies["own"]
    return Model(checked.forward, checked.law, checked.noise)


def units_of_law(law: dict[str, Any]) -> dict[str, str]:
    of = model(law)
    names = of.law.law(of.forward).names
    return {name: told.units for name, told in law_parameters(of, names).items()}


def units_of_noise(noise: dict[str, Any], **forward: Any) -> dict[str, str]:
    of = model({"kind": "normal", "start": BOTH}, noise, **forward)
    names = of.noise.model(of.forward.observed(0), ()).names
    return {name: told.units for name, told in noise_parameters(of, names).items()}


def test_a_normal_law_has_the_units_of_its_parameters():
    law = {
        "kind": "normal",
        "start": BOTH,
        "correlations": True,
        "covariates": {"V": ["weight"]},
        "scale_covariates": {"V": ["age"]},
    }
    assert units_of_law(law) == {
        "V_mean": "L",
        "share_mean": "1",
        "V_standard_deviation": "L",
        "share_standard_deviation": "1",
        "V_weight_coefficient": "L per unit of weight",
        "V_age_scale_coefficient": "1",
        "V_share_correlation": "1",
    }


def test_a_lognormal_law_tells_what_the_logarithm_is_of():
    units = units_of_law({"kind": "lognormal", "start": BOTH, "covariates": {"V": ["weight"]}})
    assert units == {
        "V_mean": "log(L)",
        "share_mean": "1",
        "V_standard_deviation": "1",
        "share_standard_deviation": "1",
        "V_weight_coefficient": "per unit of weight",
    }
    of = model({"kind": "lognormal", "start": BOTH})
    told = law_parameters(of, ("V_mean", "share_standard_deviation", "V_share_correlation"))
    assert told["V_mean"].long_name == "mean of log V"
    assert told["share_standard_deviation"].long_name == "standard deviation of log share"
    assert told["V_share_correlation"].long_name == "correlation of V and share"


def test_a_mean_says_of_which_covariates_it_is():
    law = {"kind": "lognormal", "start": BOTH, "covariates": {"V": ["weight", "sex_male"]}}
    centres = covariate_centres(
        xr.Dataset(
            {"covariate_centre": ("covariate_name", [71.23456, 0.0])},
            coords={"covariate_name": ["weight", "sex_male"]},
        )
    )
    told = law_parameters(model(law), ("V_mean", "share_mean", "V_standard_deviation"), centres)
    assert [each.long_name for each in told.values()] == [
        "mean of log V where weight = 71.23 and sex_male = 0",
        "mean of log share",
        "standard deviation of log V",
    ]
    median = law_parameters(model(law), ("V_median",), centres)["V_median"]
    assert median.long_name == "median of V where weight = 71.23 and sex_male = 0"


def test_each_parameter_has_its_own_transform():
    transforms = {"V": "none", "share": {"logit": [0, 1]}}
    units = units_of_law({"kind": "transformed_normal", "start": BOTH, "transforms": transforms})
    assert units["V_mean"] == units["V_standard_deviation"] == "L"
    assert units["share_mean"] == "1"
    of = model({"kind": "transformed_normal", "start": BOTH, "transforms": transforms})
    assert law_parameters(of, ("share_mean",))["share_mean"].long_name == "mean of logit share"


def test_components_of_a_mixture_have_the_units_of_their_parameters():
    start = {
        "component_1": {"weight": 0.5, **BOTH},
        "component_2": {"weight": 0.5, **BOTH, "V": {"mean": 2.0, "standard_deviation": 0.1}},
    }
    units = units_of_law(
        {
            "kind": "mixture",
            "transforms": {"V": "none", "share": "none"},
            "ordered_by": "V",
            "start": start,
        }
    )
    assert units["component_1_V_mean"] == units["component_2_V_mean_increment"] == "L"
    assert units["component_2_V_standard_deviation"] == "L"
    assert units["component_1_share_mean"] == units["component_1_weight"] == "1"


def test_summaries_of_a_free_form_law_are_those_of_the_parameters_themselves():
    of = model({"kind": "free_form", "transforms": {"V": "log", "share": "none"}, "start": BOTH})
    names = summary_names(of.law.law(of.forward))
    units = {name: told.units for name, told in law_parameters(of, names).items()}
    assert units["V_median"] == units["V_quantile_05"] == "L"
    assert units["V_skewness"] == units["share_median"] == units["V_share_correlation"] == "1"


def test_a_field_is_a_logarithm_and_its_length_a_length():
    checked = load(
        {
            "studies": {
                "flow": {
                    "forward": {"kind": "porous_flow"},
                    "observations": {
                        "truth": {
                            "law": {"mean": 0.5, "standard_deviation": 0.4, "length": 0.3},
                            "noise": {"amplitude": 0.1, "length": 0.1},
                        }
                    },
                }
            }
        }
    ).studies["flow"]
    of = Model(checked.forward, checked.law, checked.noise)
    places = checked.forward.observed(0).coordinate_units
    units = {
        n: t.units for n, t in law_parameters(of, ("mean", "standard_deviation", "length")).items()
    }
    assert units == {"mean": "1", "standard_deviation": "1", "length": places}
    told = law_parameters(of, ("mean", "length"))
    assert told["mean"].long_name == of.forward.parameters()[0].long_name
    assert told["length"].long_name == "length of the field"


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        ({"kind": "isotropic"}, {"standard_deviation": "mg/L"}),
        (
            {"kind": "autoregressive"},
            {"standard_deviation": "mg/L", "correlation": "1"},
        ),
        (
            {"kind": "kernel", "nugget": True},
            {"amplitude": "mg/L", "length": "h", "nugget": "mg/L"},
        ),
        (
            {"kind": "isotropic", "errors": {"grows": "combined", "tails": "student"}},
            {"standard_deviation": "mg/L", "proportional": "1", "degrees_of_freedom": "1"},
        ),
        # Deviations are shares of the signal.
        ({"kind": "isotropic", "errors": {"grows": "proportional"}}, {"standard_deviation": "1"}),
    ],
)
def test_noise_has_the_unit_of_the_observations(noise, expected):
    assert units_of_noise(noise) == expected


def test_a_family_of_ones_own_states_its_units():
    class Levels(IsotropicSection):
        def units(self, name, observations):
            return observations.units if name in ("early", "late") else "1"

    of = replace(model({"kind": "normal", "start": BOTH}), noise=Levels(kind="isotropic"))
    told = noise_parameters(of, ("early", "slope"))
    assert {name: each.units for name, each in told.items()} == {"early": "mg/L", "slope": "1"}


def test_noise_of_logarithms_has_no_unit():
    observations = {**FORWARD["observations"], "logarithm": True}
    units = units_of_noise({"kind": "isotropic"}, observations=observations)
    assert units == {"standard_deviation": "1"}
