r"""Student's t distribution of unit variance: density, distribution, map from normal numbers.

With nu > 2 degrees of freedom and T of the usual t distribution, ``sqrt((nu - 2) / nu) T`` has
variance 1 and the density

.. math:: f(r) = \frac{\Gamma(\frac{\nu + 1}{2})}{\Gamma(\frac{\nu}{2}) \sqrt{\pi (\nu - 2)}}
    \Bigl(1 + \frac{r^2}{\nu - 2}\Bigr)^{-(\nu + 1) / 2} .

The unconstrained parameter is ``eta = log(nu - 2)``.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import betaln, hyp2f1, ndtr, stdtr, stdtrit

from popinv.late import torch

# Nodes of the table, in standard normal deviations. Beyond, the last node's quotient holds.
_NODES = np.linspace(0.0, 8.5, 851)
_STEP = 1e-4
# A smaller distribution function has lost digits.
_SMALL = 1e-290


def log_density(r: torch.Tensor, eta: torch.Tensor) -> torch.Tensor:
    """Return log f(r) of each entry of r, for the unconstrained eta."""
    less = torch.exp(eta)
    nu = less + 2.0
    constant = torch.lgamma((nu + 1) / 2) - torch.lgamma(nu / 2) - 0.5 * torch.log(math.pi * less)
    return constant - (nu + 1) / 2 * torch.log1p(r**2 / less)


def log_cdf(r: torch.Tensor, eta: torch.Tensor) -> torch.Tensor:
    """Return the log of the distribution function of f at each entry of r, without derivatives.

    Where the function underflows, its logarithm comes from the hypergeometric series of the
    incomplete beta function.
    """
    less = float(torch.exp(eta.detach()))
    a = 0.5 * (less + 2.0)
    t = r.detach().numpy() * math.sqrt(2 * a / less)
    share = stdtr(2 * a, t)
    small = share < _SMALL
    with np.errstate(divide="ignore"):
        value = np.asarray(np.log(share))
    z = 2 * a / (2 * a + t[small] ** 2)
    series = np.log(hyp2f1(a + 0.5, 1, a + 1, z)) + a * np.log(z) + 0.5 * np.log1p(-z)
    value[small] = series - math.log(2 * a) - betaln(a, 0.5)
    return torch.from_numpy(value)


def location_information(eta: torch.Tensor) -> torch.Tensor:
    """Return the Fisher information of f about its location; 1 for a normal density."""
    less = torch.exp(eta)
    return (less + 3.0) / (less + 5.0) * (less + 2.0) / less


def scale_information(eta: torch.Tensor) -> torch.Tensor:
    """Return the Fisher information of f about the log of its scale; 2 for a normal density."""
    less = torch.exp(eta)
    return 2.0 * (less + 2.0) / (less + 5.0)


def student_of_normal(e: torch.Tensor, eta: torch.Tensor) -> torch.Tensor:
    """Map standard normal numbers to numbers of law f with the same ranks, differentiable in eta.

    The map is the approximation of Wallace (Ann. Math. Stat. 30, 1959) times a quotient near 1,
    which a table of the exact quantiles gives to about six digits.
    """
    size = e.abs().clamp(min=1e-8)
    at = size.detach().numpy()
    value, slope = (
        torch.from_numpy(np.interp(at, _NODES, t)) for t in _tables(float(eta.detach()))
    )
    quotient = value + slope * (eta - eta.detach())
    return torch.sign(e) * _wallace(size, eta) * quotient


def _wallace(size: torch.Tensor, eta: torch.Tensor) -> torch.Tensor:
    less = torch.exp(eta)
    nu = less + 2.0
    rate = ((8 * nu + 3) / (8 * nu + 1)) ** 2 / nu
    return torch.sqrt(less * torch.expm1(rate * size**2))


@lru_cache(maxsize=8)
def _tables(eta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the quotient of exact and approximate quantiles at the nodes, and its slope in eta."""
    up, down = _quotient(eta + _STEP), _quotient(eta - _STEP)
    return _quotient(eta), (up - down) / (2 * _STEP)


def _quotient(eta: float) -> np.ndarray:
    nodes = _NODES[1:]
    less = math.exp(eta)
    nu = less + 2.0
    # The lower tail keeps its digits.
    exact = -stdtrit(nu, ndtr(-nodes)) * math.sqrt(less / nu)
    approximate = _wallace(torch.from_numpy(nodes), torch.tensor(eta, dtype=torch.float64)).numpy()
    quotient = exact / approximate
    # The quotient is even in e, so that its slope at zero is zero.
    return np.concatenate([(4 * quotient[:1] - quotient[1:2]) / 3, quotient])
