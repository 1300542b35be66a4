"""A study's surrogate whose last layers are trained on analog devices.

The layers' weights are written into devices, scaled so that the largest is 1, and trained on the
study's solves with its own whitened loss; the layers before stay as they are. Since the error that
analog descent leaves does not depend on where it starts, starting at the study's weights shows it
sooner. Rates follow from the problem, L the largest curvature of the loss in the conductances
and S the mean size of a step's increments at rate 1:

    digital, analog   rate / L
    Tiki-Taka         of the gradient reach/(memory S), so that P remembers ``memory`` steps;
                      of the transfer (rate/L) S/reach, which moves W as fast as descent does
    residual          the same, mixed so that P alone descends at rate / L

(the effective step of Tiki-Taka is transfer x reach/S where noise outweighs the gradient).
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from popinv.errors import ConfigError
from popinv.seeds import generator
from popinv.surrogate.networks import MLP
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training import TrainingProblem
from popinv.surrogate.training_problem import loss_of
from popinv.threads import fixed_threads
from popinv_papers.analog.algorithms import AnalogTraining
from popinv_papers.analog.devices import device
from popinv_papers.analog.layers import (
    AnalogLayer,
    AnalogLinear,
    analog_layers,
    apply_gradients,
    set_method,
)

if TYPE_CHECKING:
    from popinv_papers.analog.method import Analog

_POWER_ITERATIONS = 30
_CURVATURE_ROWS = 1000
_SIZE_BATCHES = 8


@dataclass(frozen=True)
class Scales:
    """Largest curvature L in the conductances, that in the biases, and the mean size S."""

    curvature: float
    bias_curvature: float
    size: float


@dataclass(frozen=True)
class Fit:
    """A training: device ("none" of a digital one), method, range, and the surrogate it left.

    ``surrogate`` is digital again, with the weights that were reached; None if the training
    diverged.
    """

    device: str
    method: str
    reach: float
    surrogate: Surrogate | None


def dense_layers(network: nn.Module, count: int | None = None) -> list[str]:
    """Return the names of the last dense layers, of all by default.

    Raises
    ------
    ConfigError
        If there are not as many.
    """
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if count is None:
        return names
    if count > len(names):
        raise ConfigError(
            f"downstream.analog.layers is {count}, but the surrogate has only {len(names)} "
            "dense layers"
        )
    return names[-count:]


def with_devices(network: MLP, count: int) -> MLP:
    """Return a copy whose last dense layers are analog, and the only ones that are trained."""
    converted = copy.deepcopy(network).requires_grad_(False)
    for name in dense_layers(network, count):
        parent, _, own = name.rpartition(".")
        setattr(converted.get_submodule(parent), own, _analog(converted.get_submodule(name)))
    return converted


def without_devices(network: MLP) -> MLP:
    """Return a copy whose analog layers are digital again, with the weights that they read."""
    digital = copy.deepcopy(network)
    for name, layer in analog_layers(digital).items():
        parent, _, own = name.rpartition(".")
        setattr(digital.get_submodule(parent), own, _digital(layer))
    return digital


def _digital(layer: AnalogLayer) -> nn.Module:
    n_out, n_in = layer.weight.shape
    plain = nn.Linear(n_in, n_out, bias=layer.bias is not None).to(layer.weight.dtype)
    with torch.no_grad():
        plain.weight.copy_(layer.scale * layer.read_weight)
        if layer.bias is not None:
            plain.bias.copy_(layer.bias)
    return plain


def _analog(layer: nn.Module) -> AnalogLayer:
    matrix, bias = layer.weight.data, layer.bias
    assert isinstance(matrix, torch.Tensor)
    replacement = AnalogLinear(matrix.shape[1], matrix.shape[0], bias is not None)
    replacement = replacement.to(matrix.dtype)
    largest = float(matrix.abs().max()) or 1.0
    with torch.no_grad():
        replacement.weight.copy_(matrix / largest)
        replacement.scale.fill_(largest)
        if replacement.bias is not None and isinstance(bias, torch.Tensor):
            replacement.bias.copy_(bias)
    replacement.scale.requires_grad_(False)
    return replacement


def measure_scales(problem: TrainingProblem, count: int, batch_size: int, seed: int) -> Scales:
    """Return the curvatures, by power iteration, and the increments' mean size."""
    rng = generator(seed, "analog/scales")
    analog = with_devices(problem.network, count)
    layers = list(analog_layers(analog).values())
    of_devices = replace(problem, network=analog)
    rows = torch.from_numpy(rng.permutation(len(problem.training[0]))[:_CURVATURE_ROWS])
    data = [a[rows] for a in problem.training]
    weights = [layer.weight for layer in layers]
    biases = [layer.bias for layer in layers if layer.bias is not None]
    curvature = _largest_curvature(of_devices, data, weights, rng)
    bias_curvature = _largest_curvature(of_devices, data, biases, rng)
    sizes = []
    for _ in range(_SIZE_BATCHES):
        index = torch.from_numpy(rng.integers(len(problem.training[0]), size=batch_size))
        for layer in layers:
            layer.size = None
        loss_of(of_devices, *(a[index] for a in problem.training)).backward()
        sizes += [float(layer.size.mean()) for layer in layers if layer.size is not None]
    return Scales(curvature, bias_curvature, float(np.mean(sizes)))


