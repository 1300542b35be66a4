"""The network from standardised parameters of shape (n, d_z) to observations of shape (n, d_y).

:mod:`popinv.surrogate.trained_network` adds the change of units.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from torch import nn

from popinv.errors import ConfigError, nearest
from popinv.late import torch
from popinv.surrogate.components import OutputComponents
from popinv.surrogate.section import NetworkSettings

_DEFAULT = NetworkSettings()
DTYPES = {"float32": torch.float32, "float64": torch.float64}


class MLP(nn.Module):
    """Fully connected network: ``depth`` hidden layers of ``width`` SiLU units, linear at the end.

    With components, the layers predict their scores: ``y = c + B layers(z)``.

    Parameters
    ----------
    d_in, d_out : int
        d_z and d_y.
    width, depth : int
        Units per hidden layer and number of hidden layers; depth 0 is an affine map.
    components : OutputComponents, optional
        c and B, which are fixed.
    """

    centre: torch.Tensor
    matrix: torch.Tensor

    def __init__(
        self,
        d_in: int,
        d_out: int,
        width: int = _DEFAULT.width,
        depth: int = _DEFAULT.depth,
        components: OutputComponents | None = None,
    ) -> None:
        super().__init__()
        sizes = [d_in] + [width] * depth
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.SiLU()]
        self.has_components = components is not None
        if components is not None:
            d_out = self._fix(components, torch.get_default_dtype())
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], d_out))

    @property
    def components(self) -> OutputComponents | None:
        """The fixed c and B, or None if the layers predict the outputs themselves."""
        if not self.has_components:
            return None
        return OutputComponents(
            *(x.detach().cpu().double().numpy() for x in (self.centre, self.matrix))
        )

    def with_components(self, components: OutputComponents) -> MLP:
        """Return the same function, whose layers have the scores of further components, of zero."""
        network = copy.deepcopy(self)
        last = network.layers[-1]
        assert isinstance(last, nn.Linear)
        further = components.matrix.shape[1] - last.out_features
        for name, value in list(last.named_parameters()):
            more = torch.cat([value, value.new_zeros((further, *value.shape[1:]))])
            setattr(last, name, nn.Parameter(more.detach(), requires_grad=value.requires_grad))
        last.out_features = network._fix(components, last.weight.dtype)
        return network.to(last.weight.device)

    def _fix(self, components: OutputComponents, dtype: torch.dtype) -> int:
        """Set the components, and return their number."""
        self.register_buffer("centre", torch.tensor(components.centre, dtype=dtype))
        self.register_buffer("matrix", torch.tensor(components.matrix, dtype=dtype))
        return components.matrix.shape[1]

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Map (n, d_z) to (n, d_y), both standardised."""
        scores = self.layers(z)
        return scores @ self.matrix.T + self.centre if self.has_components else scores

    def with_pull_back(
        self, z: torch.Tensor
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
        """Return the output for z (n, d_z), and the map from its gradient to the weights' gradient.

        The map takes the gradient (n, d_y) of a scalar in the output to its gradient in all
        parameters, as one vector in their order. Backpropagation is written out: a training step
        takes 60 % of the time with torch's differentiation.
        """
        layers = [
            (layer.weight.detach(), layer.bias.detach())
            for layer in self.layers
            if isinstance(layer, nn.Linear)
        ]
        inputs, before = [z], []
        for weight, bias in layers[:-1]:
            before.append(torch.addmm(bias, inputs[-1], weight.T))
            inputs.append(nn.functional.silu(before[-1]))
        weight, bias = layers[-1]
        y = torch.addmm(bias, inputs[-1], weight.T)
        if self.has_components:
            y = torch.addmm(self.centre, y, self.matrix.T)

        def pull_back(gradient: torch.Tensor) -> torch.Tensor:
            parts: list[torch.Tensor] = []
            if self.has_components:
                gradient = gradient @ self.matrix
            for i in reversed(range(len(layers))):
                parts += [gradient.sum(dim=0), (gradient.T @ inputs[i]).view(-1)]
                if i:
                    gradient = gradient @ layers[i][0]
                    gradient = torch.ops.aten.silu_backward(gradient, before[i - 1])
            return torch.cat(parts[::-1])

        return y, pull_back

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output for z (n, d_z) and its derivatives along tangents (k, n, d_z).

        One pass serves all tangents, while torch's own forward mode repeats the network for each.
        """
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                z, tangents = layer(z), tangents @ layer.weight.T
            else:
                gate = torch.sigmoid(z)
                tangents = tangents * (gate * (1 + z * (1 - gate)))
                z = z * gate
        if self.has_components:
            return z @ self.matrix.T + self.centre, tangents @ self.matrix.T
        return z, tangents

    def of_outputs(self, entries: torch.Tensor) -> MLP:
        """Return the network with some of the outputs alone, which are numbered by ``entries``."""
        network = copy.deepcopy(self)
        if self.has_components:
            rows = entries.to(self.centre.device)
            network.centre, network.matrix = self.centre[rows], self.matrix[rows]
            return network
        last = network.layers[-1]
        assert isinstance(last, nn.Linear)
        for name, value in list(last.named_parameters()):
            kept = nn.Parameter(value[entries.to(value.device)], requires_grad=value.requires_grad)
            setattr(last, name, kept)
        last.out_features = len(entries)
        return network


def build_network(
    hyperparameters: Mapping[str, Any],
    d_in: int,
    d_out: int,
    components: OutputComponents | None = None,
) -> MLP:
    """Build a network from plain values, as in a configuration or an artefact.

    Parameters
    ----------
    hyperparameters : mapping
        The options ``width`` and ``depth`` of :class:`MLP`, and ``dtype`` ("float32" or "float64",
        default "float32").
    d_in, d_out : int
        d_z and d_y.
    components : OutputComponents, optional

    Raises
    ------
    ConfigError
        For an unknown option or dtype.
    """
    options = dict(hyperparameters)
    dtype = options.pop("dtype", "float32")
    if dtype not in DTYPES:
        raise ConfigError(f"dtype is '{dtype}', allowed: float32, float64.{nearest(dtype, DTYPES)}")
    allowed = ("width", "depth")
    for name in options:
        if name not in allowed:
            raise ConfigError(
                f"'{name}' is not an option of a network, allowed: {', '.join(allowed)}."
                + nearest(name, allowed)
            )
    return MLP(d_in, d_out, components=components, **options).to(DTYPES[dtype])
