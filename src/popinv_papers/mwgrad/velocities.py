r"""Velocity fields of the objectives, estimated from particles.

A target p_k is what an objective, KL(q \| p_k), compares the particles with. Its score is
s_k = grad log p_k, and the normalising constant of the density does not matter. With
K(x, y) = exp(-\|x - y\|^2 / (2 s^2)) the radial kernel, the velocities v = s_k - grad log q are:

- SVGD      (1/n) sum_j [K(x_j, x_i) s_k(x_j) + grad_{x_j} K(x_j, x_i)], smoothed by the kernel;
- GFSD      s_k(x_i) - sum_j grad_i K_ij / sum_j K_ij, grad log of the smoothed particles;
- Blob      GFSD minus sum_j grad_i K_ij / sum_l K_jl, the gradient of the smoothed entropy (Chen
            et al. 2018; the authors' released "Blob" is GFSD);
- neural    s_k - grad log q, with log q learnt as a density ratio to a normal law;
- normal    a_k + (B_k + C^-1)(x_i - m) with the particles' mean m and covariance C, and s_k
            replaced by its linear fit: the mean a_k and the symmetric part B_k of
            E[s_k(x)(x - m)^T] C^-1.

Kernels of one width fail in many dimensions: in every direction in which the target is narrower
than the kernel, the particles collapse. ``normal``, which is not among the authors' methods, is the
gradient within the normal laws (Lambert et al., NeurIPS 2022). It needs no width, moves normal
particles to the normal law that is closest to the target in KL, and is exact for normal targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from scipy.special import logsumexp
from torch import nn

from popinv.errors import ConfigError, require_known


@dataclass(frozen=True)
class Kernel:
    """A kernel K(x_i, y_j) of bandwidth s, (n, m), and its gradient in x_i, (n, m, d).

    The gradient in y_j is its negative.
    """

    values: np.ndarray
    gradient: np.ndarray
    bandwidth: float


def median_bandwidth(x: np.ndarray) -> float:
    r"""Return s with s^2 = median \|x_i - x_j\|^2 / (2 log(n + 1)), with i = j; at least 1e-6."""
    square = _squares(x, x)
    return float(np.sqrt(max(np.median(square) / (2 * np.log(len(x) + 1)), 1e-12)))


def radial_kernel(x: np.ndarray, y: np.ndarray, bandwidth: float) -> Kernel:
    """Return the kernel between points x (n, d) and y (m, d), with a constant bandwidth."""
    values = np.exp(-_squares(x, y) / (2 * bandwidth**2))
    gradient = (y[None] - x[:, None]) * values[..., None] / bandwidth**2
    return Kernel(values, gradient, bandwidth)


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    square = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T
    return np.maximum(square, 0)


class Target(Protocol):
    """A density that can be evaluated and differentiated."""

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p(x_i) up to a constant, shape (n,)."""
        ...

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return grad log p(x_i), shape (n, d)."""
        ...


@dataclass(frozen=True)
class NormalMixture:
    """A mixture of normal laws with weights (c,), means (c, d) and one isotropic covariance."""

    weights: np.ndarray
    means: np.ndarray
    variance: float

    def _terms(self, x: np.ndarray) -> np.ndarray:
        square = ((x[:, None] - self.means) ** 2).sum(axis=2)
        normaliser = 0.5 * x.shape[1] * np.log(2 * np.pi * self.variance)
        return np.log(self.weights) - square / (2 * self.variance) - normaliser

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p(x_i), shape (n,)."""
        return logsumexp(self._terms(x), axis=1)

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return grad log p(x_i), shape (n, d)."""
        terms = self._terms(x)
        shares = np.exp(terms - logsumexp(terms, axis=1, keepdims=True))
        return (shares @ self.means - x) / self.variance


@dataclass(frozen=True)
class Differentiable:
    """Any log-density that torch can differentiate, a map from a double tensor (n, d) to (n,)."""

    function: Callable[[torch.Tensor], torch.Tensor]

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p(x_i), shape (n,)."""
        with torch.no_grad():
            return self.function(torch.from_numpy(np.ascontiguousarray(x))).numpy()

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return grad log p(x_i), shape (n, d)."""
        points = torch.from_numpy(np.array(x)).requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.function(points).sum(), points)
        return gradient.numpy()


METHODS = ("svgd", "blob", "gfsd", "normal")


def velocities(
    method: str, targets: Sequence[Target], x: np.ndarray, bandwidth: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the velocities of all objectives (K, n, d), and their Gram matrix (K, K).

    The method is one of ``METHODS``, and x are the particles (n, d). The bandwidth of the kernel is
    by default from the median rule.

    Raises
    ------
    ConfigError
        For an unknown method, or if ``normal`` has no more particles than dimensions.
    """
    require_known(method, METHODS, f"velocity '{method}'")
    scores = np.array([target.score(x) for target in targets])
    if method == "normal":
        centred, precision = _moments(x)
        # -grad log q = C^-1 (x_i - m).
        fits = [_linear_fit(score, centred, precision) for score in scores]
        fields = np.array(fits) + centred @ precision
        return fields, gram(fields)
    kernel = radial_kernel(x, x, bandwidth or median_bandwidth(x))
    shared = kernel_repulsion(method, kernel)
    if method == "svgd":
        smoothed = [kernel.values.T @ score / len(x) for score in scores]
        return np.array(smoothed) + shared, _stein_gram(scores, kernel)
    fields = scores + shared
    return fields, gram(fields)


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the centred particles (n, d), and the inverse of their covariance (d, d)."""
    n, d = x.shape
    if n <= d:
        raise ConfigError(
            f"velocity 'normal' with {n} particles in {d} dimensions: must be more particles "
            "than dimensions"
        )
    centred = x - x.mean(axis=0)
    return centred, np.linalg.inv(centred.T @ centred / n)


def _linear_fit(score: np.ndarray, centred: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Return a + B (x_i - m), shape (n, d)."""
    b = score.T @ centred / len(score) @ precision
    return score.mean(axis=0) + centred @ (b + b.T) / 2


