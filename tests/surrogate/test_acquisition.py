"""The choice of the next solves by a Gaussian process, against conditioning by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from popinv.config.loading import load
from popinv.surrogate.artefact import surrogate_dataset
from popinv.surrogate.gaussian_process.acquisition import most_uncertain
from popinv.surrogate.gaussian_process.emulator import train_emulator
from popinv.surrogate.stages.propose_parameters import propose_parameters
from popinv.surrogate.stages.train_surrogate import train_surrogate

STUDY = {
    "forward": {
        "kind": "python",
        "function": "simulator:solve",
        "parameters": ["size", "rate"],
        "observations": {"count": 5},
        "design": ["dose"],
    },
    "law": {
        "kind": "lognormal",
        "start": {name: {"mean": 0.0, "standard_deviation": 0.3} for name in ("size", "rate")},
    },
    "noise": {"kind": "isotropic", "start": {"standard_deviation": 0.1}},
    "surrogate": {"kind": "gaussian_process", "restarts": 0},
    "observations": {"file": "observations.csv"},
}
T = np.linspace(0, 2, 5)


@pytest.fixture
def study(in_folder):
    (in_folder / "simulator.py").write_text("def solve(z, design):\n    return z\n")
    return load({"studies": {"few": STUDY}}).studies["few"]


def solver(z: np.ndarray) -> np.ndarray:
    return z[:, 2:] * z[:, :1] * np.exp(-z[:, 1:2] * T)


def inputs(count: int, seed: int, spread: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = np.exp(spread * rng.standard_normal((count, 2)))
    return np.column_stack([z, rng.choice([1.0, 2.0], count)])


def recorded(z: np.ndarray) -> xr.Dataset:
    names = ["size", "rate", "dose"]
    return xr.Dataset(
        {
            "z": (("sample", "parameter"), z),
            "y": (("sample", "observation"), solver(z)),
            "reason": ("sample", np.zeros(len(z), dtype=int)),
        },
        coords={"parameter": names},
        attrs={"converged": 0},
    )


ESTIMATE = xr.Dataset(
    {
        "alpha": ("law_parameter", [0.1, -0.1, np.log(0.3), np.log(0.3)]),
        "noise_covariance": (("o", "p"), 0.01 * np.eye(5)),
    },
    attrs={"converged": 0},
)
OBSERVATIONS = xr.Dataset(
    {
        "y": (("system", "observation"), np.zeros((8, 5))),
        "design": (("system", "design_name"), np.tile([1.0, 2.0], 4)[:, None]),
    }
)


def test_each_choice_is_the_most_uncertain_given_the_choices_before():
    through = train_emulator(
        inputs(15, 1), solver(inputs(15, 1)), covariance="matern", restarts=0, seed=1, stage="s"
    )
    candidates, covariance = inputs(30, 2, 0.5), 0.01 * np.eye(5)
    sizes, nugget = through.component_sizes(covariance), through.processes.nugget.numpy()
    found = most_uncertain(through.candidate_covariances(candidates), nugget, sizes, 6)
    known, chosen = through, []
    for _ in range(6):
        variance = np.array([np.diag(c) for c in known.candidate_covariances(candidates)]).T
        uncertainty = variance @ sizes
        uncertainty[chosen] = -1.0
        chosen.append(int(np.argmax(uncertainty)))
        # The value of the solve does not change the variances.
        at = candidates[chosen[-1:]]
        known = known.conditioned(at, solver(at))
    assert found.tolist() == chosen
    plain = np.argsort(
        -(np.array([np.diag(c) for c in through.candidate_covariances(candidates)]).T @ sizes)
    )
    assert found[0] == plain[0]
    assert set(found) != set(plain[:6])


def test_the_unit_of_a_component_is_the_noise():
    z = inputs(20, 1)
    through = train_emulator(z, solver(z), covariance="matern", restarts=0, seed=1, stage="s")
    sizes = through.component_sizes(0.04 * np.eye(5))
    np.testing.assert_allclose(sizes, through.component_sizes(0.01 * np.eye(5)) / 4)
    # The components' variances add up to those of the observations.
    spread = solver(z).var(axis=0).mean() / 0.04
    assert sizes.sum() == pytest.approx(spread, rel=1e-3)


def test_a_round_solves_the_chosen_candidates_and_the_check_plain_draws(study):
    trained = train_surrogate(
        study.forward, study.law, study.surrogate, recorded(inputs(20, 1)),
        seed=1, round_number=0, recency_decay=0.2,
    )  # fmt: skip
    given = {"forward": study.forward, "law": study.law, "previous_estimate": ESTIMATE}
    given |= {"observations": OBSERVATIONS, "seed": 1}

    def proposed(name: str, samples: int = 6, **others) -> xr.Dataset:
        return propose_parameters(**given, round_name=name, samples=samples, **others)

    chosen = proposed("1", previous_surrogate=trained, candidates=40)
    pool = proposed("1", samples=40)
    rows = [int(np.flatnonzero((pool["z"].values == z).all(1))[0]) for z in chosen["z"].values]
    assert len(set(rows)) == 6
    assert rows != list(range(6))
    np.testing.assert_array_equal(chosen["system"].values, pool["system"].values[rows])
    again = proposed("1", previous_surrogate=trained, candidates=40)
    np.testing.assert_array_equal(again["z"].values, chosen["z"].values)
    assert "most uncertain" in chosen.attrs["source"]
    assert proposed("check").attrs["source"] == "current estimate"
    given["previous_estimate"] = ESTIMATE.assign_attrs(converged=1)
    assert proposed("1", previous_surrogate=trained, candidates=40).sizes["sample"] == 0


def test_training_reads_design_and_logarithms_and_keeps_failed_solves_out(study):
    z = inputs(25, 3)
    record = recorded(z)
    record["y"].values[4], record["reason"].values[4] = np.nan, 1
    trained = train_surrogate(
        study.forward, study.law, study.surrogate, record, previous_estimate=ESTIMATE,
        seed=1, round_number=1, recency_decay=0.2,
    )  # fmt: skip
    assert trained["surrogate.inputs"].shape == (24, 3)
    assert trained["surrogate.input_logarithmic"].values.tolist() == [True, True, False]
    passed = train_surrogate(
        study.forward, study.law, study.surrogate, record.assign_attrs(converged=1), trained,
        seed=1, round_number=2, recency_decay=0.2,
    )  # fmt: skip
    assert passed.attrs["converged"] == 1


def test_an_artefact_says_what_it_is():
    z = inputs(9, 1)
    through = train_emulator(z, solver(z), covariance="matern", restarts=0, seed=1, stage="s")
    assert "gaussian_process" in surrogate_dataset(through, {}, {}).attrs["hyperparameters"]
