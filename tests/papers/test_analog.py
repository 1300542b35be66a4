"""Devices, training algorithms on them, analog layers, and the quadratic problems."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, linear

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import ConfigError
from popinv.methods.metrics import write_metrics
from popinv.store import storage
from popinv_papers.analog import check, claims, devices, digits, figures, layers, quadratic
from popinv_papers.analog.algorithms import AnalogTraining, Weights, begin, point, step
from popinv_papers.analog.devices import DEVICES, asymmetric_linear, device, update
from popinv_papers.kit.claims import write_claims
from popinv_papers.kit.images import ImageSet


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


# --- devices --------------------------------------------------------------------------------------


def test_the_asymmetric_linear_device_follows_its_recursion():
    w, change, tau = rng().uniform(-0.7, 0.7, 50), rng().normal(size=50), 0.7
    moved = update(asymmetric_linear(tau), w, change)
    np.testing.assert_allclose(moved, w + change - abs(change) * w / tau, atol=1e-12)


@pytest.mark.parametrize("name", DEVICES)
def test_devices_by_name_are_normalised_about_zero(name):
    model = device(name, 0.8)
    assert model.asymmetry(np.float64(0)) == pytest.approx(0)
    assert model.mean(np.float64(0)) == pytest.approx(1)
    w = np.linspace(model.low, model.high, 21)
    assert np.all(np.diff(model.up(w)) < 0)
    assert np.all(np.diff(model.down(w)) > 0)
    assert model.up(np.float64(model.high)) == pytest.approx(0)
    assert model.down(np.float64(model.low)) == pytest.approx(0)


def test_the_symmetric_point_moves_with_the_difference_of_the_responses():
    shifted = devices.soft_bounds(2.0, -2.0, 1.3, 0.7)
    assert shifted.asymmetry(np.float64(0.6)) == pytest.approx(0)


def test_away_from_zero_saturates_and_back_resets_fast():
    tau, w = 2.0, np.array([0.5, 1.9, -1.9])
    for sign in (1, -1):
        away = sign * np.sign(w) > 0
        moved = sign * (update(asymmetric_linear(tau), w, np.full(3, sign * 1e-3)) - w) / 1e-3
        np.testing.assert_allclose(moved, np.where(away, 1 - abs(w) / tau, 1 + abs(w) / tau))


def test_weights_stay_in_range():
    model, w = asymmetric_linear(0.5), rng().uniform(-0.5, 0.5, 300)
    draws = rng()
    for _ in range(300):
        w = update(
            model, w, 0.5 * np.sign(draws.normal(size=300)) * draws.uniform(0, 1, 300) ** 0.1
        )
        assert abs(w).max() <= 0.5 + 1e-12


def test_increments_of_several_samples_count_by_their_sizes():
    # Two increments that cancel: the weight still decays by the sum of their sizes.
    model, w = asymmetric_linear(1.0), np.array([0.5])
    assert update(model, w, np.zeros(1), np.array([0.2]))[0] == pytest.approx(0.5 - 0.2 * 0.5)


# --- algorithms -----------------------------------------------------------------------------------


def test_steps_are_the_papers_recursions():
    tau, w, p = 2.0, rng().normal(size=5), 0.1 * rng().normal(size=5)
    g = np.random.default_rng(2).normal(size=5)
    model = asymmetric_linear(tau)
    digital = step(Weights(w), g, AnalogTraining("digital", 0.1))
    np.testing.assert_allclose(digital.w, w - 0.1 * g)
    analog = step(Weights(w), g, AnalogTraining("analog", 0.1, device=model))
    np.testing.assert_allclose(analog.w, w - 0.1 * g - 0.1 / tau * abs(g) * w)
    new = step(Weights(w, p), g, AnalogTraining("tiki_taka", 0.3, transfer=0.05, device=model))
    second = p + 0.3 * g - 0.3 / tau * abs(g) * p
    np.testing.assert_allclose(new.p, second)
    np.testing.assert_allclose(new.w, w - 0.05 * second - 0.05 / tau * abs(second) * w)


def test_residual_learning_without_mixing_is_tiki_taka_mirrored():
    model, start = asymmetric_linear(1.0), rng().uniform(-0.5, 0.5, 6)
    both = []
    for kind in ("tiki_taka", "residual"):
        method = AnalogTraining(kind, 0.2, transfer=0.1, device=model)
        state = begin(start, method)
        for k in range(20):
            state = step(state, np.random.default_rng(k).normal(size=6), method)
        both.append(state)
    np.testing.assert_allclose(both[0].w, both[1].w)
    np.testing.assert_allclose(both[0].p, -both[1].p)
    mixed = AnalogTraining("residual", 0.2, transfer=0.1, mixing=0.4, device=model)
    np.testing.assert_allclose(point(both[1], mixed), both[1].w + 0.4 * both[1].p)


def test_one_column_is_transferred_and_the_state_is_not_changed():
    method = AnalogTraining("tiki_taka", 0.2, transfer=0.1, device=asymmetric_linear(1.0))
    state = begin(torch.full((3, 4), 0.2), method)
    new = step(state, torch.ones(3, 4), method, column=2)
    assert (state.w == 0.2).all()
    assert (state.p == 0).all()
    moved = new.w != state.w
    assert moved[:, 2].all()
    assert moved.sum() == 3
    whole = step(state, torch.ones(3, 4), method)
    torch.testing.assert_close(new.w[:, 2], whole.w[:, 2])


# --- quadratic problems ---------------------------------------------------------------------------


def test_digital_descent_has_its_stationary_error_and_analog_its_penalty():
    least = quadratic.LeastSquares.drawn(1)
    start = np.zeros((1, 40))
    digital = quadratic.run(
        least, AnalogTraining("digital", 0.05), quadratic.gaussian(0.1), start, 6000, 1, "test"
    )
    theory = quadratic.digital_error(least, 0.05, 0.1)
    assert digital.squared_gradient[0] == pytest.approx(theory, rel=0.08)
    offs = []
    for method in (
        AnalogTraining("analog", 0.02, device=asymmetric_linear(2.0)),
        AnalogTraining("tiki_taka", 0.1, transfer=0.002, device=asymmetric_linear(2.0)),
    ):
        trace = quadratic.run(least, method, quadratic.gaussian(0.1), start, 6000, 1, "test", 2.0)
        offs.append(np.linalg.norm(trace.mean[0] - least.solution))
    theory = np.linalg.norm(quadratic.analog_minimiser(least, 0.1, 2.0) - least.solution)
    assert offs[0] == pytest.approx(theory, rel=0.15)
    assert offs[1] < 0.3 * offs[0]


@pytest.mark.full
def test_the_lower_bounds_instance_keeps_sigma_squared_s():
    numbers = quadratic.lower_bound(quadratic.QuadraticSize(0, 12_000, 0), 1)
    assert numbers["bound_0.01_floor_to_noise_times_s"] == pytest.approx(1, abs=0.15)


def test_drift_decay_and_responses_follow_theory():
    size = quadratic.QuadraticSize(0, 0, 4000)
    drift = quadratic.critical_point(size, 1)
    assert all(value == pytest.approx(1, abs=0.06) for value in drift.values())
    numbers = quadratic.responses(size, 1)
    assert numbers["saturation_factor"] == pytest.approx(0.1, rel=0.05)
    assert numbers["fast_reset_factor"] == pytest.approx(1.9, rel=0.05)
    assert numbers["largest_weight_to_range"] <= 1 + 1e-12


# --- layers ---------------------------------------------------------------------------------------


def test_layers_compute_and_differentiate_as_digital_ones():
    x = torch.from_numpy(rng().normal(size=(3, 2, 7, 7)).astype(np.float32)).requires_grad_()
    layer = layers.AnalogConv2d(2, 4, 3)
    layer.draw(rng())
    kernel = layer.weight.detach().reshape(4, 2, 3, 3).requires_grad_()
    expected = conv2d(x, kernel, layer.bias)
    torch.testing.assert_close(layer(x), expected)
    (ours,) = torch.autograd.grad(layer(x).square().sum(), [x], retain_graph=True)
    theirs = torch.autograd.grad(expected.square().sum(), [x, kernel])
    torch.testing.assert_close(ours, theirs[0])
    layer(x).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, theirs[1].reshape(4, -1))


def test_sizes_add_up_over_samples():
    layer = layers.AnalogLinear(5, 3)
    layer.draw(rng())
    x = torch.from_numpy(rng().normal(size=(8, 5)).astype(np.float32))
    layer(x).square().sum().backward()
    delta = 2 * linear(x, layer.weight, layer.bias).detach()
    every = delta[:, :, None] * x[:, None, :]
    torch.testing.assert_close(layer.size, every.abs().sum(0))
    torch.testing.assert_close(layer.weight.grad, every.sum(0))


def test_a_network_moves_as_the_steps_say():
    net = nn.Sequential(layers.AnalogLinear(4, 3), nn.Tanh(), layers.AnalogLinear(3, 1))
    for layer in (net[0], net[2]):
        layer.draw(rng())
    method = AnalogTraining("tiki_taka", 0.2, transfer=0.1, device=asymmetric_linear(1.0))
    layers.set_method(net, method)
    net(torch.ones(2, 4)).sum().backward()
    before = [(x.weight.data, x.second, x.weight.grad, x.size) for x in (net[0], net[2])]
    biases = [p.detach().clone() for p in layers.digital_parameters(net)]
    slopes = [p.grad.clone() for p in layers.digital_parameters(net)]
    layers.apply_gradients(net, method, 0.3, 0)
    for layer, (w, p, g, size) in zip((net[0], net[2]), before, strict=True):
        expected = step(Weights(w, p), g, method, size)
        torch.testing.assert_close(layer.weight.data, expected.w)
        torch.testing.assert_close(layer.second, expected.p)
        assert layer.size is None
    for old, slope, new in zip(biases, slopes, layers.digital_parameters(net), strict=True):
        torch.testing.assert_close(new.detach(), old - 0.3 * slope)


def test_reading_rounds_bounds_and_adds_noise():
    draws = torch.Generator().manual_seed(1)
    x, matrix = torch.ones(2000, 4), torch.full((4, 1), 0.5)
    exact = layers.Reading(draws, noise=0.0).product(x, matrix)
    assert abs(exact - 2).max() <= 20 / 127 / 2
    noisy = layers.Reading(draws, noise=0.5, output_steps=1e6).product(3 * x, matrix)
    assert noisy.mean() == pytest.approx(6, abs=0.1)
    assert noisy.std() == pytest.approx(1.5, rel=0.08)
    assert layers.Reading(draws, bound=1.0, noise=0.0).product(x, matrix).max() == 1
    assert (layers.Reading(draws, noise=0.0).product(0 * x, matrix) == 0).all()


# --- the table ------------------------------------------------------------------------------------

TINY = check.AnalogSize(
    quadratic.QuadraticSize(200, 200, 40),
    {"fcn": digits.DigitsSize(40, 20, 1, 1), "cnn": digits.DigitsSize(16, 20, 2, 1, hardware=True)},
)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    draws = rng()
    pictures = draws.integers(0, 256, (60, 28, 28)).astype(np.uint8)
    labels = draws.integers(0, 10, 60).astype(np.uint8)
    return ImageSet(pictures[:40], labels[:40], pictures[40:], labels[40:])


@pytest.fixture(scope="module")
def numbers_and_accuracies(images):
    return quadratic.numbers(TINY.quadratic, 1), digits.runs(images, TINY.digits, 1)


def test_every_claim_has_a_row_and_all_can_be_stored(numbers_and_accuracies, tmp_path):
    numbers, reached = numbers_and_accuracies
    table = claims.claims([numbers] * 5, trained_fully=False)
    assert {claim.part for claim in table} == {"headline", "reconstruction"}
    # Three ranges of each network, and the images of ResNet.
    assert sum(claim.status in ("not comparable", "not run") for claim in table) >= 7
    write_claims(table, tmp_path / "claims.csv")
    with (tmp_path / "claims.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(table)
    write_metrics({**numbers, **check.digit_numbers(reached)}, tmp_path / "metrics.json")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {"fcn_digital_accuracy", "cnn_tiki_taka_0.6_accuracy", "analog_bias_theory"} <= set(
        metrics
    )
    result = check.result_dataset(numbers, reached)
    storage.save(result, tmp_path / "result.zarr.zip", config={}, seed=1, created_by="test")
    accuracy = storage.load(tmp_path / "result.zarr.zip")["accuracy"]
    assert accuracy.shape == (16, 2)
    assert drawn(figures.draw_floor(numbers)).axes
    assert drawn(figures.draw_accuracies(reached)).axes


GOOD = {
    **{f"analog_{rate:g}_squared_gradient": rate**0.3 for rate in quadratic.RATES},
    **{f"digital_{rate:g}_squared_gradient": rate for rate in quadratic.RATES},
    **{f"digital_{rate:g}_squared_gradient_theory": rate for rate in quadratic.RATES},
    **{f"tiki_taka_{rate:g}_squared_gradient": rate for rate in quadratic.TRANSFERS},
    **{f"residual_{rate:g}_squared_gradient": 0.1 * rate for rate in quadratic.TRANSFERS},
    **{f"tiki_taka_{kind}_bias": 0.02 for kind in DEVICES},
    **{f"analog_{kind}_bias": 0.3 for kind in DEVICES},
    **{f"analog_samples_{rate:g}_loss": 1e-6 for rate in quadratic.PER_SAMPLE_RATES},
    **{f"digital_{rate:g}_loss": rate for rate in quadratic.PER_SAMPLE_RATES},
    "tiki_taka_0.001_bias": 0.02, "analog_0.003_bias": 0.25,
    "tiki_taka_shift_0_bias": 0.02, "tiki_taka_shift_0.1_bias": 0.08,
    "tiki_taka_shift_0.3_bias": 0.2,
    "analog_bias_theory": 0.25, "analog_bias_half_theory": 0.14,
    "bound_0.003_squared_gradient_to_noise_times_s": 1.02,
    "bound_digital_squared_gradient_to_noise_times_s": 0.05,
}  # fmt: skip


def statuses(**changes: float) -> dict[str, str]:
    return {row.claim: row.status for row in claims.claims([GOOD | changes] * 5, False)}


@pytest.mark.parametrize(
    ("number", "value", "words"),
    [
        ("analog_0.1_squared_gradient", 2.0, "analog descent keeps an error"),
        ("tiki_taka_0.003_squared_gradient", 0.001, "Tiki-Taka keeps none"),
        ("tiki_taka_0.001_bias", 0.1, "Tiki-Taka's mean iterate"),
        ("analog_samples_0.2_loss", 2e-6, "with an increment for each sample"),
        ("bound_0.003_squared_gradient_to_noise_times_s", 1.2, "an instance keeps 1 sigma^2 S"),
        ("analog_bias_theory", 0.3, "analog descent minimises"),
        ("digital_0.003_squared_gradient", 0.004, "digital descent: mean"),
        ("residual_0.003_squared_gradient", 0.002, "residual learning's mixing"),
        ("tiki_taka_shift_0.1_bias", 0.03, "Tiki-Taka needs"),
        ("tiki_taka_power_bias", 0.1, "so it is for all four devices"),
    ],
)
def test_a_row_follows_its_numbers(number, value, words):
    def of(found):
        return next(status for claim, status in found.items() if claim.startswith(words))

    assert of(statuses()) == "holds"
    assert of(statuses(**{number: value})) == "does not hold"


def test_the_factor_of_the_paper_would_be_seen():
    words = "an instance keeps 4 sigma^2 S (mean squared gradient over sigma^2 S)"
    assert statuses()[words] == "does not hold"
    assert statuses(**{"bound_0.003_squared_gradient_to_noise_times_s": 3.9})[words] == "holds"


def test_the_error_falls_with_the_range_and_rises_with_the_noise_from_any_start():
    least = quadratic.LeastSquares.drawn(1)
    numbers = quadratic.dependences(least, quadratic.QuadraticSize(4000, 0, 0), 1)
    for name, places, sign in (("range", quadratic.RANGES, -1), ("noise", quadratic.NOISES, 1)):
        off = [numbers[f"analog_{name}_{place:g}_bias"] for place in places]
        assert (sign * np.diff(off) > 0).all()
        at = [(0.1, place) if name == "range" else (place, 2.0) for place in places[1:4]]
        ends = [quadratic.analog_minimiser(least, *each) for each in at]
        theory = [np.linalg.norm(end - least.solution) for end in ends]
        np.testing.assert_allclose(off[1:4], theory, rtol=0.2)
    starts = [numbers[f"analog_start_{name}_bias"] for name in ("zero", "solution", "random")]
    assert max(starts) < 1.15 * min(starts)


def test_trainings_repeat_to_the_last_digit(numbers_and_accuracies, images):
    name, method = list(digits.methods("cnn", hardware=True).items())[1]
    again = digits.train("cnn", method, images, TINY.digits["cnn"], 1, name)
    assert again == numbers_and_accuracies[1]["cnn"][name]
    assert len(again) == 2
    assert all(math.isfinite(value) for value in again)


@pytest.mark.full
def test_a_separable_set_is_learnt_digitally_and_by_tiki_taka():
    pictures = np.zeros((60, 28, 28), dtype=np.uint8)
    labels = np.arange(60, dtype=np.uint8) % 2
    pictures[labels == 1, 8:20, 8:20] = 255
    two = ImageSet(pictures, labels, pictures, labels)
    size = digits.DigitsSize(60, 60, 6, 6)
    methods = digits.methods("cnn")
    for name in ("digital", "tiki_taka_0.6", "residual_0.6"):
        assert digits.train("cnn", methods[name], two, size, 1, name)[-1] == 100


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: device("linear", 1.0), "allowed: asymmetric_linear, soft_bounds"),
        (lambda: device("power", 0.0), "must be positive"),
        (lambda: AnalogTraining("sgd", 0.1), "allowed: digital, analog"),
        (lambda: AnalogTraining("analog", 0.1), "needs a device"),
        (
            lambda: AnalogTraining("residual", 0.1, device=asymmetric_linear(1.0)),
            "rate of transfer",
        ),
        (lambda: AnalogTraining("tiki_taka", 0.1, 0.1, 0.4, asymmetric_linear(1.0)), "taken at W"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