def gram(fields: np.ndarray) -> np.ndarray:
    """Return Q_kl = (1/n) sum_i <v_k(x_i), v_l(x_i)>, shape (K, K)."""
    flat = fields.reshape(len(fields), -1)
    return flat @ flat.T / fields.shape[1]


def kernel_repulsion(method: str, kernel: Kernel) -> np.ndarray:
    """Return -grad log q as estimated by ``svgd``, ``blob`` or ``gfsd`` from the kernel, (n, d)."""
    if method == "svgd":
        # (1/n) sum_j grad_{x_j} K(x_j, x_i).
        return kernel.gradient.mean(axis=0)
    density = kernel.values.sum(axis=1)
    first = -kernel.gradient.sum(axis=1) / density[:, None]
    if method == "gfsd":
        return first
    return first - (kernel.gradient / density[None, :, None]).sum(axis=1)


def _stein_gram(scores: np.ndarray, kernel: Kernel) -> np.ndarray:
    r"""Return the inner products of SVGD's velocities in the kernel's Hilbert space, (K, K).

    (1/n^2) sum_ij [s_k(i) s_l(j) K_ij + s_k(i) grad_j K_ij + s_l(j) grad_i K_ij
    + tr grad_i grad_j K_ij].
    """
    n, d = scores.shape[1:]
    both = np.einsum("kid,ij,ljd->kl", scores, kernel.values, scores, optimize=True)
    # grad_j = -grad_i. Summed over i and j, the two mixed terms are transposes of each other.
    mixed = -np.einsum("kid,ijd->k", scores, kernel.gradient)
    square = (kernel.gradient**2).sum(axis=2) / np.maximum(kernel.values, 1e-300)
    trace = (d / kernel.bandwidth**2 * kernel.values - square).sum()
    return (both + mixed[:, None] + mixed[None, :] + trace) / n**2


_INNER_RATE = 1e-2


def neural_score(
    x: np.ndarray, generator: np.random.Generator, steps: int, width: int
) -> np.ndarray:
    r"""Return grad log q from a density ratio learnt on the particles, shape (n, d).

    T maximises E_q T - log E_r exp T (Donsker and Varadhan), with r the normal law with the mean
    and deviations of the particles. Then log q = T + log r up to a constant. The net is made anew
    each time, as in the authors' code, so the step stays a function of the state.
    """
    mean, deviation = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    standard = torch.from_numpy((x - mean) / deviation)
    draws = torch.from_numpy(generator.standard_normal((4 * len(x), x.shape[1])))
    net = _net(x.shape[1], width, generator)
    optimiser = torch.optim.Adam(net.parameters(), lr=_INNER_RATE, betas=(0.5, 0.99))
    for _ in range(steps):
        ratio = torch.logsumexp(net(draws)[:, 0], 0) - np.log(len(draws))
        loss = ratio - net(standard).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    points = standard.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(net(points).sum(), points)
    return (gradient.numpy() - standard.numpy()) / deviation


def _net(inputs: int, width: int, generator: np.random.Generator) -> Any:
    net = nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, 1)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            draw = 0.3 * generator.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(np.asarray(draw)))
    return net
