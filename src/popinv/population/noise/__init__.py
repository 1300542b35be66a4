"""Models of the observation noise, one family in each module."""

from __future__ import annotations

from popinv.population.noise.autoregressive import AutoregressiveNoise
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.blocks import BlockNoise
from popinv.population.noise.full import FullNoise
from popinv.population.noise.kernel import KERNELS, KernelNoise
from popinv.population.noise.uncorrelated import DiagonalNoise, IsotropicNoise

__all__ = [
    "KERNELS",
    "AutoregressiveNoise",
    "BlockNoise",
    "DiagonalNoise",
    "FullNoise",
    "IsotropicNoise",
    "KernelNoise",
    "NoiseModel",
]
