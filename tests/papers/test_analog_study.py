"""A surrogate whose last layers are trained on devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from inference.problems import curve_problem
from torch import nn

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import ConfigError
from popinv.inference.answer.result import estimate_dataset
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.methods.metrics import flat
from popinv.seeds import generator
from popinv.surrogate.training import TrainingData, TrainingSettings, prepare, train
from popinv_papers.analog import study, use
from popinv_papers.analog.deployment import SimulatorRefitter
from popinv_papers.analog.figures import draw_errors
from popinv_papers.analog.layers import AnalogLayer, AnalogLinear
from popinv_papers.analog.method import Analog

ASKED = Analog(devices=["asymmetric_linear"], ranges=[1.5], steps=400, batch_size=32)


@pytest.fixture(scope="module")
def trained():
    """Return a training problem, its surrogate, and rows to judge with."""
    problem, _, gamma = curve_problem(100)
    z = generator(1, "test").normal([0.5, 1.0], [0.4, 0.3], (400, 2))
    y = problem.simulate(torch.from_numpy(z)).numpy()
    covariance = problem.noise.covariance(torch.from_numpy(gamma)).numpy()
    cholesky = np.linalg.cholesky(covariance)
    # Solves with an error of their own: gradients do not vanish where the fit is best.
    noisy = y + 2 * generator(2, "test").standard_normal(y.shape) @ cholesky.T
    settings = TrainingSettings(
        hyperparameters={"width": 16, "depth": 1},
        whitening=np.linalg.inv(cholesky),
        max_epochs=60,
    )
    data = TrainingData(z[:300], noisy[:300])
    surrogate, _ = train(data, settings, progress=False)
    return prepare(data, settings, surrogate), surrogate, (z[300:], y[300:]), covariance


def norm(surrogate) -> float:
    """Return the norm of the last layer's weights, as they compute."""
    *_, layer = (m for m in surrogate.network.modules() if isinstance(m, nn.Linear))
    return float(layer.weight.detach().norm())


@pytest.mark.parametrize("layers", [1, 2])
def test_layers_on_devices_compute_as_before(trained, layers):
    network = trained[0].network
    analog = study.with_devices(network, layers)
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(analog(z), network(z))
    analog_layers = [m for m in analog.modules() if isinstance(m, AnalogLinear)]
    assert len(analog_layers) == layers
    assert all(float(m.weight.detach().abs().max()) == pytest.approx(1) for m in analog_layers)
    assert not any(isinstance(m, AnalogLinear) for m in network.modules())


def test_digital_layers_compute_as_the_devices_did(trained):
    network = trained[0].network
    analog = study.with_devices(network, 2)
    for layer in analog.modules():
        if isinstance(layer, AnalogLayer):
            layer.second = torch.ones_like(layer.weight.data)
            layer.mixing = 0.1
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    digital = study.without_devices(analog)
    assert not any(isinstance(m, AnalogLayer) for m in digital.modules())
    torch.testing.assert_close(digital(z), analog(z))
    assert (digital(z) - network(z)).abs().max() > 0.01


def test_the_curvature_is_that_of_a_linear_model():
    # The loss is mean_i |W x_i - y_i|^2 / d_y; in W/s its curvature is 2 s^2 E[x x^T]/d_y.
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 3)) * [3.0, 1.0, 0.3]
    y = x @ rng.normal(size=(3, 2))
    settings = TrainingSettings(hyperparameters={"depth": 0, "dtype": "float64"})
    problem = prepare(TrainingData(x, y), settings)
    scales = study.measure_scales(problem, 1, 32, 1)
    inputs = problem.training[0].numpy()
    (layer,) = (m for m in problem.network.modules() if isinstance(m, nn.Linear))
    largest = float(layer.weight.detach().abs().max())
    moments = np.linalg.eigvalsh(inputs.T @ inputs / len(inputs))
    assert scales.curvature == pytest.approx(largest**2 * moments[-1], rel=0.02)
    assert scales.bias_curvature == pytest.approx(1.0, rel=1e-6)
    assert scales.size > 0


@pytest.mark.full
def test_analog_descent_shrinks_the_weights_and_two_arrays_do_not(trained):
    problem, surrogate, rows, covariance = trained
    errors, fits = {}, []
    for fit in study.trainings(problem, surrogate, ASKED, 1):
        key = fit.device, fit.method, fit.reach
        errors[key] = use.error_of(fit.surrogate, rows, covariance)
        fits.append(fit)
    by_method = {method: error for (_, method, _), error in errors.items()}
    # Analog descent shrinks the weights, here to the good of a surrogate that fits noise; two
    # arrays leave them about where digital descent does.
    departed = {m: abs(error - by_method["digital"]) for m, error in by_method.items()}
    assert departed["analog"] > 0.2
    assert max(departed["tiki_taka"], departed["residual"]) < 0.4 * departed["analog"]
    norms = [norm(fit.surrogate) for fit in fits]
    assert norms[1] < 0.9 * norms[0]
    assert norms[2:] == pytest.approx([norms[0]] * 2, rel=0.1)
    again = next(study.trainings(problem, surrogate, ASKED, 1))
    assert use.error_of(again.surrogate, rows, covariance) == by_method["digital"]

    observed, alpha, gamma = curve_problem(200)
    estimate = fit_pseudo_likelihood(observed.through(surrogate), [np.append(alpha, gamma)])
    solution = estimate_dataset(observed, estimate, {"estimator": "pseudo_likelihood"})
    refitter = SimulatorRefitter(observed, surrogate, solution, 64)
    answers = {fit.method: use.change(refitter, fit.surrogate) for fit in fits[:2]}
    assert answers["analog"]["law_shift"] > 3 * answers["digital"]["law_shift"] > 0
    assert answers["digital"]["noise_shift"] > 0
    before = use.error_of(surrogate, rows, covariance)
    numbers = flat(use.metrics(errors, before, ("asymmetric_linear", 1.5), answers))
    assert numbers["error_asymmetric_linear_analog_1.5"] == by_method["analog"]
    assert "by analog descent" in numbers["statement"]
    assert use.result_dataset(errors)["error"].shape == (4,)
    on_devices = {key: error for key, error in errors.items() if key[1] != "digital"}
    assert drawn(draw_errors(on_devices, by_method["digital"], before)).axes


def test_a_training_that_diverged_is_said_to_have(trained):
    error = use.error_of(None, trained[2], trained[3])
    assert error == float("inf")
    assert use.change(None, None) == {"refit": "none: the training diverged"}


def test_more_layers_than_there_are_are_refused(trained):
    with pytest.raises(ConfigError, match="has only 2 dense layers"):
        study.with_devices(trained[0].network, 3)
