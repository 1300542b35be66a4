"""Active learning against a fixed design."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from popinv.evidence.designs import (
    Calls,
    calls_to_reach,
    design_curves,
    design_metrics,
    train_fixed,
    trained_rounds,
)
from popinv.forward.base import Observations, Solutions
from popinv.forward.datasets import solves
from popinv.surrogate.collect import Thresholds, collect, judge
from popinv.surrogate.design import whitened_rmse
from popinv.surrogate.section import SurrogateSettings
from popinv_models.porous_flow.section import PorousFlow

WHAT = Observations(np.array([[0.2], [0.8]]), ("x",), "u")
COVARIANCE = np.array([[0.04, 0.01], [0.01, 0.09]])
CALLS = np.array([100.0, 200.0, 400.0, 800.0])


def record(z: np.ndarray, failed: int = 0):
    y, reason = np.column_stack([np.sin(z[:, 0]), z[:, 0] ** 2]), np.full(len(z), "", dtype=object)
    y[:failed], reason[:failed] = np.nan, "did not converge"
    return collect([solves(z, Solutions(y, reason), ["a"], WHAT)])


def exact(shift: float):
    def predict(z: np.ndarray) -> np.ndarray:
        return np.column_stack([np.sin(z[:, 0]), z[:, 0] ** 2]) + shift * np.array([1.0, 0.0])

    return SimpleNamespace(predict=predict)


def rounds_of(*sizes: int, last: int = 30):
    rng = np.random.default_rng(0)
    estimate = {"noise_covariance": SimpleNamespace(values=COVARIANCE)}
    rounds = record(rng.standard_normal((sizes[0], 1)), failed=3)
    for size in (*sizes[1:], last):
        fresh = record(rng.standard_normal((size, 1)), failed=1 if size == last else 0)
        rounds = judge(
            fresh, rounds, exact(0.1), estimate, Thresholds(1e-9, 1.0), lambda solves: 0.0
        )
    return rounds


def test_calls_of_a_power_law_are_exact():
    errors = 3.0 * CALLS**-0.7
    target = 3.0 * 317.0**-0.7
    assert calls_to_reach(CALLS, errors, target) == Calls(pytest.approx(317.0), "=")


def test_the_first_crossing_counts():
    reached = calls_to_reach(CALLS, np.array([1.0, 0.1, 0.4, 0.05]), 0.2)
    assert reached.relation == "="
    assert 100 < reached.value < 200


def test_what_lies_outside_the_curve_is_a_bound():
    errors = np.array([1.0, 0.8, 0.5, 0.3])
    assert calls_to_reach(CALLS, errors, 0.2) == Calls(800.0, ">")
    assert calls_to_reach(CALLS, errors, 2.0) == Calls(100.0, "<")
    assert calls_to_reach(CALLS, errors, 0.3) == Calls(800.0, "=")
    assert Calls(800.0, ">").shown() == "> 800"
    assert Calls(2.345, "=").shown(2) == 2.35


def test_rounds_without_solves_trained_nothing():
    check = rounds_of(50, 20, 0)
    assert check["solver_calls"].values.tolist() == [50, 20, 0, 30]
    assert trained_rounds(check).tolist() == [0, 1]


def test_surrogates_are_judged_on_the_check_alone_and_in_the_noises_measure():
    check = rounds_of(50, 20, 0)
    curves = design_curves(
        check, COVARIANCE, [exact(0.4), exact(0.1)], {400: exact(0.05), 100: exact(0.2)}
    )
    assert curves["active_calls"].values.tolist() == [50, 70]
    assert curves["fixed_calls"].values.tolist() == [100, 400]
    # A constant error (s, 0) measures s sqrt((Gamma^-1)_11 / 2), whatever the solves.
    unit = np.sqrt(np.linalg.inv(COVARIANCE)[0, 0] / 2)
    np.testing.assert_allclose(curves["active_error"], [0.4 * unit, 0.1 * unit])
    np.testing.assert_allclose(curves["fixed_error"], [0.2 * unit, 0.05 * unit])
    metrics = design_metrics(curves)
    assert metrics["design_error"] == pytest.approx(0.1 * unit)
    assert metrics["design_calls_active"] == 70
    # Halfway between 100 and 400 in logarithms.
    assert metrics["design_calls_fixed"] == 200
    assert metrics["design_calls_ratio"] == pytest.approx(200 / 70, abs=0.01)


def test_a_fixed_design_that_never_gets_there_is_a_bound():
    curves = design_curves(
        rounds_of(50, 20), COVARIANCE, [exact(0.4), exact(0.1)], {100: exact(0.3), 280: exact(0.2)}
    )
    metrics = design_metrics(curves)
    assert metrics["design_calls_fixed"] == "> 280"
    assert metrics["design_calls_ratio"] == "> 4.0"


def test_a_fixed_design_learns_the_more_the_more_it_has():
    surrogate = SurrogateSettings(width=24, depth=2, max_epochs=60, patience=60, batch_size=16)
    forward = PorousFlow(kind="porous_flow")
    rng = np.random.default_rng(1)
    broad = record(3 * rng.standard_normal((400, 1)), failed=10)
    estimate = {"noise_covariance": SimpleNamespace(values=COVARIANCE)}
    z = rng.standard_normal((200, 1))
    cholesky, truth = np.linalg.cholesky(COVARIANCE), exact(0.0).predict(z)
    errors = []
    for count in (40, 400):
        fitted, history = train_fixed(broad, count, surrogate, forward, 3, estimate, trainings=2)
        assert len(history["training_loss"]) <= 60
        errors.append(whitened_rmse(fitted.predict(z), truth, cholesky))
    assert errors[1] < errors[0] / 2
    with pytest.raises(ValueError, match="at least 1"):
        train_fixed(broad, 40, surrogate, forward, 3, estimate, trainings=0)
