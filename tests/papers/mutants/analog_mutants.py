"""Wrong formulas of training on analog devices: each fails an ordinary test."""

from __future__ import annotations

from changed_source import Table, ordinary_tests

from popinv_papers.analog import algorithms, devices, layers, pulses, quadratic

TESTS = ordinary_tests("test_analog")
PULSES = ordinary_tests("test_analog_pulses")

MUTANTS: Table = {
    (devices, TESTS.test_the_asymmetric_linear_device_follows_its_recursion): [
        ("lambda w: 1 - w / reach", "lambda w: 1 - 1.2 * w / reach"),
        ("- size * device.asymmetry(w)", "+ size * device.asymmetry(w)"),
        ("w + change * device.mean(w)", "w + 1.1 * change * device.mean(w)"),
    ],
    (devices, TESTS.test_devices_by_name_are_normalised_about_zero): [
        ("up * (1 - w / high)", "up * (1 - 0.9 * w / high)"),
        (
            "((reach - w) / width).clip(0) ** _GAMMA",
            "((reach - w) / width).clip(0) ** (1.2 * _GAMMA)",
        ),
        ("math.e ** (-_GAMMA * ((reach", "math.e ** (-1.2 * _GAMMA * ((reach"),
    ],
    (devices, PULSES.test_layers_move_as_pulse_by_pulse): [
        (
            "variance = variance + cycle_noise**2 * of_cycles",
            "variance = variance + cycle_noise * of_cycles",
        ),
    ],
    (pulses, PULSES.test_layers_move_as_pulse_by_pulse): [
        ("twice = 2 * self.granularity", "twice = 1.8 * self.granularity"),
        ("k * delta.square() / slots", "0 * delta.square() / slots"),
        ("limit = longest / (k", "limit = 2 * longest / (k"),
        ("trains.sign * (thinned", "-trains.sign * (thinned"),
    ],
    (pulses, PULSES.test_a_column_moves_as_pulse_by_pulse): [
        ("variance = mean * (1 - mean / slots)", "variance = mean"),
    ],
    (algorithms, TESTS.test_steps_are_the_papers_recursions): [
        ("w - method.rate * gradient)", "w - 1.1 * method.rate * gradient)"),
        (
            "change(method.device, w, -method.rate * gradient, size)",
            "change(method.device, w, -0.9 * method.rate * gradient, size)",
        ),
        ("sign = 1 if method", "sign = -1 if method"),
        (
            "change(method.device, w, -sign * method.transfer * p, None)",
            "change(method.device, w, -1.1 * sign * method.transfer * p, None)",
        ),
    ],
    (algorithms, TESTS.test_residual_learning_without_mixing_is_tiki_taka_mirrored): [
        ("state.w + method.mixing * state.p", "state.w - method.mixing * state.p"),
    ],
    (quadratic, TESTS.test_digital_descent_has_its_stationary_error_and_analog_its_penalty): [
        ("np.sum(rate * h * sigma**2 /", "np.sum(1.2 * rate * h * sigma**2 /"),
    ],
    (
        quadratic,
        TESTS.test_the_error_falls_with_the_range_and_rises_with_the_noise_from_any_start,
    ): [
        ("hessian + size / reach * np.eye(d)", "hessian + 0.5 * size / reach * np.eye(d)"),
        (
            "math.sqrt(2 / math.pi) * sigma\n    hessian",
            "math.sqrt(1 / math.pi) * sigma\n    hessian",
        ),
    ],
    (quadratic, TESTS.test_the_lower_bounds_instance_keeps_sigma_squared_s): [
        ("p = (1 - w[:, :1] / reach) / 2", "p = (1 + w[:, :1] / reach) / 2"),
        ("(top[:, None] / reach) ** 2", "(top[:, None] / reach) ** 1.7"),
    ],
    (quadratic, TESTS.test_drift_decay_and_responses_follow_theory): [
        ("(factor / reach * mean_size * w)", "(0.9 * factor / reach * mean_size * w)"),
        (
            "(1 - rate / reach * mean_size) ** steps",
            "(1 - 1.2 * rate / reach * mean_size) ** steps",
        ),
    ],
    (layers, TESTS.test_sizes_add_up_over_samples): [
        ("rows.abs().T @ columns.abs()", "(rows.T @ columns).abs()"),
    ],
}
