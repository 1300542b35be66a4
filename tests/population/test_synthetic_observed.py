"""Synthetic systems with all that can be stated of them, observed: against NumPy alone."""

from __future__ import annotations

import numpy as np
import pytest
from study_sections import function

from popinv.config.loading import load
from popinv.population.model import Model
from popinv.population.synthetic_observed import known_of_systems, observed_systems, true_noise
from popinv.seeds import generator, standard_normal_rows

START = {"rate": {"mean": 0.0, "standard_deviation": 0.3}}
ERRORS = {"grows": "combined", "covariates": ["age"]}
NOISE = {"standard_deviation": 0.5, "proportional": 0.3, "noise_age_coefficient": 0.2}
KNOWN = {
    "dose": {"uniform": [1.0, 2.0]},
    "mass": {"normal": [7.0, 1.0]},
    "age": {"normal": [40.0, 2.0]},
}
COUNT = 400


def study(noise=None, values=None, family=None, **observations):
    truth = {
        "law": {**START, "rate_mass_coefficient": 0.1},
        "noise": values or NOISE,
        "noise_model": family,
    }
    given = {
        "forward": function(
            "simulator:solve", "rate", design=["dose"], observations={"times": [0.0, 1.0, 2.0]}
        ),
        "law": {"kind": "normal", "start": START, "covariates": {"rate": ["mass"]}},
        "noise": noise or {"kind": "isotropic", "errors": ERRORS},
        "observations": {"known": KNOWN, "truth": truth, **observations},
    }
    return load({"studies": {"s": given}}).studies["s"]


def model_of(made) -> Model:
    return Model(made.forward, made.law, made.noise)


@pytest.mark.parametrize("replicates", [1, 3])
def test_all_that_is_stated_of_systems_is_in_their_observations(replicates):
    made = study(
        replicates=replicates, noise_scale={"low": 0.5, "high": 2.0}, censored_below=[1.0, 1.5, 2.0]
    )
    clean = np.linspace(1, 4, 3 * COUNT).reshape(COUNT, 3)
    clean[5] = np.nan
    stated = (model_of(made), made.observations, clean)
    seen = observed_systems(*stated, seed=1, stage="systems_400", heldout=30)
    at = np.delete(np.arange(COUNT), 5)
    age = generator(1, "truth/known/age").normal(40.0, 2.0, COUNT)
    scale = [0.5 * 4 ** generator(1, "systems_400/noise_scale", i).random() for i in at]
    e = standard_normal_rows(1, "systems_400/noise", 0, COUNT, 3 * replicates)
    repeated = np.tile(clean, (1, replicates))
    deviation = np.sqrt(0.5**2 + (0.3 * repeated) ** 2) * np.exp(0.2 * (age - age.mean()))[:, None]
    y = repeated[at] + np.array(scale)[:, None] * (deviation * e)[at]
    y = np.maximum(y, np.tile([1.0, 1.5, 2.0], replicates))
    np.testing.assert_allclose(seen["y"], y[:-30], rtol=1e-12)
    np.testing.assert_allclose(seen["y_heldout"], y[-30:], rtol=1e-12)
    np.testing.assert_allclose(seen["noise_scale"], scale[:-30])
    assert seen["covariate_name"].values.tolist() == ["mass", "age"]
    np.testing.assert_allclose(seen["covariate"][:, 1], (age - age.mean())[at][:-30])
    dose = generator(1, "truth/known/dose").uniform(1.0, 2.0, COUNT)
    np.testing.assert_allclose(seen["design"][:, 0], dose[at][:-30])


def test_a_row_depends_on_its_index_alone_where_nothing_is_relative_to_a_mean():
    made = study({"kind": "isotropic"}, {"standard_deviation": 0.5}, known={
        "dose": {"uniform": [1.0, 2.0]}, "mass": {"normal": [7.0, 1.0]}})  # fmt: skip
    stated = model_of(made), made.observations
    many = observed_systems(*stated, np.zeros((20, 3)), seed=1, stage="systems")["y"].values
    few = observed_systems(*stated, np.zeros((7, 3)), seed=1, stage="systems")["y"].values
    np.testing.assert_array_equal(few, many[:7])
    other = observed_systems(*stated, np.zeros((7, 3)), seed=1, stage="others")["y"].values
    assert np.all(other != few)


def test_the_true_noise_may_be_of_another_family_with_covariates_of_its_own():
    made = study({"kind": "diagonal"}, family={"kind": "isotropic", "errors": ERRORS})
    noise, gamma = true_noise(model_of(made), made.observations, seed=1)
    assert noise.names == ("standard_deviation", "proportional", "noise_age_coefficient")
    np.testing.assert_allclose(noise.to_natural(gamma), [0.5, 0.3, 0.2])
    known = known_of_systems(model_of(made), made.observations, 1, 9)
    assert known.covariates.shape == (9, 2)
