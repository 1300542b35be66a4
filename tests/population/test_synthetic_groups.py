"""Synthetic populations of groups: laws, members that failed, and what is known of each."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from study_sections import function, moments

from popinv.config.loading import load
from popinv.errors import ConfigError
from popinv.forward.base import Solutions
from popinv.forward.datasets import solves
from popinv.population.members import known_of_members, law_and_members, observed_members
from popinv.population.model import Model
from popinv.population.stages.draw_population import draw_population
from popinv.population.stages.observe_population import observe_population
from popinv.population.synthetic_observed import true_parameters
from popinv.workflow.rounds import solve_count

START = moments(a=(0.0, 1.0), b=(0.0, 1.0))
LAW = {
    "kind": "normal",
    "start": START,
    "covariates": {"a": ["w"]},
    "levels": {"batch": ["a"], "specimen": ["a", "b"], "occasion": ["b"]},
}
TRUTH = {
    "a": {"mean": 1.0, "standard_deviation": 0.5},
    "b": {"mean": 2.0, "standard_deviation": 0.5},
    "a_batch_standard_deviation": 0.9,
    "a_specimen_standard_deviation": 0.4,
    "b_occasion_standard_deviation": 0.2,
    "a_w_coefficient": 0.3,
}


def study(law=LAW, truth=TRUTH, **observations):
    given = {
        "forward": function(
            "simulator:solve", "a", "b", design=["dose"], observations={"times": [0.0, 1.0, 2.0]}
        ),
        "law": law,
        "noise": {"kind": "isotropic"},
        "observations": {
            "count": 400,
            "heldout": 50,
            "members": {"specimen": 3, "occasion": 2},
            "known": {"dose": {"uniform": [1.0, 2.0]}, "w": {"normal": [7.0, 1.0]}},
            "truth": {"law": truth, "noise": {"standard_deviation": 0.1}},
            **observations,
        },
    }
    return load({"studies": {"s": given}}).studies["s"]


def solved(made, failed=()) -> xr.Dataset:
    """Return the members of the population, solved by y = a + b dose t."""
    drawn = draw_population(
        made.forward,
        made.true_law(),
        made.known_distributions(),
        seed=1,
        samples=solve_count(made, "truth"),
    )
    z = drawn["z"].values
    y = z[:, :1] + z[:, 1:2] * z[:, 2:] * np.arange(3.0)
    reason = np.full(len(z), "", dtype=object)
    y[list(failed)], reason[list(failed)] = np.nan, "no root"
    return solves(z, Solutions(y, reason), made.forward.inputs(), made.forward.observed(1))


def observed(made, failed=()):
    model = Model(made.forward, made.law, made.noise)
    return observe_population(model, made.observations, solved(made, failed), seed=1)


def test_members_share_the_effects_of_their_nodes():
    made = study(count=20_000, heldout=2)
    z = solved(made)["z"].values.reshape(-1, 6, 3)[:20_000]
    observations, _ = observed(made)
    w = known_of_members(observations).covariates.numpy().reshape(20_000, 6)
    a, b = z[..., 0] - 1.0 - 0.3 * w, z[..., 1] - 2.0
    same = np.kron(np.eye(3), np.ones((2, 2)))
    # The deviation of b at a level has an equal part of its variance unless it is stated.
    specimen = 0.5**2 / 2
    np.testing.assert_allclose(np.cov(a.T), 0.9**2 + 0.4**2 * same, atol=0.03)
    np.testing.assert_allclose(np.cov(b.T), specimen * same + 0.2**2 * np.eye(6), atol=0.006)


def test_each_member_is_observed_with_its_own_known_quantities():
    observations, truth = observed(study())
    assert observations["y"].shape == (400, 18)
    assert observations["y_heldout"].shape == (50, 18)
    assert observations["design"].dims == ("system", "member", "design_name")
    z = truth["z"].values[:400]
    np.testing.assert_array_equal(z[..., 2], observations["design"].values[..., 0])
    noise = observations["y"].values.reshape(400, 6, 3) - truth["y_clean"].values[:400]
    assert noise.std() == pytest.approx(0.1, rel=0.03)
    made = study()
    law, members = law_and_members(made.law.law(made.forward), observations)
    assert members == 6
    np.testing.assert_array_equal(true_parameters(truth, law, 400), z[..., :2].reshape(400, -1))
    assert dict(zip(law.names, truth["law"].values, strict=True)) == pytest.approx(
        {
            "a_mean": 1.0,
            "b_mean": 2.0,
            "a_w_coefficient": 0.3,
            "a_batch_standard_deviation": 0.9,
            "a_specimen_standard_deviation": 0.4,
            "b_specimen_standard_deviation": 0.5 / 2**0.5,
            "b_occasion_standard_deviation": 0.2,
        }
    )


def test_replicates_belong_to_their_member():
    observations, truth = observed(study(replicates=2))
    y = observations["y"].values.reshape(400, 6, 2, 3)
    clean = truth["y_clean"].values[:400]
    assert np.abs(y - clean[:, :, None]).max() < 0.6


def test_a_failed_member_is_absent_and_a_failed_group_is_left_out():
    observations, truth = observed(study(), failed=[8, *range(12, 18)])
    assert observations.sizes["system"] == 399
    present = observed_members(observations)
    assert present.sum() == 399 * 6 - 1
    assert not present[1, 2]
    names = ["1, 0", "1, 1", "", "1, 3", "1, 4", "1, 5"]
    assert observations["member_id"].values[1].tolist() == names
    assert truth["z"].shape == (449, 6, 3)
    assert np.isfinite(truth["noise_covariance"].values).all()


def test_a_withdrawn_group_leaves_with_its_members():
    observations, truth = observed(study(without=[1]))
    every, _ = observed(study())
    assert observations.sizes["system"] == 399
    np.testing.assert_array_equal(observations["y"].values[1], every["y"].values[2])
    assert truth["z"].shape[0] == 449


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": {"specimen": 3}}, "missing: occasion"),
        ({"members": {"specimen": 3, "occasion": 2, "batch": 2}}, "unknown parameter"),
        ({"members": {"specimen": 3, "occasion": 1}}, "could not be told apart"),
        ({"members": {"specimen": 300, "occasion": 200}}, "at most 100,000 are possible"),
        ({"members": {"specimen": 30, "occasion": 3}}, "set it to 720 or more"),
        ({"truth": {**TRUTH, "a_batch_standard_deviation": -1.0}}, "deviation of a level"),
        ({"truth": {**TRUTH, "b_batch_standard_deviation": 1.0}}, "unknown parameter"),
        ({"law": {**LAW, "levels": {}}}, "the law has no 'levels'"),
    ],
)
def test_what_does_not_fit_the_levels_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        study(**changes)
