"""Networks from standardised parameters of shape (n, d_z) to observations of shape (n, d_y).

``MLP`` serves parameters that are a plain vector, ``FNO`` the coefficients of a random field on a
regular grid in one or two dimensions. :mod:`popinv.surrogate.trained_network` adds the change of
units.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
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
        _keep_outputs(network.layers[-1], entries)
        return network


class SpectralConvolution(nn.Module):
    """Linear map that multiplies each of the lowest Fourier frequencies of a field by a matrix.

    With the transform over the grid G::

        out_o(x) = (1/|G|) sum_k exp(2 pi i k.x) sum_i R_{i,o}(k) in_hat_i(k),   |k_a| < modes_a

    The field is real, so along the last axis only k >= 0 is stored; the rest follows by
    conjugation. Along the other axes both signs are kept. With one sign only, the map could not
    represent both waves that run down-right and waves that run up-right.

    Parameters
    ----------
    width : int
        Number of channels in and out.
    grid_shape : sequence of int, length 1 or 2
    modes : sequence of int
        Frequencies 0, ..., modes - 1 (and their negatives) per axis.

    Raises
    ------
    ConfigError
        If the grid is too coarse for the frequencies.
    """

    rows: torch.Tensor

    def __init__(self, width: int, grid_shape: Sequence[int], modes: Sequence[int]) -> None:
        super().__init__()
        self.grid_shape, self.axes = tuple(grid_shape), tuple(range(2, 2 + len(grid_shape)))
        for m, g in zip(modes, grid_shape, strict=True):
            # This is below the Nyquist frequency of an even grid, whose sign is not defined.
            if not 1 <= m <= (g + 1) // 2:
                raise ConfigError(f"modes is {m}, must lie in 1..{(g + 1) // 2} on {g} grid points")
        self.last = modes[-1]
        kept = [2 * m - 1 for m in modes[:-1]] + [modes[-1]]
        if len(modes) == 2:
            signed = torch.cat([torch.arange(modes[0]), torch.arange(1 - modes[0], 0)])
            self.register_buffer("rows", signed % grid_shape[0], persistent=False)
        # The last axis holds real and imaginary parts, so storage and optimiser see real numbers.
        self.weight = nn.Parameter(torch.randn(width, width, *kept, 2) / (width * math.sqrt(2)))

    def forward(self, field: torch.Tensor) -> torch.Tensor:
        """Map shape (n, width, ...), the grid last, to the same shape."""
        spectrum = torch.fft.rfftn(field, dim=self.axes)
        low = spectrum[..., : self.last]
        if len(self.axes) == 2:
            low = low[:, :, self.rows]
        # In training the weight is a part of one long vector and may begin at an odd offset, where
        # no complex number can begin. A copy has no such offset.
        weight = torch.view_as_complex(self.weight.clone())
        low = torch.einsum("bi...,io...->bo...", low, weight)
        if len(self.axes) == 2:
            low = torch.zeros_like(spectrum[..., : self.last]).index_copy(2, self.rows, low)
        # The inverse transform fills the frequencies missing at the end of the last axis with 0.
        return torch.fft.irfftn(low, s=self.grid_shape, dim=self.axes)


class FNO(nn.Module):
    """Fourier neural operator from the coefficients of a field to its observations.

        v_0 = P(E z, x),   v_{l+1} = SiLU(K_l v_l + A_l v_l),   y = R Q(v_L)

    with E the evaluation matrix, x the grid coordinates, P and Q pointwise maps over channels,
    K_l spectral convolutions, A_l pointwise linear maps, and R the read-out. The evaluation
    matrix acts on standardised coefficients, so their standardisation uses one common scale.
    Without it the smooth field would become rough.

    Parameters
    ----------
    evaluation : ndarray of shape (n_grid, d_z)
        Field values on the grid (C order) per unit coefficient.
    grid_shape : sequence of int, length 1 or 2
        Its product is n_grid.
    d_out : int
        d_y.
    width : int
        Channels.
    modes : int or sequence of int
        Frequencies kept per axis.
    readout : ndarray of shape (d_y, n_grid), optional
        Fixed interpolation matrix from the grid to the sensors; learned by default.

    Raises
    ------
    ConfigError
        If the shapes do not agree or the grid is too coarse for ``modes``.

    Notes
    -----
    Li et al., "Fourier neural operator for parametric partial differential equations", ICLR 2021.
    """

    evaluation: torch.Tensor
    places: torch.Tensor
    interpolation: torch.Tensor

    def __init__(
        self,
        evaluation: np.ndarray,
        grid_shape: Sequence[int],
        d_out: int,
        width: int = _DEFAULT.width,
        modes: int | Sequence[int] = _DEFAULT.fourier_modes,
        layers: int = _DEFAULT.fourier_layers,
        readout: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        grid = tuple(int(g) for g in grid_shape)
        if len(grid) not in (1, 2) or math.prod(grid) != len(evaluation):
            raise ConfigError(
                f"grid_shape {grid} must have 1 or 2 axes and match the {len(evaluation)} rows "
                "of the evaluation matrix"
            )
        if readout is not None and readout.shape != (d_out, len(evaluation)):
            raise ConfigError(
                f"readout has shape {readout.shape}, must be {(d_out, len(evaluation))}"
            )
        modes = (modes,) * len(grid) if isinstance(modes, int) else tuple(modes)
        axes = torch.meshgrid(*[torch.linspace(-1, 1, g) for g in grid], indexing="ij")
        self.grid_shape = grid
        self.register_buffer("evaluation", torch.as_tensor(evaluation, dtype=torch.float64))
        self.register_buffer("places", torch.stack(axes).reshape(len(grid), -1), persistent=False)
        self.fixed_readout = readout is not None
        self.lift = nn.Conv1d(1 + len(grid), width, 1)
        self.spectral = nn.ModuleList(
            SpectralConvolution(width, grid, modes) for _ in range(layers)
        )
        self.pointwise = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(layers))
        self.project = nn.Sequential(
            nn.Conv1d(width, 2 * width, 1), nn.SiLU(), nn.Conv1d(2 * width, 1, 1)
        )
        self.activation = nn.SiLU()
        if readout is None:
            self.readout = nn.Linear(len(evaluation), d_out)
        else:
            self.register_buffer("interpolation", torch.as_tensor(readout, dtype=torch.float64))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Map (n, d_z) to (n, d_y), both standardised."""
        field = z @ self.evaluation.T.to(z.dtype)
        places = self.places.expand(len(z), *self.places.shape)
        v = self.lift(torch.cat([field[:, None], places], dim=1))
        for spectral, pointwise in zip(self.spectral, self.pointwise, strict=True):
            convolved = spectral(v.unflatten(2, self.grid_shape)).flatten(2)
            v = self.activation(convolved + pointwise(v))
        out = self.project(v)[:, 0]
        return out @ self.interpolation.T.to(z.dtype) if self.fixed_readout else self.readout(out)

    def of_outputs(self, entries: torch.Tensor) -> FNO:
        """Return the operator with some of the outputs alone, which are numbered by ``entries``."""
        network = copy.deepcopy(self)
        if self.fixed_readout:
            network.interpolation = self.interpolation[entries.to(self.interpolation.device)]
        else:
            _keep_outputs(network.readout, entries)
        return network


