"""Increments in pulses, against a simulation of every pulse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from popinv.errors import ConfigError
from popinv_papers.analog import devices
from popinv_papers.analog.algorithms import AnalogTraining, Weights, step
from popinv_papers.analog.devices import Counts, asymmetric_linear, soft_bounds, varied
from popinv_papers.analog.digits import draw_devices, set_trains
from popinv_papers.analog.layers import AnalogLinear, Reading, apply_gradients, set_method
from popinv_papers.analog.pulses import Pulses, Trains, sums_of_samples

GRANULARITY, CYCLE_NOISE, TIMES = 1e-4, 0.3, 4000
# Bounds that are far away keep the response the same during a step.
DEVICE = soft_bounds(0.9, -0.6, 1.2, 0.8)


def pulse_by_pulse(
    w: np.ndarray, errors: np.ndarray, inputs: np.ndarray, rate: float, longest: int = 31
) -> np.ndarray:
    """Return w (n_out, n_in) after a descent on every sample, TIMES times over.

    The trains are AIHWKit's: ``performUpdateManagement`` sets their length and probabilities,
    ``update_once_add`` moves a device (version 1.1.0).
    """
    rng = np.random.default_rng(1)
    moved = np.repeat(w[None], TIMES, axis=0)
    for d, x in zip(errors, inputs, strict=True):
        x_max, d_max = abs(x).max(), abs(d).max()
        k_val = rate * x_max * d_max / GRANULARITY
        slots = min(math.ceil(k_val), longest)
        d_val = d_max * min(1.0, longest / k_val)
        share = math.sqrt(rate / (GRANULARITY * slots))
        chance_x = np.minimum(abs(x) * share * math.sqrt(d_val / x_max), 1)
        chance_d = np.minimum(abs(d) * share * math.sqrt(x_max / d_val), 1)
        for _ in range(slots):
            row = rng.random((TIMES, len(d), 1)) < chance_d[:, None]
            column = rng.random((TIMES, 1, len(x))) < chance_x
            up = d[:, None] * x < 0
            noise = CYCLE_NOISE * rng.standard_normal(moved.shape)
            high = 1.2 * (1 - moved / 0.9 + noise)
            low = -0.8 * (1 + moved / 0.6 + noise)
            moved = moved + GRANULARITY * (row & column) * np.where(up, high, low)
    return moved


def assert_alike(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Compare mean and standard deviation over TIMES draws each."""
    error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / TIMES) + 1e-9
    assert abs((ours.mean(axis=0) - theirs.mean(axis=0)) / error).max() < 4.5
    np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), rtol=0.07, atol=1e-9)


def test_layers_move_as_pulse_by_pulse():
    rng = np.random.default_rng(2)
    w = rng.uniform(-0.4, 0.4, (3, 4))
    inputs, errors = rng.normal(size=(3, 4)), 0.3 * rng.normal(size=(3, 3))
    inputs[0, 1] = 0
    # The first sample asks for 0.6 pulses of the strongest device, the second for 6, the third for
    # more than 31.
    for sample, most in enumerate((0.6, 6.0, 80.0)):
        strongest = abs(inputs[sample]).max() * abs(errors[sample]).max()
        errors[sample] *= most * GRANULARITY / strongest
    theirs = pulse_by_pulse(w, errors, inputs, 1.0)

    x, d, start = (torch.from_numpy(a) for a in (inputs, errors, w))
    gradient, size = sums_of_samples(d, x, Trains(1 / GRANULARITY, 31, -1))
    move = Pulses(GRANULARITY, torch.Generator().manual_seed(1), CYCLE_NOISE)
    method = AnalogTraining("analog", 1.0, device=DEVICE)
    ours = [step(Weights(start), gradient, method, size, change=move).w for _ in range(TIMES)]
    assert_alike(torch.stack(ours).numpy(), theirs)
    # The clipped sample has lost most of its pulses.
    assert abs(gradient - d.T @ x).max() > 0.3 * abs(d.T @ x).max()


