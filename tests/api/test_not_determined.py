"""A ratio is determined, and its numerator and denominator are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import t as student
from study_sections import moments

import popinv

TIMES = np.array([0.5, 1.0, 2.0, 4.0])
SHORT = {"iterations": 10, "legs": 1, "model_samples": 50, "directions": 8}


def concentration(z: torch.Tensor, times: list[float]) -> torch.Tensor:
    """Return the concentration of a dose of which F is absorbed into a volume V, on a background.

    Only the ratio of F and V matters.
    """
    at = torch.as_tensor(times, dtype=z.dtype)
    return 10 * z[:, :1] / z[:, 1:2] * torch.exp(-0.3 * at) + z[:, 2:]


def doses(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    background = rng.normal(1.0, 0.5, count)
    curve = 10 * 0.67 / 2.0 * np.exp(-0.3 * TIMES)
    return curve + background[:, None] + 0.1 * rng.standard_normal((count, 4))


@pytest.fixture(scope="module")
def result() -> popinv.Result:
    start: dict[str, Any] = moments(F=(np.log(0.8), 0), V=(np.log(2.5), 0), background=(0.0, 1.0))
    transforms = {"F": "log", "V": "log", "background": "none"}
    return popinv.fit(
        doses(60),
        concentration,
        times=TIMES.tolist(),
        noise="isotropic",
        law={"kind": "transformed_normal", "transforms": transforms, "start": start},
        descent=SHORT,
        tests=False,
        progress=False,
    )


def test_what_is_not_determined_has_no_interval_and_the_rest_has(result):
    table, metrics = result.summary(), result.metrics
    unknown = ["F_median", "V_median"]
    assert metrics["undetermined"] == "F_median, V_median"
    assert table.loc[unknown, ["lower", "upper", "standard_error"]].isna().all(axis=None)
    others = table.drop(index=unknown)
    assert np.isfinite(others[["lower", "upper", "standard_error"]]).all(axis=None)
    assert repr(result).count("not determined") >= 2
    # No number says otherwise.
    assert not [key for key in metrics if key.startswith(("standard_error_F", "efficiency_F"))]
    assert not [key for key in metrics if key.endswith("F_mean_standard_error")]
    # The determined combination stands in their place, in the table as in the record.
    assert table.loc["F_median / V_median", "estimate"] == pytest.approx(0.335, rel=0.1)
    assert "F_median / V_median" in repr(result)
    (line,) = [line for line in repr(result).splitlines() if line.startswith("F_median  ")]
    assert line.split() == ["F_median", "not", "determined"]
    # Steps along what is not determined stay within the parameters' whole scale.
    assert 0.1 < table.loc["F_median", "estimate"] < 10


def test_the_determined_combination_has_the_interval_of_a_model_of_it_alone(result):
    """One number r = F / V enters linearly, so that generalised least squares gives r."""
    metrics, data = result.metrics, doses(60)
    noise = metrics["noise_standard_deviation"]
    spread = metrics["alpha_background_standard_deviation"]
    covariance = noise**2 * np.eye(4) + spread**2
    design = np.column_stack([10 * np.exp(-0.3 * TIMES), np.ones(4)])
    information = 60 * design.T @ np.linalg.solve(covariance, design)
    right = design.T @ np.linalg.solve(covariance, data.sum(axis=0))
    ratio, _ = np.linalg.solve(information, right)
    error = np.sqrt(np.linalg.inv(information)[0, 0])
    name = "combination_F_median / V_median"
    assert metrics[name] == pytest.approx(ratio, rel=1e-3)
    t = student(59).ppf(0.975)
    for side, end in ((-1, "lower"), (1, "upper")):
        exact = ratio * np.exp(side * t * error / ratio)
        assert metrics[f"{name}_{end}"] == pytest.approx(exact, rel=2e-3)


def test_it_is_doubted_and_the_errors_are_not_praised(result):
    verdicts = result.check()["verdict"]
    assert verdicts["Identifiability"] == "doubt"
    assert verdicts["Efficiency"] == "neutral"


def test_both_kinds_of_standard_errors_and_the_value_are_shown(result):
    table, metrics = result.summary(), result.metrics
    known = table.drop(index=["F_median", "V_median", "F_median / V_median"])
    assert np.isfinite(known[["model_error", "robust_error"]]).all(axis=None)
    # Sixty systems have errors by the model.
    np.testing.assert_allclose(known["standard_error"], known["model_error"])
    assert metrics["standard_errors_by"] == "model"
    assert result.check().loc["Standard errors", "verdict"] == "neutral"
    assert "by the model" in result.check().loc["Standard errors", "result"]
    # Five parameters move.
    value = metrics["log_likelihood"]
    assert metrics["aic"] == pytest.approx(-2 * value + 10)
    assert metrics["bic"] == pytest.approx(-2 * value + 5 * np.log(60))
    assert f"Log likelihood {value:.2f}" in repr(result)
    assert f"{value:.2f}" in result.check().loc["Log likelihood", "result"]
    # The model is linear in what varies.
    assert metrics["log_likelihood_error"] == 0.0


def summed(deviations: tuple[float, float], slope: float = 1.0) -> popinv.Result:
    """Return a fit of u + v seen four times, from these deviations; v may grow with the place."""
    rng = np.random.default_rng(4)
    u, v = rng.normal([1.0, 2.0], [0.6, 0.0 if slope != 1 else 0.8], (100, 2)).T
    ways = torch.tensor([1.0, slope, slope**2, slope**3], dtype=torch.float64)
    data = u[:, None] + v[:, None] * ways.numpy() + 0.3 * rng.standard_normal((100, 4))
    start = {
        name: {"mean": mean, "standard_deviation": deviation}
        for name, mean, deviation in zip("uv", (1.0, 2.0), deviations, strict=True)
    }
    return popinv.fit(
        data,
        lambda z: z[:, :1] + z[:, 1:] * ways,
        law={"kind": "normal", "start": start},
        noise="isotropic",
        descent=SHORT,
        tests=False,
        progress=False,
    )


def test_two_variances_of_which_the_data_show_the_sum_are_not_determined():
    name = "u_standard_deviation^2 + v_standard_deviation^2"
    tables = [summed(start).summary() for start in ((0.3, 0.5), (1.5, 0.5))]
    for table in tables:
        deviations = ["u_standard_deviation", "v_standard_deviation"]
        unknown = [*deviations, "u_mean", "v_mean"]
        assert table.loc[unknown, ["lower", "upper", "standard_error"]].isna().all(axis=None)
        assert np.isfinite(table.loc[["noise_standard_deviation", name], "upper"]).all()
    one, other = (table.loc[name] for table in tables)
    # The variance of a mean of four over the systems, less that of the noise.
    assert one["estimate"] == pytest.approx(other["estimate"], rel=0.01)
    assert one["lower"] < 1.0 < one["upper"]
    # The error of the logarithm of a variance from 100 systems.
    error = one["standard_error"] / one["estimate"]
    assert error == pytest.approx(np.sqrt(2 / 100), rel=0.1)


def test_a_variance_of_zero_that_the_data_show_keeps_its_interval():
    result = summed((0.5, 0.5), slope=0.5)
    table = result.summary()
    assert table.loc["v_standard_deviation", "lower"] == 0
    assert table.loc["v_standard_deviation", "upper"] < 0.3
    assert "undetermined" not in result.metrics or result.metrics["undetermined"] == "none"
    assert not [name for name in table.index if "^2" in name]


def test_law_and_noise_of_one_observation_are_told_apart_by_nobody():
    rng = np.random.default_rng(2)
    table = popinv.fit(
        rng.normal(1.0, 0.8, (80, 1)),
        lambda z: 1.0 * z,
        law={"kind": "normal", "start": {"a": {"mean": 1.0, "standard_deviation": 0.1}}},
        noise={"kind": "isotropic", "start": {"standard_deviation": 0.3}},
        descent=SHORT,
        tests=False,
        progress=False,
    ).summary()
    both = ["a_standard_deviation", "noise_standard_deviation"]
    assert table.loc[both, "upper"].isna().all()
    together = table.loc["a_standard_deviation^2 + noise_standard_deviation^2"]
    assert together["lower"] < 0.64 < together["upper"]
