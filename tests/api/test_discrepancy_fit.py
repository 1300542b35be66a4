"""A fit whose simulator errs alike in all systems: the answer, its checks, and its predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from study_sections import moments

import popinv
from popinv.cli.show import table
from popinv.judgement.judgements import DISCREPANCY

TIMES = np.linspace(-1.0, 1.0, 8)
BIAS = 0.3 * np.cos(2 * np.pi * TIMES)
COUNT, NOISE = 60, 0.2
LAW = {
    "kind": "normal",
    "start": moments(intercept=(0.0, 1.0), slope=(0.0, 1.0)),
}


def line(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    """Return straight lines at the times."""
    return z[:, :1] + z[:, 1:] * torch.as_tensor(times)


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    """Return observations of lines of mean (1, 0.5) and deviation (0.5, 0.5), with the error."""
    rng = np.random.default_rng(5)
    z = rng.normal([1.0, 0.5], 0.5, size=(COUNT, 2))
    clean = z[:, :1] + z[:, 1:] * TIMES + BIAS
    return clean + NOISE * rng.normal(size=(COUNT, len(TIMES)))


@pytest.fixture(scope="module")
def result(data: np.ndarray) -> popinv.Result:
    """Return the fit with a discrepancy that all systems share."""
    noise = {"kind": "isotropic", "discrepancy": {"shared": "free"}}
    return popinv.fit(
        data, line, law=LAW, noise=noise, times=TIMES, tests=False, progress=False, seed=2
    )


def test_the_answer_has_the_error_with_intervals_and_a_band(result):
    found = result.population
    design = np.column_stack([np.ones(len(TIMES)), TIMES])
    across = np.eye(len(TIMES)) - design @ np.linalg.pinv(design)
    # What no line can express has the standard error of a mean of 60.
    off = across @ (found["discrepancy"].values - BIAS)
    assert np.abs(off).max() < 4 * NOISE / np.sqrt(COUNT)
    low, high, joint_low, joint_high = (
        found[f"discrepancy_{end}"].values
        for end in ("lower", "upper", "joint_lower", "joint_upper")
    )
    assert (joint_low < low).all()
    assert (high < joint_high).all()
    assert ((joint_low < BIAS) & (joint_high > BIAS)).all()
    names = found["noise_parameter"].values.tolist()
    np.testing.assert_array_equal(
        found["noise"].values[names.index("discrepancy_1") :][0], found["discrepancy"].values[0]
    )
    size = names.index("discrepancy_amplitude")
    ends = found["noise_lower"].values[size], found["noise_upper"].values[size]
    assert ends[0] < found["noise"].values[size] < ends[1]
    assert ends[0] < np.sqrt(np.mean(BIAS**2)) < ends[1]


def test_the_checks_say_that_the_simulator_errs_and_what_rests_on_the_prior(result, tmp_path):
    row = result.check().loc[DISCREPANCY]
    # The mean of a linear model is told from a free error by nothing but the prior.
    assert row["verdict"] == "doubt"
    assert "intercept mean (more than 1e+02 times)" in row["finding"]
    assert "standard deviation (" not in row["finding"].split("looks like")[1]
    # A line may be added to the error at every time, so that the band alone would not show it.
    assert "errs alike in all systems, by the evidence" in row["finding"]
    assert result.population.attrs["discrepancy_gain"] > 20
    result.save(tmp_path / "lines")
    shown = table([str(tmp_path / "lines" / "metrics.json")])
    assert "error of the simulator" in shown
    assert shown.count("t = ") >= len(TIMES)
    assert "discrepancy 1 " not in shown


@pytest.mark.full
def test_predictions_and_posteriors_contain_the_error(result, data):
    """The posterior mean of a system has a closed form at one law and noise."""
    found = result.population
    alpha, gamma = found["law"].values, found["noise"].values
    design = np.column_stack([np.ones(len(TIMES)), TIMES])
    prior = design @ np.diag(alpha[2:4] ** 2) @ design.T
    gain = prior @ np.linalg.inv(prior + gamma[0] ** 2 * np.eye(len(TIMES)))
    b = found["discrepancy"].values
    mean = design @ alpha[:2] + b
    expected = mean + (data[:3] - mean) @ gain.T
    predicted = result.predict(data[:3], law_and_noise="fixed", effective=400)
    spread = predicted["signal_deviation"].values
    off = (predicted["signal_mean"].values - expected) / spread
    # The error of a mean of 400 draws is 0.05 of the spread.
    assert np.abs(off).max() < 0.3
    assert (np.abs(off + b / spread) > 2).any()


def test_a_right_simulator_is_called_right(data):
    noise = {"kind": "isotropic", "discrepancy": {"shared": "free"}}
    right = popinv.fit(
        data - BIAS, line, law=LAW, noise=noise, times=TIMES, tests=False, progress=False, seed=2
    )
    row = right.check().loc[DISCREPANCY]
    assert row["verdict"] == "good"
    assert "no error" in row["finding"] or "holds zero" in row["finding"]
