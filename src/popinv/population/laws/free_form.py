r"""A law of no prescribed shape: a triangular map of standard normal numbers.

With the monotone map t_k of the constraint of each parameter
(:mod:`popinv.population.constraints`) and ``z_k = t_k(x_k)``, in a given order of the parameters,

.. math:: x_k = m_k + s_k\, \frac{\mu_k(\omega_1, \dots, \omega_{k-1})
    + e^{\rho_k(\omega_1, \dots, \omega_{k-1})} g_k(\omega_k)}{\sqrt{V_k}} .

g_k is increasing with mean 0 and variance 1, and

.. math:: \mu_k = \sum_{j<k} \sum_{p=1}^{3} b_{kjp} \psi_p(\omega_j), \qquad
    \rho_k = \sum_{j<k} r_{kj} \omega_j, \qquad
    V_k = \sum b_{kjp}^2 + e^{2 \sum r_{kj}^2},

with the orthonormal Hermite polynomials psi_p. m_k and s_k are therefore the mean and the standard
deviation of x_k, whatever its shape. The map is triangular and increasing in its last argument, so
it is smooth and invertible (Marzouk, Moselhy, Parno and Spantini, Sampling via measure transport,
2016). If only the coefficients of psi_1 are not zero, the map is affine and the law normal.

The data do not determine all coefficients. Their log likelihood is lowered by half the sum of the
squares of alpha's entries for g, mu and rho, which are the coefficients in units of a prior
standard deviation: the maximum is the posterior mode under a normal prior about the normal law (for
g as in Efron, Empirical Bayes deconvolution estimates, Biometrika 103, 2016, which penalises the
coefficients of a spline).

**The increasing maps.** With quadratic B-splines N_j on evenly spaced knots between -3 and 3, which
add up to 1 (de Boor, A Practical Guide to Splines, 2001), the slope of the map is a positive
combination of them,

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

import math
from collections.abc import Sequence

import numpy as np
from scipy.interpolate import BSpline

from popinv.late import torch
from popinv.population.constraints import POSITIVE, REAL, Constraint
from popinv.population.laws.base import Law
from popinv.population.laws.parameters import FORMS, free_form_names

_LOG_ROOT = 0.5 * math.log(2 * math.pi)
# Prior standard deviations of the coefficients of psi_1, psi_2 and psi_3, and of rho.
_PRIOR = np.array([2.0, 1.0, 0.5, 0.5])

_DEGREE, _END = 2, 3.0
# Grid for the mean and the covariance of the I-splines under the normal law.
_GRID, _FAR = 4001, 9.0
_NEWTON_STEPS = 40
# In units of omega.
_CLOSE = 1e-12


class FreeFormLaw(Law):
    """Parameters whose distribution has no prescribed shape.

    alpha holds the means of x and the logarithms of its standard deviations, then for each
    parameter the coefficients of g, then for each pair the coefficients of psi_1, psi_2, psi_3 and
    rho.

    Parameters
    ----------
    parameters : sequence of str
        Names of the entries of z.
    transforms : sequence of Constraint
        The constraint of each.
    knots : int
        Number of knots of each g.
    roughness : float
        Prior standard deviation of the change of log g' over one unit of omega.
    dependent : bool
        Whether the parameters depend on each other.
    order : sequence of str, optional
        The parameters in the order of the map; by default the order of z.
    """

    strongly_curved = True
    summarised = True

    def __init__(
        self,
        parameters: Sequence[str],
        transforms: Sequence[Constraint],
        knots: int,
        roughness: float,
        dependent: bool,
        order: Sequence[str] | None = None,
    ) -> None:
        d = len(parameters)
        self.d_z = self.d_omega = d
        self.parameters, self.transforms = tuple(parameters), tuple(transforms)
        self._order = [list(parameters).index(name) for name in order or parameters]
        self._map = MonotoneMap(knots, roughness)
        self._each = knots
        self._pairs = [(k, j) for k in range(d) for j in range(k)] if dependent else []
        self.joint = bool(self._pairs)
        ordered = [parameters[i] for i in self._order]
        self.names = free_form_names(
            parameters, ordered, self._each, [(ordered[k], ordered[j]) for k, j in self._pairs]
        )
        free = len(self.names) - 2 * d
        self.constraints = (*(REAL,) * d, *(POSITIVE,) * d, *(REAL,) * free)

    @property
    def of_shape(self) -> np.ndarray:
        """True for the coefficients, but for means and standard deviations."""
        return np.arange(len(self.names)) >= 2 * self.d_z

    @property
    def unitless(self) -> np.ndarray:
        """True for all entries but the means."""
        return np.arange(len(self.names)) >= self.d_z

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_z) to z (n, d_z)."""
        means, log_deviations, shapes, pairs = self._parts(alpha)
        columns: list[torch.Tensor | None] = [None] * self.d_z
        for k, i in enumerate(self._order):
            value, _ = self._map.value(shapes[..., k, :], omega[:, k])
            shift, log_scale, log_norm = self._conditional(pairs, omega, k)
            e = (shift + torch.exp(log_scale) * value) * torch.exp(-log_norm)
            x = means[..., i] + torch.exp(log_deviations[..., i]) * e
            columns[i] = self.transforms[i].bounded(x)
        return torch.stack([column for column in columns if column is not None], dim=1)

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the log density for each row of z (n, d_z)."""
        return self.log_density_at(alpha, z, None)

    def log_density_at(
        self, alpha: torch.Tensor, z: torch.Tensor, omega: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the log density for each row of z, which omega is mapped to if it is given."""
        means, log_deviations, shapes, pairs = self._parts(alpha)
        x = self.unbounded(z)
        total = torch.zeros(len(z), dtype=z.dtype)
        found: list[torch.Tensor] = []
        for k, i in enumerate(self._order):
            before = torch.stack(found, dim=1) if found else x[:, :0]
            shift, log_scale, log_norm = self._conditional(pairs, before, k)
            e = (x[:, i] - means[..., i]) * torch.exp(log_norm - log_deviations[..., i])
            own = shapes[..., k, :]
            root = None if omega is None else omega[:, k]
            here = self._map.inverse(own, (e - shift) * torch.exp(-log_scale), root)
            _, log_slope = self._map.value(own, here)
            stretch = log_slope + log_scale - log_norm + log_deviations[..., i]
            slope_of_z = self.transforms[i].log_slope(x[:, i])
            total = total - 0.5 * here**2 - _LOG_ROOT - stretch - slope_of_z
            found.append(here)
        return total

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the alpha of the highest penalised likelihood for known z (n, d_z)."""
        from popinv.optimisation.minimisation import minimise

        known = torch.from_numpy(z)
        weights = torch.from_numpy(self.of_shape / (2 * len(z)))

        def loss(alpha: torch.Tensor) -> torch.Tensor:
            return (weights * alpha**2).sum() - self.log_density(alpha, known).mean()

        return minimise(loss, start)

    def _parts(
        self, alpha: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return means and log deviations (..., d), shapes (..., d, n), pairs (..., pairs, 4)."""
        d, own = self.d_z, self.d_z * self._each
        sizes = [d, d, own, len(FORMS) * len(self._pairs)]
        means, log_deviations, shapes, pairs = alpha.split(sizes, dim=-1)
        pairs = pairs.unflatten(-1, (len(self._pairs), len(FORMS))) * torch.from_numpy(_PRIOR)
        return means, log_deviations, shapes.unflatten(-1, (d, self._each)), pairs

    def _conditional(
        self, pairs: torch.Tensor, omega: torch.Tensor, k: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return mu_k and rho_k (n,), and the logarithm of the root of V_k."""
        rows = [row for row, (own, _) in enumerate(self._pairs) if own == k]
        if not rows:
            nothing = torch.zeros(len(omega), dtype=pairs.dtype)
            return nothing, nothing, torch.zeros((), dtype=pairs.dtype)
        own = pairs[..., rows, :]
        polynomials = _hermite(omega[:, :k])
        shift = (own[..., :3] * polynomials).sum(dim=(-2, -1))
        log_scale = (own[..., 3] * omega[:, :k]).sum(dim=-1)
        spread = (own[..., :3] ** 2).sum(dim=(-2, -1))
        norm = torch.exp(2 * (own[..., 3] ** 2).sum(dim=-1))
        return shift, log_scale, 0.5 * torch.log(spread + norm)


def _hermite(omega: torch.Tensor) -> torch.Tensor:
    """Return the orthonormal Hermite polynomials of degrees 1, 2 and 3, (n, k, 3)."""
    second = (omega**2 - 1) / math.sqrt(2)
    third = (omega**3 - 3 * omega) / math.sqrt(6)
    return torch.stack([omega, second, third], dim=-1)


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
