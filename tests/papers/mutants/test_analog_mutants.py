"""Wrong formulas of training on analog devices: each fails an ordinary test."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from source_mutants import Mutant, each, failing, ordinary_tests

from popinv_papers.analog import algorithms, devices, layers, pulses, quadratic

pytestmark = pytest.mark.slow

TESTS = ordinary_tests("test_analog")
PULSES = ordinary_tests("test_analog_pulses")

# The module, its change, and the ordinary test that fails.
MUTANTS: list[tuple[ModuleType, str, str, Callable[..., None]]] = [
    (
        devices,
        "lambda w: 1 - w / reach",
        "lambda w: 1 - 1.2 * w / reach",
        TESTS.test_the_asymmetric_linear_device_follows_its_recursion,
    ),
    (
        devices,
        "- size * device.asymmetry(w)",
        "+ size * device.asymmetry(w)",
        TESTS.test_the_asymmetric_linear_device_follows_its_recursion,
    ),
    (
        devices,
        "w + change * device.mean(w)",
        "w + 1.1 * change * device.mean(w)",
        TESTS.test_the_asymmetric_linear_device_follows_its_recursion,
    ),
    (
        devices,
        "up * (1 - w / high)",
        "up * (1 - 0.9 * w / high)",
        TESTS.test_devices_by_name_are_normalised_about_zero,
    ),
    (
        devices,
        "((reach - w) / width).clip(0) ** _GAMMA",
        "((reach - w) / width).clip(0) ** (1.2 * _GAMMA)",
        TESTS.test_devices_by_name_are_normalised_about_zero,
    ),
    (
        devices,
        "math.e ** (-_GAMMA * ((reach",
        "math.e ** (-1.2 * _GAMMA * ((reach",
        TESTS.test_devices_by_name_are_normalised_about_zero,
    ),
    (
        pulses,
        "twice = 2 * self.granularity",
        "twice = 1.8 * self.granularity",
        PULSES.test_layers_move_as_pulse_by_pulse,
    ),
    (
        devices,
        "variance = variance + cycle_noise**2 * of_cycles",
        "variance = variance + cycle_noise * of_cycles",
        PULSES.test_layers_move_as_pulse_by_pulse,
    ),
    (
        pulses,
        "k * delta.square() / slots",
        "0 * delta.square() / slots",
        PULSES.test_layers_move_as_pulse_by_pulse,
    ),
    (
        pulses,
        "limit = longest / (k",
        "limit = 2 * longest / (k",
        PULSES.test_layers_move_as_pulse_by_pulse,
    ),
    (
        pulses,
        "trains.sign * (thinned",
        "-trains.sign * (thinned",
        PULSES.test_layers_move_as_pulse_by_pulse,
    ),
    (
        pulses,
        "variance = mean * (1 - mean / slots)",
        "variance = mean",
        PULSES.test_a_column_moves_as_pulse_by_pulse,
    ),
    (
        algorithms,
        "w - method.rate * gradient)",
        "w - 1.1 * method.rate * gradient)",
        TESTS.test_steps_are_the_papers_recursions,
    ),
    (
        algorithms,
        "change(method.device, w, -method.rate * gradient, size)",
        "change(method.device, w, -0.9 * method.rate * gradient, size)",
        TESTS.test_steps_are_the_papers_recursions,
    ),
    (
        algorithms,
        "sign = 1 if method",
        "sign = -1 if method",
        TESTS.test_steps_are_the_papers_recursions,
    ),
    (
        algorithms,
        "change(method.device, w, -sign * method.transfer * p, None)",
        "change(method.device, w, -1.1 * sign * method.transfer * p, None)",
        TESTS.test_steps_are_the_papers_recursions,
    ),
    (
        algorithms,
        "state.w + method.mixing * state.p",
        "state.w - method.mixing * state.p",
        TESTS.test_residual_learning_without_mixing_is_tiki_taka_mirrored,
    ),
    (
        quadratic,
        "np.sum(rate * h * sigma**2 /",
        "np.sum(1.2 * rate * h * sigma**2 /",
        TESTS.test_digital_descent_has_its_stationary_error_and_analog_its_penalty,
    ),
    (
        quadratic,
        "hessian + size / reach * np.eye(d)",
        "hessian + 0.5 * size / reach * np.eye(d)",
        TESTS.test_the_error_falls_with_the_range_and_rises_with_the_noise_from_any_start,
    ),
    (
        quadratic,
        "math.sqrt(2 / math.pi) * sigma\n    hessian",
        "math.sqrt(1 / math.pi) * sigma\n    hessian",
        TESTS.test_the_error_falls_with_the_range_and_rises_with_the_noise_from_any_start,
    ),
    (
        quadratic,
        "p = (1 - w[:, :1] / reach) / 2",
        "p = (1 + w[:, :1] / reach) / 2",
        TESTS.test_the_lower_bounds_instance_keeps_sigma_squared_s,
    ),
    (
        quadratic,
        "(top[:, None] / reach) ** 2",
        "(top[:, None] / reach) ** 1.7",
        TESTS.test_the_lower_bounds_instance_keeps_sigma_squared_s,
    ),
    (
        quadratic,
        "(factor / reach * mean_size * w)",
        "(0.9 * factor / reach * mean_size * w)",
        TESTS.test_drift_decay_and_responses_follow_theory,
    ),
    (
        quadratic,
        "(1 - rate / reach * mean_size) ** steps",
        "(1 - 1.2 * rate / reach * mean_size) ** steps",
        TESTS.test_drift_decay_and_responses_follow_theory,
    ),
    (
        layers,
        "rows.abs().T @ columns.abs()",
        "(rows.T @ columns).abs()",
        TESTS.test_sizes_add_up_over_samples,
    ),
]


@each(MUTANTS)
def test_a_wrong_formula_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()


def test_the_tests_pass_on_the_right_formulas() -> None:
    assert failing(MUTANTS) == []