def _largest_curvature(
    problem: TrainingProblem,
    data: list[torch.Tensor],
    parameters: Sequence[torch.Tensor],
    rng: np.random.Generator,
) -> float:
    if not parameters:
        return 0.0
    loss = loss_of(problem, data[0], data[1], data[2])
    slopes = torch.autograd.grad(loss, parameters, create_graph=True)
    v = [torch.from_numpy(rng.standard_normal(tuple(p.shape))).to(p.dtype) for p in parameters]
    norm = 0.0
    for _ in range(_POWER_ITERATIONS):
        norm = sum(float(x.square().sum()) for x in v) ** 0.5
        if norm == 0:
            return 0.0
        inner = torch.stack([(g * x / norm).sum() for g, x in zip(slopes, v, strict=True)]).sum()
        v = list(torch.autograd.grad(inner, parameters, retain_graph=True))
    return sum(float(x.square().sum()) for x in v) ** 0.5


def methods(asked: Analog, scales: Scales) -> Iterator[tuple[str, str, float, AnalogTraining]]:
    """Yield (device, method, range, how) of every training: digital, then all combinations."""
    rate = asked.rate / scales.curvature
    yield "none", "digital", 0.0, AnalogTraining("digital", rate)
    for name in asked.devices:
        for reach in asked.ranges:
            model = device(name, reach)
            yield name, "analog", reach, AnalogTraining("analog", rate, device=model)
            fast = reach / (asked.memory * scales.size)
            transfer = rate * scales.size / reach
            two = AnalogTraining("tiki_taka", fast, transfer, device=model)
            yield name, "tiki_taka", reach, two
            yield name, "residual", reach, replace(two, kind="residual", mixing=rate / fast)


def trainings(
    problem: TrainingProblem, surrogate: Surrogate, asked: Analog, seed: int
) -> Iterator[Fit]:
    """Yield every training of the surrogate's last layers, all with the same batches."""
    with fixed_threads(1):
        scales = measure_scales(problem, asked.layers, asked.batch_size, seed)
        if not (scales.curvature > 0 and scales.size > 0):
            raise ConfigError(
                "downstream.analog: the loss does not depend on the surrogate's last layers "
                f"(curvature {scales.curvature:g}, size of the gradients {scales.size:g})"
            )
        every = list(methods(asked, scales))
        for name, kind, reach, method in tqdm(
            every, "trainings on devices", file=sys.stderr, disable=None
        ):
            network = with_devices(problem.network, asked.layers)
            good = _train(replace(problem, network=network), method, scales, asked, seed)
            retrained = Surrogate(
                without_devices(network), surrogate.standardisation, dict(surrogate.hyperparameters)
            )
            yield Fit(name, kind, reach, retrained if good else None)


def _train(
    problem: TrainingProblem, method: AnalogTraining, scales: Scales, asked: Analog, seed: int
) -> bool:
    """Train the problem's network; tell whether it is finite."""
    network, count = problem.network, len(problem.training[0])
    set_method(network, method)
    rate = asked.rate / scales.bias_curvature if scales.bias_curvature > 0 else 0.0
    for number in range(asked.steps):
        rng = generator(seed, "analog/batches", number)
        index = torch.from_numpy(rng.integers(count, size=asked.batch_size))
        loss = loss_of(problem, *(a[index] for a in problem.training))
        if not torch.isfinite(loss):
            return False
        loss.backward()
        apply_gradients(network, method, rate, number)
    return all(bool(torch.isfinite(p).all()) for p in network.parameters())
