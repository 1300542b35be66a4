"""Laws of random fields whose unknowns depend on covariates."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from popinv.config.loading import load
from popinv.errors import ConfigError
from popinv.population.known import Known, inputs
from popinv.population.laws.fields_section import LevelSetFieldSection, MaternFieldSection
from popinv.population.laws.section import law_spread, law_values
from popinv_models.elastodynamics.section import Elastodynamics
from popinv_models.porous_flow.section import PorousFlow

FLOW = PorousFlow(kind="porous_flow", modes=4)
TWO = PorousFlow(kind="porous_flow", modes=4, field="level_set")
BODY = Elastodynamics(kind="elastodynamics", field="cosine", modes=4)
MATERN = {
    "kind": "matern_field",
    "covariates": {"mean": ["porosity", "depth"], "standard_deviation": ["depth"]},
    "start": {"mean": 0.3, "standard_deviation": 0.5, "length": 0.2,
              "mean_porosity_coefficient": 2.0, "mean_depth_coefficient": -1.0,
              "standard_deviation_depth_coefficient": 0.5},
}  # fmt: skip
# Effects are in the order of the names.
COEFFICIENTS = (
    "mean_porosity_coefficient",
    "mean_depth_coefficient",
    "standard_deviation_depth_coefficient",
)
C = torch.tensor([[0.1, -0.2], [0.0, 0.0], [-0.3, 0.4]], dtype=torch.float64)


def matern(forward=FLOW, **keys):
    section = MaternFieldSection.model_validate({**MATERN, **keys})
    return section, section.law(forward), law_values(section, section.start, forward)


def omega(law, rows=3):
    return torch.from_numpy(np.random.default_rng(0).standard_normal((rows, law.d_omega)))


def test_unknowns_of_the_field_are_linear_in_the_covariates():
    section, law, alpha = matern()
    assert section.covariate_names() == ("porosity", "depth")
    assert law.names == ("mean", "standard_deviation", "length", *COEFFICIENTS)
    assert law.coefficients == ((3, 0), (4, 1), (5, 1))
    e = omega(law)
    z = law.sample_given(torch.from_numpy(alpha), e, C)
    plain = MaternFieldSection(kind="matern_field")
    for row, (porosity, depth) in enumerate(C.tolist()):
        alone = plain.replace(
            start={
                "mean": 0.3 + 2.0 * porosity - depth,
                "standard_deviation": 0.5 * np.exp(0.5 * depth),
                "length": 0.2,
            }
        )
        its = torch.from_numpy(law_values(alone, alone.start, FLOW))
        expected = alone.law(FLOW).sample(its, e[row : row + 1])
        torch.testing.assert_close(z[row : row + 1], expected, rtol=1e-13, atol=1e-14)


def test_one_alpha_for_each_row_gives_each_row_its_own():
    _, law, alpha = matern()
    rows = torch.from_numpy(alpha + 0.1 * np.random.default_rng(1).standard_normal((3, 6)))
    e = omega(law)
    together = law.sample_given(rows, e, C)
    alone = [law.sample_given(rows[i], e[i : i + 1], C[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("kind", ["matern", "level_set", "beside"])
def test_derivatives_agree_with_differences(kind):
    if kind == "level_set":
        section = LevelSetFieldSection(
            kind="level_set_field",
            covariates={"permeability_1": ["porosity"], "permeability_2": ["porosity", "depth"]},
        )
        law, alpha = section.law(TWO), law_values(section, section.start, TWO)
    else:
        beside = {"damping": {"mean": -1.0, "standard_deviation": 0.3}}
        start = {**MATERN["start"], **({"beside": beside} if kind == "beside" else {})}
        _, law, alpha = matern(BODY if kind == "beside" else FLOW, start=start)
    e, at = omega(law), torch.from_numpy(alpha).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda a: law.sample_given(a, e, C), (at,))
    assert law.sample_given(at, e, C).shape == (3, law.d_z)


def test_coefficients_of_a_level_set_shift_the_logarithm_of_its_permeabilities():
    section = LevelSetFieldSection(
        kind="level_set_field",
        covariates={"permeability_2": ["porosity"]},
        start={"inverse_length": 4, "permeability_1": 1, "permeability_2": 3,
               "permeability_2_porosity_coefficient": 5.0},
    )  # fmt: skip
    law, alpha = section.law(TWO), law_values(section, section.start, TWO)
    assert not law.has_density
    z = law.sample_given(torch.from_numpy(alpha), omega(law), C[:, :1])
    expected = np.column_stack([np.zeros(3), np.log(3) + 5 * C[:, 0].numpy()])
    np.testing.assert_allclose(z[:, :2], expected, atol=1e-14)


def test_the_density_is_that_of_each_systems_own_field():
    _, law, alpha = matern()
    at, e = torch.from_numpy(alpha), omega(law)
    z = law.sample_given(at, e, C)
    density = law.log_density_given(at, z, C)
    change = 1e-6
    slope = (law.log_density(at + change * torch.eye(6)[5], z, C) - density) / change
    deviation = 0.5 * torch.exp(0.5 * C[:, 1])
    spectrum = z[:, 1:] / (deviation[:, None] * e)
    torch.testing.assert_close(spectrum[0], spectrum[2])
    # d/db of -log s - e^2 / 2 with log s = ... + b c, summed over the modes.
    expected = ((e**2 - 1).sum(dim=1)) * C[:, 1]
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-5)


def test_a_law_that_depends_on_covariates_does_not_do_without_them():
    _, law, alpha = matern()
    with pytest.raises(ValueError, match="were not given"):
        law.sample(torch.from_numpy(alpha), omega(law))
    known = Known(torch.ones((3, 1), dtype=torch.float64), C)
    both = inputs(law, torch.from_numpy(alpha), omega(law), known)
    assert both.shape == (3, law.d_z + 1)


def test_coefficients_start_at_zero_and_have_no_spread():
    start = {"mean": 0.3, "standard_deviation": 0.5, "length": 0.2}
    section, law, alpha = matern(start=start, spread={**dict.fromkeys(start, 0.1), "length": 0.7})
    np.testing.assert_allclose(law.to_natural(alpha)[3:], 0)
    np.testing.assert_allclose(law_spread(section, FLOW), [0.1, 0.1, 0.7, 0, 0, 0])


def study(law, truth, known):
    observations = {"known": known, "truth": {"law": truth, "noise": {"standard_deviation": 0.1}}}
    forward = {"kind": "porous_flow", "design": ["source"]}
    noise = {"kind": "isotropic"}
    return {"studies": {"s": {"forward": forward, "law": law, "noise": noise,
                              "observations": observations}}}  # fmt: skip


TRUTH = {"mean": 0.5, "standard_deviation": 0.4, "length": 0.3}
KNOWN = {"source": {"uniform": [5, 15]}, "porosity": {"normal": [0.25, 0.05]}}
OF_MEAN = {"kind": "matern_field", "covariates": {"mean": ["porosity"]}}


def test_a_study_states_the_coefficients_beside_the_unknowns():
    config = load(study(OF_MEAN, {**TRUTH, "mean_porosity_coefficient": 8.0}, KNOWN))
    (made,) = config.studies.values()
    values = made.law.values(made.observations.truth.law)
    assert values == {**TRUTH, "mean_porosity_coefficient": 8.0}


@pytest.mark.parametrize(
    ("law", "truth", "known", "text"),
    [
        (OF_MEAN, TRUTH, KNOWN, "missing: mean_porosity_coefficient"),
        (OF_MEAN, {**TRUTH, "mean_porosity": 1.0}, KNOWN, "mean_porosity_coefficient"),
        (OF_MEAN, {**TRUTH, "mean_porosity_coefficient": {"a": 1}}, KNOWN, "must be a number"),
        ({**OF_MEAN, "covariates": {"mode_1": ["porosity"]}}, TRUTH, KNOWN, "unknowns of the"),
        ({"kind": "matern_field", "start": {"lenght": 1.0}}, TRUTH, KNOWN, "length"),
        ({**OF_MEAN, "start": {"mean_depth_coefficient": 1.0}}, TRUTH, KNOWN, "mean_porosity_coef"),
        (OF_MEAN, {**TRUTH, "mean_porosity_coefficient": 8.0}, {"source": {"normal": [1, 1]}},
         "porosity"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_explained(law, truth, known, text):
    with pytest.raises(ConfigError, match=text):
        load(study(law, truth, known))


@pytest.mark.parametrize("given", [{}, {"mean_porosity_coefficient": 2.0}])
def test_a_section_travels_to_other_processes(given):
    section = MaternFieldSection(kind="matern_field", covariates=OF_MEAN["covariates"], start=given)
    there = pickle.loads(pickle.dumps(section))
    assert there == section
    assert there.start.coefficients() == given
    assert there.model_dump(mode="json") == section.model_dump(mode="json")
    # The keys alone are among the attributes.
    assert set(vars(there.start)) == set(type(section.start).model_fields)
