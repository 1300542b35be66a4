"""Laws of the gradient noise xi, with mean zero; all but Pareto noise are symmetric."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from popinv.errors import ConfigError, nearest

KINDS = ("gaussian", "laplace", "student", "pareto", "stable")


@numba.njit(cache=True, nogil=True)
def draw(
    generator: np.random.Generator, kind: int, scale: float, index: float, balance: float
) -> float:
    """Draw one xi; ``kind`` is the index in ``KINDS``."""
    if kind == 0:
        return scale * generator.standard_normal()
    if kind == 1:
        size = scale * generator.standard_exponential()
        return size if generator.random() < 0.5 else -size
    if kind == 2:
        chi = 2.0 * generator.standard_gamma(index / 2.0)
        return scale * generator.standard_normal() / np.sqrt(chi / index)
    if kind == 3:
        size = scale * (1.0 - generator.random()) ** (-1.0 / index)
        mean = (2.0 * balance - 1.0) * scale * index / (index - 1.0)
        return (size if generator.random() < balance else -size) - mean
    # The formula of Chambers, Mallows and Stuck for a symmetric stable law.
    angle = np.pi * (generator.random() - 0.5)
    clock = generator.standard_exponential()
    return (
        scale
        * np.sin(index * angle)
        / np.cos(angle) ** (1.0 / index)
        * (np.cos(angle - index * angle) / clock) ** ((1.0 - index) / index)
    )


@dataclass(frozen=True)
class Noise:
    r"""A law of xi.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    scale : float
        Standard deviation (gaussian), mean size (laplace: density exp(-\\|x\\|/s)/(2s)), factor
        (student), smallest size (pareto: P(\\|xi\\| > x) = (x/s)^-index), or scale of the
        characteristic exponent (stable: exp(-\\|s t\\|^index)).
    index : float
        Degrees of freedom (student), tail index (pareto, stable); infinite otherwise.
    balance : float
        p_+, the share of the upper tail (pareto); 1/2 for a symmetric law. An unbalanced law is
        shifted to mean zero: P(xi + mean > x) = p_+ (x/s)^-index.
    """

    kind: str
    scale: float
    index: float
    balance: float = 0.5

    @property
    def shift(self) -> float:
        """The mean of an unbalanced Pareto law before it is shifted to zero."""
        if self.kind != "pareto":
            return 0.0
        return (2 * self.balance - 1) * self.scale * self.index / (self.index - 1)

    @property
    def variance(self) -> float:
        """Var xi, infinite for heavy tails."""
        square = self.scale**2
        if self.kind == "gaussian":
            return square
        if self.kind == "laplace":
            return 2 * square
        if self.kind == "stable" or self.index <= 2:
            return float("inf")
        return square * self.index / (self.index - 2) - self.shift**2

    @property
    def a(self) -> float:
        """The order of the noise's spread: min(2, tail index); sums of n grow as n^(1/a)."""
        return float(min(2.0, self.index))

    def sample(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Return independent draws, shape (count,)."""
        of_law = (KINDS.index(self.kind), self.scale, self.index, self.balance)
        return _sample(generator, *of_law, count)


@numba.njit(cache=True, nogil=True)
def _sample(
    generator: np.random.Generator,
    kind: int,
    scale: float,
    index: float,
    balance: float,
    count: int,
) -> np.ndarray:
    values = np.empty(count)
    for i in range(count):
        values[i] = draw(generator, kind, scale, index, balance)
    return values


def noise(kind: str, scale: float = 1.0, index: float | None = None, balance: float = 0.5) -> Noise:
    """Return a law of the noise.

    Raises
    ------
    ConfigError
        For an unknown kind, a scale that is not positive, a tail index of at most 1 (no mean) or,
        for a stable law, of 2 and more, or a balance outside [0, 1] or of another law than Pareto.
    """
    if kind not in KINDS:
        raise ConfigError(f"noise '{kind}', allowed: {', '.join(KINDS)}.{nearest(kind, KINDS)}")
    if not scale > 0:
        raise ConfigError(f"the scale of the noise is {scale}, must be positive")
    if not 0 <= balance <= 1 or (kind != "pareto" and balance != 0.5):
        raise ConfigError(
            f"the balance of {kind} noise is {balance}; pareto noise takes one from 0 to 1, others "
            "are symmetric and have 0.5"
        )
    if kind in ("gaussian", "laplace"):
        return Noise(kind, float(scale), float("inf"))
    if index is None or not index > 1:
        raise ConfigError(f"the index of {kind} noise is {index}, must be above 1: it has no mean")
    if kind == "stable" and not index < 2:
        raise ConfigError(f"the index of stable noise is {index}, must be below 2")
    return Noise(kind, float(scale), float(index), float(balance))
