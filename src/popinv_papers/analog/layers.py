"""Network layers whose weights are conductances.

A layer multiplies with its matrix in both directions. Its update is special: every sample of a
batch, and every place of an image in a convolution, is its own rank-one increment. In addition to
the gradient sum_b delta_b x_b^T, the update needs the sum of sizes, which is also a product:

    sum_b |delta_b x_b^T| = sum_b |delta_b| |x_b|^T.

The weights are conductances times one digital, learned scale. The bias is digital and
learned as well. Reading the array may round inputs and outputs, bound the outputs and add noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import unfold

from popinv_papers.analog.algorithms import AnalogTraining, Weights, step
from popinv_papers.analog.algorithms import Update as Change
from popinv_papers.analog.devices import Device, update
from popinv_papers.analog.pulses import Trains, sums_of_samples


@dataclass(frozen=True)
class Reading:
    """Errors of the converters and the array in a product, with inputs scaled to at most 1.

    Attributes
    ----------
    input_steps, output_steps : float
        Step sizes of the converters over [-1, 1] and over [-bound, bound].
    noise : float
        Standard deviation of the output noise.
    """

    draws: torch.Generator
    input_steps: float = 254.0
    output_steps: float = 254.0
    bound: float = 20.0
    noise: float = 0.1

    def product(self, x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        """Return x @ matrix with the errors of reading, for x of shape (..., n)."""
        scale = x.abs().amax(dim=-1, keepdim=True)
        scale = torch.where(scale > 0, scale, 1.0)
        half = self.input_steps / 2
        return self.outputs(torch.round(x / scale * half) / half @ matrix) * scale

    def outputs(self, read: torch.Tensor) -> torch.Tensor:
        """Return outputs of the array as they are read."""
        read = read + self.noise * torch.empty_like(read).normal_(generator=self.draws)
        half = self.output_steps / 2 / self.bound
        return torch.round(read.clip(-self.bound, self.bound) * half) / half


class _Product(torch.autograd.Function):
    """x W^T; the backward pass also computes the size of the increments."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, layer: AnalogLayer
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer = layer
        return x @ weight.T if layer.reading is None else layer.reading.product(x, weight.T)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        x, weight = ctx.saved_tensors
        delta, layer = grads[0], ctx.layer
        down = None
        if ctx.needs_input_grad[0]:
            reading = layer.reading
            down = delta @ weight if reading is None else reading.product(delta, weight)
        rows, columns = delta.reshape(-1, delta.shape[-1]), x.reshape(-1, x.shape[-1])
        if not layer.needs_size:
            return down, rows.T @ columns, None
        if layer.trains is None:
            gradient, size = rows.T @ columns, rows.abs().T @ columns.abs()
        else:
            gradient, size = sums_of_samples(rows, columns, layer.trains)
        layer.size = size if layer.size is None else layer.size + size
        return down, gradient, None


class AnalogLayer(nn.Module):
    """A matrix of conductances with digital scales and biases.

    Attributes
    ----------
    weight : Parameter of shape (n_out, n_in)
        W; ``weight.grad`` is the sum over the increments of a batch.
    second : Tensor or None
        P.
    size : Tensor or None
        Sum of the increments' absolute values in the last backward passes. With pulses it is the
        sum of :func:`.pulses.sums_of_samples`.
    trains : Trains or None
        The pulse trains, if increments arrive in pulses.
    devices : pair of Device, or None
        The devices of W and of P, where they differ from the method's devices.
    reading : Reading or None
        None gives exact products.
    """

    def __init__(self, n_in: int, n_out: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_out, n_in))
        self.scale = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None
        self.second: torch.Tensor | None = None
        self.size: torch.Tensor | None = None
        self.mixing = 0.0
        self.needs_size = True
        self.reading: Reading | None = None
        self.trains: Trains | None = None
        self.devices: tuple[Device, Device] | None = None

    def draw(self, rng: np.random.Generator) -> None:
        """Draw weights and biases uniformly from +-1/sqrt(n_in)."""
        with torch.no_grad():
            end = 1 / math.sqrt(self.weight.shape[1])
            for parameter in (self.weight, self.bias):
                if parameter is not None:
                    drawn = rng.uniform(-end, end, tuple(parameter.shape))
                    parameter.copy_(torch.from_numpy(drawn))

    @property
    def read_weight(self) -> torch.Tensor:
        """The weights that multiply, of both arrays where they are mixed."""
        weight: torch.Tensor = self.weight
        if self.second is not None and self.mixing:
            weight = weight + self.mixing * self.second
        return weight

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., n_in) to (..., n_out)."""
        y = self.scale * _Product.apply(x, self.read_weight, self)
        return y if self.bias is None else y + self.bias


class AnalogLinear(AnalogLayer):
    """Dense layer from (..., n_in) to (..., n_out)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., n_in) to (..., n_out)."""
        return self.rows(x)


class AnalogConv2d(AnalogLayer):
    """Convolution of a square kernel, without padding, as a product with the image's patches."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__(channels_in * kernel**2, channels_out)
        self.kernel = kernel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, channels_in, h, w) to (n, channels_out, h - kernel + 1, w - kernel + 1)."""
        height, width = (side - self.kernel + 1 for side in x.shape[2:])
        patches = unfold(x, self.kernel).transpose(1, 2)
        return self.rows(patches).transpose(1, 2).unflatten(2, (height, width))


def analog_layers(network: nn.Module) -> dict[str, AnalogLayer]:
    """Return the analog layers of a network by name."""
    return {name: m for name, m in network.named_modules() if isinstance(m, AnalogLayer)}


def digital_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return the digital parameters, that is, all but the conductances."""
    analog = {id(layer.weight) for layer in analog_layers(network).values()}
    return [p for p in network.parameters() if p.requires_grad and id(p) not in analog]


def set_method(network: nn.Module, method: AnalogTraining, reading: Reading | None = None) -> None:
    """Prepare the layers for a method: second arrays at 0, and the reading."""
    for layer in analog_layers(network).values():
        layer.second = torch.zeros_like(layer.weight.data) if method.has_second else None
        layer.mixing, layer.reading = method.mixing, reading
        layer.needs_size, layer.size = method.kind != "digital", None


def apply_gradients(
    network: nn.Module,
    method: AnalogTraining,
    rate: float,
    number: int,
    by_column: bool = False,
    change: Change = update,
) -> None:
    """Move all conductances by their gradients, and digital parameters by gradient descent.

    It comes after a backward pass, and clears its gradients. ``rate`` applies to the digital
    parameters. With ``by_column`` one column of P is transferred per step, as hardware does, by the
    number of the step; otherwise all are.
    """
    with torch.no_grad():
        for layer in analog_layers(network).values():
            state = Weights(layer.weight.data, layer.second)
            gradient: Any = layer.weight.grad
            column = number % layer.weight.shape[1] if by_column else None
            own, read = method, None
            if layer.devices is not None:
                own = replace(method, device=layer.devices[0], fast_device=layer.devices[1])
            if layer.reading is not None:
                read = layer.reading.outputs
            new = step(state, gradient, own, layer.size, column, change, read)
            layer.weight.data, layer.second = new.w, new.p
            layer.weight.grad = layer.size = None
        for parameter in digital_parameters(network):
            if parameter.grad is not None:
                parameter.sub_(rate * parameter.grad)
                parameter.grad = None