def test_a_column_moves_as_pulse_by_pulse():
    w, column = np.array([0.3, -0.2, 0.1]), 1e-4 * np.array([9.0, -2.5, 45.0])
    theirs = pulse_by_pulse(w[:, None], -column[None], np.ones((1, 1)), 1.0)[..., 0]
    move = Pulses(GRANULARITY, torch.Generator().manual_seed(2), CYCLE_NOISE)
    change, start = torch.from_numpy(column), torch.from_numpy(w)
    ours = torch.stack([move(DEVICE, start, change) for _ in range(TIMES)]).numpy()
    assert_alike(ours, theirs)


def test_a_rate_scales_what_its_trains_say():
    """Rates reach the pulses by the trains and by the step; both have to agree."""
    layer, rate = AnalogLinear(5, 3), 0.02
    layer.draw(np.random.default_rng(3))
    method = AnalogTraining("analog", rate, device=asymmetric_linear(1e3))
    set_method(layer, method)
    set_trains(layer, method)
    x = 0.1 * torch.randn(40, 5, generator=torch.Generator().manual_seed(3))
    layer(x).square().sum().backward()
    exact, size = layer.weight.grad.clone(), layer.size.clone()
    start, moved = layer.weight.data.clone(), []
    pulses = Pulses(1e-3, torch.Generator().manual_seed(1))
    for _ in range(TIMES):
        layer.weight.data, layer.weight.grad, layer.size = start.clone(), exact.clone(), size
        apply_gradients(layer, method, 0.0, 0, change=pulses)
        moved.append(layer.weight.data - start)
    every = torch.stack(moved)
    error = every.std(dim=0) / TIMES**0.5
    assert ((every.mean(dim=0) + rate * exact) / error).abs().max() < 4.5
    assert ((rate * exact) / error).abs().max() > 50


def test_devices_vary_as_asked_and_have_columns():
    rng = np.random.default_rng(1)
    array = varied(0.7, (400, 50), rng.standard_normal)
    assert np.mean(array.high) == pytest.approx(0.7, rel=0.01)
    assert np.std(array.high) == pytest.approx(0.21, rel=0.02)
    up, down = array.up(np.zeros((400, 50))), array.down(np.zeros((400, 50)))
    assert np.std(up) == pytest.approx(0.3, rel=0.02)
    assert np.std(up - down) == pytest.approx(0.02, rel=0.02)
    assert np.corrcoef(array.high.ravel(), up.ravel())[0, 1] == pytest.approx(0, abs=0.03)
    w = rng.uniform(-0.1, 0.1, (400, 50))
    np.testing.assert_array_equal(array.of_column(7).up(w[:, 7]), array.up(w)[:, 7])
    assert asymmetric_linear(1.0).of_column(3).high == 1.0


def test_every_layer_has_two_arrays_of_its_own():
    net = torch.nn.Sequential(AnalogLinear(4, 3), AnalogLinear(3, 4))
    method = AnalogTraining("tiki_taka", 0.1, 0.1, device=asymmetric_linear(0.6))
    draw_devices(net, method, np.random.default_rng(1))
    highs = [array.high for layer in net for array in layer.devices]
    assert [tuple(high.shape) for high in highs] == [(3, 4), (3, 4), (4, 3), (4, 3)]
    assert not torch.equal(highs[0], highs[1])


def test_a_column_is_transferred_as_it_is_read():
    state = Weights(np.zeros((3, 2)), np.ones((3, 2)))
    method = AnalogTraining("tiki_taka", 0.1, transfer=0.5, device=asymmetric_linear(1e9))
    moved = step(state, np.zeros((3, 2)), method, column=1, read=lambda p: 2 * p).w
    np.testing.assert_allclose(moved, [[0, -1]] * 3)
    draws = torch.Generator().manual_seed(1)
    read = Reading(draws, noise=0.0, bound=1.0, output_steps=4).outputs(torch.tensor([0.3, 7.0]))
    torch.testing.assert_close(read, torch.tensor([0.5, 1.0]))


def test_weights_end_at_their_bounds():
    many = Counts(*(np.array([n]) for n in (0.0, 9000.0, 0.0, 0.0)))
    moved = devices.pulsed_update(DEVICE, np.array([0.5]), many, 1e-3, np.zeros(1))
    assert moved[0] == -0.6


def test_a_granularity_of_zero_is_refused():
    one = Counts(*[np.zeros(1)] * 4)
    with pytest.raises(ConfigError, match="granularity is 0"):
        devices.pulsed_update(DEVICE, np.zeros(1), one, 0.0, np.zeros(1))
