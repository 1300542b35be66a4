r"""Increasing maps of one standard normal number, with mean 0 and variance 1.

With quadratic B-splines N_j on evenly spaced knots between -3 and 3, which add up to 1 (de Boor, A
Practical Guide to Splines, 2001), the slope of the map is a positive combination of them,

.. math:: h'(\omega) = \sum_j e^{c_j} N_j(\omega), \qquad
    g(\omega) = \frac{h(\omega) - E\,h}{\operatorname{sd} h} .

h is an I-spline (Ramsay, Statistical Science 3, 1988). It is linear beyond the knots, so the tails
are normal. All c_j equal give the identity, and the law of g(omega) is then the normal law.

A common shift of all c_j does not change g. Without it, c has the form ``c = B a``, where the
columns of B are the principal components of a random walk over the knots, from smooth to rough:
with a standard normal, c is a random walk with variance ``roughness**2`` per unit of omega, less
its mean under the normal law.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import BSpline

_DEGREE, _END = 2, 3.0
# Grid for the mean and the covariance of the I-splines under the normal law.
_GRID, _FAR = 4001, 9.0
_NEWTON_STEPS = 40
# In units of omega.
_CLOSE = 1e-12


class MonotoneMap:
    """The map g for coefficients a.

    Parameters
    ----------
    knots : int
        Number of knots, both ends included; at least 2. There are as many coefficients.
    roughness : float
        Standard deviation of the random walk of c after one unit of omega.
    """

    def __init__(self, knots: int, roughness: float) -> None:
        self.places = np.linspace(-_END, _END, knots)
        whole = np.concatenate([[-_END] * _DEGREE, self.places, [_END] * _DEGREE])
        count = len(whole) - _DEGREE - 1
        splines = BSpline(whole, np.eye(count), _DEGREE)
        self._width = float(self.places[1] - self.places[0])
        self._edges = torch.from_numpy(self.places)
        # On interval k, splines k, k + 1, k + 2 are not zero. Row m has their coefficients of u^m.
        local = np.empty((knots - 1, _DEGREE + 1, _DEGREE + 1))
        u = np.array([0.0, 0.5, 1.0])
        for k in range(knots - 1):
            x = np.clip(self.places[k] + self._width * u, -_END, np.nextafter(_END, 0))
            local[k] = np.linalg.solve(np.vander(u, increasing=True), splines(x)[:, k : k + 3])
        self._local = torch.from_numpy(local)
        powers = np.arange(1, _DEGREE + 2)
        within = self._width * (local / powers[:, None]).sum(axis=1)
        upto = np.zeros((knots, count))
        for k in range(knots - 1):
            upto[k + 1] = upto[k]
            upto[k + 1, k : k + 3] += within[k]
        # h is zero in the middle, so that its moments do not cancel.
        grid = np.linspace(-_FAR, _FAR, _GRID)
        self._upto = torch.from_numpy(upto)
        middle = self._integrals(np.array([0.0]))[0]
        self._upto = torch.from_numpy(upto - middle)
        weights = np.exp(-0.5 * grid**2)
        weights /= weights.sum()
        integrals = self._integrals(grid)
        mean = weights @ integrals
        centred = integrals - mean
        self._mean = torch.from_numpy(mean)
        self._covariance = torch.from_numpy(centred.T @ (weights[:, None] * centred))
        self.basis = torch.from_numpy(_random_walk(whole, splines, grid, weights) * roughness)

    def _integrals(self, omega: np.ndarray) -> np.ndarray:
        """Return the integral of each spline up to omega (n,), shape (n, count)."""
        count = self._upto.shape[1]
        ends = torch.eye(count, dtype=torch.float64)
        each = [self._raw(row, torch.from_numpy(omega))[0] for row in ends]
        return torch.stack(each, dim=1).numpy()

    def _raw(self, slopes: torch.Tensor, omega: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return h and h' at omega (n,) for slopes e^c of shape (count,) or (n, count)."""
        upto = slopes @ self._upto.T
        interval, inside = self._place(omega)
        return self._at(slopes, upto, interval, inside, omega - inside)

    def _place(self, omega: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the interval of omega, and the nearest point between the ends."""
        inside = omega.clamp(-_END, _END)
        position = ((inside.detach() + _END) / self._width).long()
        return position.clamp(0, len(self.places) - 2), inside

    def _at(
        self,
        slopes: torch.Tensor,
        upto: torch.Tensor,
        interval: torch.Tensor,
        inside: torch.Tensor,
        beyond: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        u = (inside - self._edges[interval]) / self._width
        if slopes.ndim == 1:
            # Each interval has one polynomial.
            every = torch.arange(len(self._local))[:, None] + torch.arange(_DEGREE + 1)
            polynomials = (self._local * slopes[every][:, None]).sum(dim=2)
            own, before = polynomials[interval], upto[interval]
        else:
            index = interval[:, None] + torch.arange(_DEGREE + 1)
            own = (self._local[interval] * slopes.gather(1, index)[:, None]).sum(dim=2)
            before = upto.gather(1, interval[:, None])[:, 0]
        a, b, c = own.unbind(dim=1)
        value = before + self._width * u * (a + u * (b / 2 + u * c / 3))
        slope = a + u * (b + u * c)
        return value + slope * beyond, slope

    def moments(self, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return e^c (..., count), and mean and standard deviation of h (...)."""
        slopes = torch.exp(a @ self.basis.T)
        mean = slopes @ self._mean
        variance = ((slopes @ self._covariance) * slopes).sum(dim=-1)
        return slopes, mean, torch.sqrt(variance)

    def value(self, a: torch.Tensor, omega: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return g and log g' at omega (n,), for a of shape (count,) or (n, count)."""
        slopes, mean, deviation = self.moments(a)
        value, slope = self._raw(slopes, omega)
        return (value - mean) / deviation, torch.log(slope) - torch.log(deviation)

    def inverse(
        self, a: torch.Tensor, g: torch.Tensor, root: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return omega (n,) with g(omega) = g, differentiable once in a and g.

        ``root`` is its value, if it is known.
        """
        with torch.no_grad():
            omega = self._solved(*self.moments(a), g) if root is None else root
        value, log_slope = self.value(a, omega)
        # One Newton step from the root has the derivatives of the implicit function.
        return omega - (value - g) * torch.exp(-log_slope.detach())

    def _solved(
        self, slopes: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor, g: torch.Tensor
    ) -> torch.Tensor:
        """Return the root by Newton steps, and by bisection where they leave the bracket."""
        h, upto = mean + deviation * g, slopes @ self._upto.T
        wide = upto.expand(len(h), -1).contiguous()
        interval = torch.searchsorted(wide, h[:, None].contiguous())[:, 0] - 1
        interval = interval.clamp(0, len(self.places) - 2)
        low, high = self._edges[interval], self._edges[interval + 1]
        first, last = slopes[..., 0], slopes[..., -1]
        under, over = h < upto[..., 0], h > upto[..., -1]
        omega = (low + high) / 2
        for _ in range(_NEWTON_STEPS):
            value, slope = self._at(slopes, upto, interval, omega, torch.zeros_like(omega))
            below = value < h
            low, high = torch.where(below, omega, low), torch.where(below, high, omega)
            newton = omega - (value - h) / slope
            middle = (low + high) / 2
            new = torch.where((newton >= low) & (newton <= high), newton, middle)
            longest = (new - omega).abs().max() if len(omega) else 0.0
            omega = new
            if longest < _CLOSE:
                break
        omega = torch.where(under, -_END + (h - upto[..., 0]) / first, omega)
        return torch.where(over, _END + (h - upto[..., -1]) / last, omega)


def _random_walk(
    whole: np.ndarray, splines: BSpline, grid: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return B for a random walk of unit variance, shape (count, count - 1)."""
    count = len(whole) - _DEGREE - 1
    # The Greville abscissae, the places to which the coefficients belong.
    places = np.array([whole[j + 1 : j + 1 + _DEGREE].mean() for j in range(count)])
    walk = np.minimum(places[:, None], places) - places[0]
    mass = weights @ splines(np.clip(grid, -_END, np.nextafter(_END, 0)))
    centre = np.eye(count) - np.outer(np.ones(count), mass)
    values, vectors = np.linalg.eigh(centre @ walk @ centre.T)
    order = np.argsort(-values)[: count - 1]
    # The sign of a principal component is arbitrary. Here the slope increases at the right end.
    signs = np.where(vectors[-1, order] < 0, -1.0, 1.0)
    return vectors[:, order] * signs * np.sqrt(np.maximum(values[order], 0.0))
