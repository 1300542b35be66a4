"""MNIST with the paper's dense and convolutional networks, with all layers analog or digital."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from popinv.seeds import generator
from popinv.threads import fixed_threads
from popinv_papers.analog.algorithms import AnalogTraining
from popinv_papers.analog.devices import asymmetric_linear, update, varied
from popinv_papers.analog.layers import (
    AnalogConv2d,
    AnalogLayer,
    AnalogLinear,
    Reading,
    analog_layers,
    apply_gradients,
    set_method,
)
from popinv_papers.analog.pulses import Pulses, Trains
from popinv_papers.kit.images import ImageSet
from popinv_papers.kit.kept import continued

# The paper's dynamic ranges, batch sizes, and test accuracies in per cent.
RANGES = {"fcn": (0.70, 0.78, 0.80), "cnn": (0.6, 0.7, 0.8)}
BATCHES = {"fcn": 10, "cnn": 8}
PAPER = {
    "fcn": {
        "digital": (98.15,),
        "analog": (11.35, 97.71, 97.78),
        "tiki_taka": (97.64, 97.62, 97.50),
    },
    "cnn": {
        "digital": (99.16,),
        "analog": (88.99, 92.15, 93.45),
        "tiki_taka": (98.84, 98.87, 98.86),
    },
}
# The paper's rates: of digital descent, of analog descent and Tiki-Taka's transfer, and of
# Tiki-Taka's gradient.
_DIGITAL_RATE, _ANALOG_RATE, _FAST_RATE = 0.1, 0.05, 0.01
# Our rates for trainings of some thousand steps: rate of the gradient, and of the transfer of all
# columns. At the paper's rates, with one column of P per step, Tiki-Taka would barely have moved.
_SHORT_FAST_RATE, _SHORT_TRANSFER = 0.1, 0.01
_MIXING = 0.4
GRANULARITY, CYCLE_NOISE = 1e-3, 0.3
_PULSES = 31


@dataclass(frozen=True)
class DigitsSize:
    """Size and settings of the trainings.

    Attributes
    ----------
    images, tested : int
        Largest numbers of training and of test images.
    epochs, decay : int
        The rates fall to a tenth after each ``decay`` epochs.
    hardware : bool
        True trains as in the paper: products are read with 8 bits and noise, devices differ and
        move in pulses with cycle noise, and one column of P is transferred per step. Otherwise
        products and increments are exact, all of P is transferred at each step, and Tiki-Taka's
        rates are ours. A digital training is always exact.
    """

    images: int
    tested: int
    epochs: int
    decay: int
    hardware: bool = False


def network(kind: str, seed: int) -> nn.Module:
    """Return the paper's network ``fcn`` (sigmoids) or ``cnn`` (tanh) with random weights."""
    if kind == "fcn":
        layers = [
            nn.Flatten(),
            AnalogLinear(784, 256),
            nn.Sigmoid(),
            AnalogLinear(256, 128),
            nn.Sigmoid(),
            AnalogLinear(128, 10),
        ]
    else:
        layers = [
            AnalogConv2d(1, 16, 5),
            nn.Tanh(),
            nn.MaxPool2d(2),
            AnalogConv2d(16, 32, 5),
            nn.Tanh(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            AnalogLinear(512, 128),
            nn.Tanh(),
            AnalogLinear(128, 10),
        ]
    rng = generator(seed, f"analog/digits/{kind}/weights")
    for layer in layers:
        if isinstance(layer, AnalogLayer):
            layer.draw(rng)
    return nn.Sequential(*layers)


def pixels(images: np.ndarray) -> torch.Tensor:
    """Return images as (n, 1, 28, 28) between 0 and 1."""
    return torch.from_numpy(images.astype(np.float32) / 255)[:, None]


def accuracy(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the accuracy on images, in per cent."""
    with torch.no_grad():
        right = [
            (net(x).argmax(dim=1) == y).sum()
            for x, y in zip(images.split(1000), labels.split(1000), strict=True)
        ]
    return 100 * float(sum(right)) / len(images)


def methods(kind: str, hardware: bool = False) -> dict[str, AnalogTraining]:
    """Return the methods for a network, by a name with the dynamic range.

    Residual learning, which is not in the paper, is only tried at the smallest range.
    """
    by_name = {"digital": AnalogTraining("digital", _DIGITAL_RATE)}
    rate, transfer = (_FAST_RATE, _ANALOG_RATE) if hardware else (_SHORT_FAST_RATE, _SHORT_TRANSFER)
    for reach in RANGES[kind]:
        model = asymmetric_linear(reach)
        by_name[f"analog_{reach:g}"] = AnalogTraining("analog", _ANALOG_RATE, device=model)
        by_name[f"tiki_taka_{reach:g}"] = AnalogTraining(
            "tiki_taka", rate, transfer=transfer, device=model
        )
    smallest = asymmetric_linear(RANGES[kind][0])
    by_name[f"residual_{RANGES[kind][0]:g}"] = AnalogTraining(
        "residual", rate, transfer=transfer, mixing=_MIXING, device=smallest
    )
    return by_name


def train(
    kind: str, method: AnalogTraining, images: ImageSet, size: DigitsSize, seed: int, name: str
) -> list[float]:
    """Train ``fcn`` or ``cnn`` and return its test accuracy after each epoch, in per cent.

    The state after an epoch is kept under the name of the method, as in :func:`methods`.
    """
    count = min(size.images, len(images.train))
    x, y = pixels(images.train[:count]), torch.from_numpy(images.train_labels[:count].astype(int))
    tested = pixels(images.test[: size.tested])
    tested_labels = torch.from_numpy(images.test_labels[: size.tested].astype(int))
    noisy = size.hardware and method.kind != "digital"
    draws = torch.Generator()
    draws.manual_seed(int(generator(seed, f"analog/digits/{kind}/draws").integers(2**62)))
    change = Pulses(GRANULARITY, draws, CYCLE_NOISE, _PULSES) if noisy else update
    net = network(kind, seed)
    set_method(net, method, Reading(draws) if noisy else None)
    if noisy:
        draw_devices(net, method, generator(seed, f"analog/digits/{kind}/devices"))
    batches = -(-count // BATCHES[kind])

    def after_epoch(epoch: int, before: Mapping[str, np.ndarray]) -> dict[str, Any]:
        _set_state(net, draws, before)
        decay = 0.1 ** (epoch // size.decay)
        # Tiki-Taka's own rate is absolute. Its transfer rate falls.
        scaled = _scaled(method, decay)
        if noisy:
            set_trains(net, scaled)
        rate = decay * (_DIGITAL_RATE if method.kind == "digital" else _ANALOG_RATE)
        order = generator(seed, f"analog/digits/{kind}/order", epoch).permutation(count)
        for number, batch in enumerate(torch.from_numpy(order).split(BATCHES[kind])):
            cross_entropy(net(x[batch]), y[batch]).backward()
            step = epoch * batches + number
            apply_gradients(net, scaled, rate, step, size.hardware, change)
        reached = np.append(before["reached"], accuracy(net, tested, tested_labels))
        return {**_state(net, draws), "reached": reached}

    def start() -> dict[str, np.ndarray]:
        return {**_state(net, draws), "reached": np.empty(0)}

    with fixed_threads(1):
        end = continued(f"{kind} {name}", start, after_epoch, size.epochs, "epoch")
    return [float(percent) for percent in end["reached"]]


def draw_devices(net: nn.Module, method: AnalogTraining, rng: np.random.Generator) -> None:
    """Give every layer devices of its own, which vary about the method's."""
    assert method.device is not None
    reach = float(method.device.high)

    def normal(shape: tuple[int, int]) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    for layer in analog_layers(net).values():
        n_out, n_in = layer.weight.shape
        arrays = [varied(reach, (n_out, n_in), normal) for _ in range(2)]
        layer.devices = arrays[0], arrays[1]


def set_trains(net: nn.Module, method: AnalogTraining, granularity: float = GRANULARITY) -> None:
    """Give every layer the pulse trains of a method's rate."""
    trains = Trains(method.rate / granularity, _PULSES, 1 if method.kind == "tiki_taka" else -1)
    for layer in analog_layers(net).values():
        layer.trains = trains


def _state(net: nn.Module, draws: torch.Generator) -> dict[str, np.ndarray]:
    """Return all that changes in a training: weights, second arrays and the generator's state."""
    second = {
        f"{name}.second": layer.second
        for name, layer in analog_layers(net).items()
        if layer.second is not None
    }
    tensors = {**net.state_dict(), **second, "draws": draws.get_state()}
    return {name: tensor.numpy().copy() for name, tensor in tensors.items()}


def _set_state(net: nn.Module, draws: torch.Generator, state: Mapping[str, np.ndarray]) -> None:
    net.load_state_dict({name: torch.tensor(state[name]) for name in net.state_dict()})
    for name, layer in analog_layers(net).items():
        if layer.second is not None:
            layer.second = torch.tensor(state[f"{name}.second"])
    draws.set_state(torch.tensor(state["draws"]))


def _scaled(method: AnalogTraining, factor: float) -> AnalogTraining:
    if method.has_second:
        return replace(method, transfer=factor * method.transfer)
    return replace(method, rate=factor * method.rate)


def runs(
    images: ImageSet, sizes: Mapping[str, DigitsSize], seed: int
) -> dict[str, dict[str, list[float]]]:
    """Return the test accuracies after each epoch, by network and method."""
    return {
        kind: {
            name: train(kind, method, images, size, seed, name)
            for name, method in methods(kind, size.hardware).items()
        }
        for kind, size in sizes.items()
    }
