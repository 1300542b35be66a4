r"""A trained surrogate on an analog accelerator: what its arrays and converters do to it.

All dense layers of the network lie in arrays, each scaled so that its largest weight is 1. One kind
of error at a time acts at a level:

- ``programming``: weights are written with a normal error of this share of the largest weight;
- ``drift``: after this many hours a conductance is :math:`w (t/t_0)^{-\nu}`, with exponents that
  differ from device to device (mean 0.05, standard deviation 0.02, t_0 of 20 seconds, the order of
  phase-change memories; Joshi et al., Nature Communications 11, 2020). One digital factor for each
  layer restores the sum of its weights' sizes, so that the differences of the exponents are left;
- ``converters``: inputs and outputs of every array have this many bits;
- ``read_noise``: every output of an array has, at each evaluation, a new normal error of this share
  of the range of its converters.

Inputs are scaled to at most 1, row by row; outputs are bounded by the largest that the layer has on
the solves of the study, to which the converters are set (:class:`.layers.Reading`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import nn

from popinv.errors import require_known
from popinv.seeds import generator
from popinv.surrogate.trained_network import Surrogate
from popinv_papers.analog.layers import Reading, analog_layers
from popinv_papers.analog.levels import ERRORS
from popinv_papers.analog.study import dense_layers, with_devices

_EXPONENT, _SPREAD, _FIRST_READ = 0.05, 0.02, 20.0 / 3600
# Steps of a converter that rounds nothing.
_FINE = 2.0**40


class TangentSimulator(Protocol):
    """From parameters (n, d_z) to observations (n, d_y), with its derivatives along tangents."""

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return the observations."""
        ...

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the observations, and the derivatives (k, n, d_y) along tangents (k, n, d_z)."""
        ...


@dataclass(frozen=True)
class Accelerator:
    """A surrogate on an accelerator.

    ``ranges`` is the largest output of each dense layer, in units of its largest weight and input.
    """

    surrogate: Surrogate
    ranges: Mapping[str, float]
    seed: int

    @classmethod
    def of(cls, surrogate: Surrogate, z: np.ndarray, seed: int) -> Accelerator:
        """Return an accelerator whose converters are set to the outputs at inputs z (n, d_z)."""
        network = with_devices(surrogate.network, len(dense_layers(surrogate.network)))
        watches = {name: _Watch(torch.Generator()) for name in analog_layers(network)}
        for name, layer in analog_layers(network).items():
            layer.reading = watches[name]
        replace(surrogate, network=network).predict(z)
        return cls(surrogate, {name: watch.largest[0] for name, watch in watches.items()}, seed)

    def simulator(self, kind: str, level: float, draw: int) -> TangentSimulator:
        """Return the surrogate with one kind of error at a level.

        The same draw gives the same standard normal numbers at every level.

        Raises
        ------
        ConfigError
            If there is no such kind of error.
        """
        require_known(kind, ERRORS, f"the error of an accelerator is '{kind}'")
        rng = generator(self.seed, f"analog/accelerator/{kind}", draw)
        if kind in ("programming", "drift"):
            return self._written(kind, level, rng)
        draws = torch.Generator()
        draws.manual_seed(int(rng.integers(2**62)))
        steps = 2.0**level - 2 if kind == "converters" else _FINE
        network = with_devices(self.surrogate.network, len(self.ranges))
        for name, layer in analog_layers(network).items():
            bound = self.ranges[name]
            noise = level * bound if kind == "read_noise" else 0.0
            layer.reading = Reading(draws, steps, steps, bound, noise)
        return _Read(self.surrogate, replace(self.surrogate, network=network))

    def _written(self, kind: str, level: float, rng: np.random.Generator) -> Surrogate:
        network = copy.deepcopy(self.surrogate.network)
        for name in dense_layers(network):
            weight = network.get_submodule(name).weight
            assert isinstance(weight, nn.Parameter)
            w = weight.data.double()
            normal = torch.from_numpy(rng.standard_normal(tuple(w.shape)))
            if kind == "programming":
                w = w + level * w.abs().max() * normal
            else:
                decayed = w * (level / _FIRST_READ) ** -(_EXPONENT + _SPREAD * normal)
                w = decayed * w.abs().sum() / decayed.abs().sum()
            weight.data = w.to(weight.dtype)
        return replace(self.surrogate, network=network)


@dataclass(frozen=True)
class _Watch(Reading):
    """An exact product that remembers its largest output."""

    largest: list[float] = field(default_factory=lambda: [0.0])

    def product(self, x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        scale = x.abs().amax(dim=-1, keepdim=True)
        y = x @ matrix
        found = (y / torch.where(scale > 0, scale, 1.0)).abs().max()
        self.largest[0] = max(self.largest[0], float(found))
        return y


@dataclass(frozen=True)
class _Read:
    """Values of a surrogate that is read with errors, with the derivatives of the exact one.

    What converters round has no derivative, so that it is taken digitally.
    """

    exact: Surrogate
    read: Surrogate

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        exact = self.exact(z)
        with torch.no_grad():
            error = self.read(z) - exact
        return exact + error

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            return self.read(z), self.exact.linearise(z, tangents)[1]
