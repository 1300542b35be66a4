"""MNIST with the paper's dense and convolutional networks, all layers analog or all digital."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from popinv.downstream.analog.algorithms import Method
from popinv.downstream.analog.devices import asymmetric_linear, update
from popinv.downstream.analog.layers import (
    AnalogConv2d,
    AnalogLayer,
    AnalogLinear,
    Pulses,
    Reading,
    apply_gradients,
    set_method,
)
from popinv.downstream.images import ImageSet
from popinv.seeds import generator
from popinv.threads import fixed_threads

__all__ = ["BATCHES", "PAPER", "RANGES", "DigitsSize", "accuracy", "network", "runs", "train"]

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
_GRANULARITY, _CYCLE_NOISE = 1e-3, 0.3
_PULSES = 31


@dataclass(frozen=True)
class DigitsSize:
    """How many images and epochs; the rate falls to a tenth after ``decay`` epochs."""

    images: int
    tested: int
    epochs: int
    decay: int


def network(kind: str, seed: int) -> nn.Module:
    """Return the paper's network ``fcn`` (sigmoids) or ``cnn`` (tanh), weights drawn."""
    if kind == "fcn":
        layers = [
            nn.Flatten(), AnalogLinear(784, 256), nn.Sigmoid(), AnalogLinear(256, 128),
            nn.Sigmoid(), AnalogLinear(128, 10),
        ]  # fmt: skip
    else:
        layers = [
            AnalogConv2d(1, 16, 5), nn.Tanh(), nn.MaxPool2d(2), AnalogConv2d(16, 32, 5), nn.Tanh(),
            nn.MaxPool2d(2), nn.Flatten(), AnalogLinear(512, 128), nn.Tanh(),
            AnalogLinear(128, 10),
        ]  # fmt: skip
    rng = generator(seed, f"analog/digits/{kind}/weights")
    for layer in layers:
        if isinstance(layer, AnalogLayer):
            layer.draw(rng)
    return nn.Sequential(*layers)


def pixels(images: np.ndarray) -> torch.Tensor:
    """Return images as (n, 1, 28, 28) between 0 and 1."""
    return torch.from_numpy(images.astype(np.float32) / 255)[:, None]


def accuracy(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of images that are put in the right class, in per cent."""
    with torch.no_grad():
        right = [
            (net(x).argmax(dim=1) == y).sum()
            for x, y in zip(images.split(1000), labels.split(1000), strict=True)
        ]
    return 100 * float(sum(right)) / len(images)


def methods(kind: str) -> dict[str, Method]:
    """Return the methods of a network's row of the table, by a name with the range."""
    found = {"digital": Method("digital", _DIGITAL_RATE)}
    for reach in RANGES[kind]:
        model = asymmetric_linear(reach)
        found[f"analog_{reach:g}"] = Method("analog", _ANALOG_RATE, device=model)
        found[f"tiki_taka_{reach:g}"] = Method(
            "tiki_taka", _FAST_RATE, transfer=_ANALOG_RATE, device=model
        )
    return found


def train(
    kind: str,
    method: Method,
    images: ImageSet,
    size: DigitsSize,
    seed: int,
    hardware: bool = True,
) -> list[float]:
    """Train a network and return its test accuracy after each epoch, in per cent.

    Parameters
    ----------
    kind : {"fcn", "cnn"}
    method : Method
    images : ImageSet
    size : DigitsSize
    seed : int
    hardware : bool
        Products are read with 8 bits and noise, and conductances move in pulses with cycle noise;
        otherwise both are exact. A digital method is exact always.
    """
    count = min(size.images, len(images.train))
    x, y = pixels(images.train[:count]), torch.from_numpy(images.train_labels[:count].astype(int))
    tested = pixels(images.test[: size.tested])
    tested_labels = torch.from_numpy(images.test_labels[: size.tested].astype(int))
    draws = torch.Generator()
    draws.manual_seed(int(generator(seed, f"analog/digits/{kind}/draws").integers(2**62)))
    noisy = hardware and method.kind != "digital"
    change = Pulses(_GRANULARITY, draws, _CYCLE_NOISE, _PULSES) if noisy else update
    reached = []
    with fixed_threads(1):
        net = network(kind, seed)
        set_method(net, method, Reading(draws) if noisy else None)
        number = 0
        for epoch in tqdm(range(size.epochs), f"{kind}, {method.kind}", None, file=sys.stderr):
            decay = 0.1 ** (epoch // size.decay)
            # Tiki-Taka's own rate is absolute; its transfer falls.
            scaled = _scaled(method, decay)
            rate = decay * (_DIGITAL_RATE if method.kind == "digital" else _ANALOG_RATE)
            order = generator(seed, f"analog/digits/{kind}/order", epoch).permutation(count)
            for batch in torch.from_numpy(order).split(BATCHES[kind]):
                cross_entropy(net(x[batch]), y[batch]).backward()
                apply_gradients(net, scaled, rate, number, by_column=True, change=change)
                number += 1
            reached.append(accuracy(net, tested, tested_labels))
    return reached


def _scaled(method: Method, factor: float) -> Method:
    if method.has_second:
        return Method(
            method.kind, method.rate, factor * method.transfer, method.mixing, method.device,
            method.fast_device,
        )  # fmt: skip
    return Method(method.kind, factor * method.rate, device=method.device)


def runs(
    images: ImageSet, sizes: dict[str, DigitsSize], seed: int
) -> dict[str, dict[str, list[float]]]:
    """Return the test accuracies after each epoch, by network and method."""
    return {
        kind: {
            name: train(kind, method, images, size, seed) for name, method in methods(kind).items()
        }
        for kind, size in sizes.items()
    }