def _keep_outputs(layer: nn.Module, entries: torch.Tensor) -> None:
    """Remove all but some of a linear layer's outputs, in place."""
    assert isinstance(layer, nn.Linear)
    for name, value in list(layer.named_parameters()):
        kept = nn.Parameter(value[entries.to(value.device)], requires_grad=value.requires_grad)
        setattr(layer, name, kept)
    layer.out_features = len(entries)


def build_network(
    hyperparameters: Mapping[str, Any],
    d_in: int,
    d_out: int,
    fixed: Mapping[str, np.ndarray] | None = None,
) -> nn.Module:
    """Build a network from plain values, as in a configuration or an artefact.

    Parameters
    ----------
    hyperparameters : mapping
        ``kind`` ("mlp" or "fno"), ``dtype`` ("float32" or "float64", default "float32") and the
        keyword options of the class: width, depth, or grid_shape, width, modes, layers.
    d_in, d_out : int
        d_z and d_y.
    fixed : mapping of str to ndarray, optional
        The matrices of an FNO: ``evaluation`` and, if it is fixed, ``readout``; or the arrays of an
        MLP whose outputs have components: ``centre`` and ``matrix``.

    Raises
    ------
    ConfigError
        For an unknown kind, option or dtype, or an FNO without an evaluation matrix.
    """
    options = dict(hyperparameters)
    kind, dtype = options.pop("kind", "mlp"), options.pop("dtype", "float32")
    allowed = {
        "mlp": ("width", "depth"),
        "fno": ("grid_shape", "width", "modes", "layers"),
    }
    if kind not in allowed:
        raise ConfigError(f"kind is '{kind}', allowed: mlp, fno.{nearest(kind, allowed)}")
    if dtype not in DTYPES:
        raise ConfigError(f"dtype is '{dtype}', allowed: float32, float64.{nearest(dtype, DTYPES)}")
    for name in options:
        if name not in allowed[kind]:
            raise ConfigError(
                f"'{name}' is not an option of {kind}, allowed: {', '.join(allowed[kind])}."
                + nearest(name, allowed[kind])
            )
    matrices = fixed or {}
    if kind == "mlp":
        components = None
        if "matrix" in matrices:
            components = OutputComponents(matrices["centre"], matrices["matrix"])
        return MLP(d_in, d_out, components=components, **options).to(DTYPES[dtype])
    evaluation = matrices.get("evaluation")
    if evaluation is None or "grid_shape" not in options:
        raise ConfigError("an fno needs the option grid_shape and an evaluation matrix")
    if evaluation.shape[1] != d_in:
        raise ConfigError(
            f"the evaluation matrix has {evaluation.shape[1]} columns for {d_in} parameters"
        )
    network = FNO(evaluation, d_out=d_out, readout=matrices.get("readout"), **options)
    return network.to(DTYPES[dtype])
