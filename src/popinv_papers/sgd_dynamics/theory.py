r"""Time scales and probabilities near critical points, for small learning rates epsilon.

The noise has the order a: 2 if its variance sigma^2 is finite, otherwise its tail index alpha in
(1, 2). A maximum at 0 has the order beta if f'(x) is close to -c sign(x) \|x\|^beta: sharp 0,
quadratic 1, quartic 3. All formulas are reconstructions (see the package).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import gamma, ndtr
from scipy.stats import levy_stable

from popinv.errors import ConfigError


def sticking_exponent(a: float, beta: float) -> float:
    """Return b such that the steps near a maximum grow as epsilon^-b (up to a log at beta = 1).

    b is 1 + (a-1)(beta-1)/(a+beta-1) for beta >= 1. Below it is 1, as the drift takes 1/epsilon
    steps to a fixed distance.
    """
    return 1 + max(0.0, (a - 1) * (beta - 1) / (a + beta - 1))


def escape_probability_quadratic(start: float, rate: float, sigma: float) -> float:
    r"""Return the probability of an upward exit from a quadratic maximum, with finite variance.

    With f'' = -1 there, X_n (1 + epsilon)^{-n} converges to a normal law about the start with
    variance epsilon sigma^2 / 2, so it is Phi(x_0 / sqrt(epsilon sigma^2 / 2)).
    """
    return float(ndtr(start / math.sqrt(rate * sigma**2 / 2)))


def double_well_exit_time(rate: float, level: float, sigma: float) -> float:
    r"""Return the mean steps from 0 to \|X\| = level < 1 in f' = x^3 - x.

    From a quadratic maximum, f' = -x, to \|X\| = l they are

        epsilon E T = log(l sqrt(2/(epsilon sigma^2))) + (gamma_E + log 2)/2,

    where (gamma_E + log 2)/2 is the mean of -log \|Z\| for a standard normal Z. The well adds the
    flow's time, so l is level / sqrt(1 - level^2).
    """
    reach = level / math.sqrt(1 - level**2)
    logarithm = math.log(reach * math.sqrt(2 / (rate * sigma**2)))
    return (logarithm + (np.euler_gamma + math.log(2)) / 2) / rate


def stable_constant(alpha: float) -> float:
    r"""Return C_alpha = (1-alpha)/(Gamma(2-alpha) cos(pi alpha/2)).

    P(S > x) is close to C_alpha x^-alpha / 2 if S has the characteristic function
    exp(-\|t\|^alpha).
    """
    if not 1 < alpha < 2:
        raise ConfigError(f"the tail index is {alpha}, must lie between 1 and 2")
    return float((1 - alpha) / (gamma(2 - alpha) * math.cos(math.pi * alpha / 2)))


def escape_probability_heavy(start: float, rate: float, alpha: float, scale: float) -> float:
    """Return the probability of an upward exit from a quadratic maximum with Pareto noise.

    With f'' = -1 there, it is F_S(x_0 / (s epsilon^{1-1/alpha} (alpha C_alpha)^{-1/alpha})), with
    F_S the distribution function of the standard symmetric stable law.
    """
    width = scale * rate ** (1 - 1 / alpha)
    width *= (alpha * stable_constant(alpha)) ** (-1 / alpha)
    return float(levy_stable.cdf(start / width, alpha, 0.0))


def escape_probability_sharp_laplace(
    y: float, left: float, right: float, lam: float = 1.0
) -> float:
    r"""Return the exact probability of an upward exit from a sharp maximum, from X_0 = epsilon y.

    The noise has the density (lam/2) exp(-lam \|x\|), and y = 0 moves with the drift a_+ of the
    right side. With theta the root in (0, lam) of exp(-theta a) lam^2/(lam^2 - theta^2) = 1 for
    each drift a, and R = (lam - theta)/(lam + theta) the probability of a return over 0 after an
    overshoot,

        y >= 0:  1 - (1 - theta_+/lam) exp(-theta_+ y) (1 - R_-)/(1 - R_+ R_-),
        y < 0:   (1 - theta_-/lam) exp(-theta_- \|y\|) (1 - R_+)/(1 - R_+ R_-).

    The result does not depend on epsilon.
    """
    theta_right, theta_left = _laplace_root(right, lam), _laplace_root(left, lam)
    back_right = (lam - theta_right) / (lam + theta_right)
    back_left = (lam - theta_left) / (lam + theta_left)
    both = 1 - back_right * back_left
    if y >= 0:
        down = (1 - back_left) / both
        return 1 - (1 - theta_right / lam) * math.exp(-theta_right * y) * down
    up = (1 - back_right) / both
    return (1 - theta_left / lam) * math.exp(theta_left * y) * up


def _laplace_root(drift: float, lam: float) -> float:
    """Return theta in (0, lam) with theta drift = -log(1 - (theta/lam)^2)."""
    if not (drift > 0 and lam > 0):
        raise ConfigError(f"the drift {drift} and the rate {lam} of the noise must be positive")

    def excess(share: float) -> float:
        return share * lam * drift + math.log1p(-(share**2))

    # Positive near 0, where the drift is linear and the noise quadratic; -inf at 1.
    return lam * float(brentq(excess, 1e-12, 1 - 1e-16, xtol=1e-15))


def kramers_exit_time(
    rate: float, sigma: float, height: float, at_minimum: float, at_maximum: float
) -> float:
    r"""Return the mean steps over a barrier under Gaussian noise (Kramers).

    It is 2 pi / (epsilon sqrt(f''(m) \|f''(s)\|)) exp(2 height / (epsilon sigma^2)), the time to
    reach the far side.
    """
    prefactor = 2 * math.pi / (rate * math.sqrt(at_minimum * abs(at_maximum)))
    return prefactor * math.exp(2 * height / (rate * sigma**2))


def heavy_exit_time(
    rate: float, alpha: float, scale: float, down: float = math.inf, up: float = math.inf
) -> float:
    """Return the mean steps to leave a basin in one jump, for symmetric Pareto noise.

    It is 1 / (P(epsilon xi > up) + P(epsilon xi < -down)), with the distances from the minimum to
    the ends of its basin.
    """
    return 1 / (0.5 * (rate * scale) ** alpha * (down**-alpha + up**-alpha))


def markov_rates(
    minima: Sequence[float], maxima: Sequence[float], alpha: float, scale: float = 1.0
) -> np.ndarray:
    """Return rates (k, k) between basins in the time epsilon^alpha n, for symmetric Pareto noise.

    From basin i to j > i the rate is (1/2) s^alpha [(s_{j-1} - m_i)^-alpha - (s_j - m_i)^-alpha],
    where the last basin extends to infinity. For j < i it is the mirror image. The diagonal makes
    rows sum to zero. Minima m_1 < ... < m_k have one of the maxima s_1 < ... < s_{k-1} between each
    pair.
    """
    order = np.empty(2 * len(minima) - 1)
    if len(maxima) != len(minima) - 1:
        raise ConfigError(f"{len(minima)} minima have {len(minima) - 1} maxima between them")
    order[::2], order[1::2] = minima, maxima
    if np.any(np.diff(order) <= 0):
        raise ConfigError("minima and maxima must alternate, ascending")
    ends = np.concatenate([[-np.inf], maxima, [np.inf]])
    rates = np.zeros((len(minima), len(minima)))
    for i, m in enumerate(minima):
        for j in range(len(minima)):
            if j != i:
                near, far = sorted(np.abs(ends[j : j + 2] - m))
                rates[i, j] = 0.5 * scale**alpha * (near**-alpha - far**-alpha)
        rates[i, i] = -rates[i].sum()
    return rates
