r"""Bound on the number of fine-tuning steps, from the loss of a point.

Let A be the weights after training on D, A' those after training on D', which is D without the
point, and U_k those after k steps on D' from A. Assume that fine-tuning has the stationary law nu'
and contracts Renyi divergences to it, D_beta(U_k || nu') <= rho_beta(k) D_beta(U_0 || nu'). Then
the weak triangle inequality, used twice, gives

.. math:: D_\alpha(U_k \| A') \le a_1\, \rho_{2\alpha}(k)
    \bigl[a_2\, P(x, 4\alpha) + \Delta_{4\alpha - 1}\bigr] + \Delta'_{2\alpha - 1}, \qquad
    a_1 = \frac{\alpha - 1/2}{\alpha - 1}, \quad a_2 = \frac{2\alpha - 1/2}{2\alpha - 1},

with Delta = D(A' || nu') and Delta' = D(nu' || A'). The second does not fall with k, and measures
the distance of training from convergence. The dependence on P(x, 4 alpha) and the remainder are the
paper's; the constants are a reconstruction.

Neither remainder is known for a classifier. Where the losses are strongly convex, unlearning can be
compared with a training V on D' that goes on for equally many steps. The same noisy steps then act
on both laws, and contract their divergence whatever the limit:

.. math:: D_\alpha(U_k \| V_{T + k}) \le \rho_\alpha(k)\, P(x, \alpha).
"""

from __future__ import annotations

import math

import numpy as np

from popinv.methods.privacy import coefficient


def triangle_factors(order: float) -> tuple[float, float]:
    """Return a_1 and a_2.

    Raises
    ------
    ValueError
        If the order does not exceed 1.
    """
    if not order > 1:
        raise ValueError(f"order is {order}, must exceed 1")
    return (order - 0.5) / (order - 1), (2 * order - 0.5) / (2 * order - 1)


def contraction(
    steps: np.ndarray, order: float, constant: float, rate: float, sigma: float
) -> np.ndarray:
    """Return rho_beta(k) = exp(-2 sigma^2 eta k / (beta C)) after k steps, for the order beta.

    C is the constant of the stationary law's logarithmic Sobolev inequality: 2 sigma^2 / m for
    losses that are m-strongly convex. Rate eta and sigma belong to the update theta - eta grad L
    + sqrt(2 eta sigma^2) N(0, I).

    References
    ----------
    Chien, Wang, Chen and Li, Langevin unlearning, arXiv 2401.10371.
    """
    return np.exp(-2 * sigma**2 * rate * np.asarray(steps) / (order * constant))


def divergence_bound(
    loss: np.ndarray,
    contracted: np.ndarray | float,
    order: float,
    start_gap: float = 0.0,
    rest: float = 0.0,
) -> np.ndarray:
    """Return the bound on D_alpha(U_k || A') for a point of loss P(x, 4 alpha).

    Parameters
    ----------
    contracted : ndarray or float
        rho_{2 alpha}(k).
    start_gap, rest : float
        Delta_{4 alpha - 1} and Delta'_{2 alpha - 1}; zero if training has converged.
    """
    first, second = triangle_factors(order)
    return first * contracted * (second * loss + start_gap) + rest


def steps_bound(
    loss: np.ndarray,
    order: float,
    epsilon: float,
    constant: float,
    rate: float,
    sigma: float,
    start_gap: float = 0.0,
) -> np.ndarray:
    """Return the number of steps after which the falling part of the bound is at most epsilon.

    It is (alpha C / (sigma^2 eta)) log(a_1 [a_2 P(x, 4 alpha) + Delta] / epsilon), rounded up, and
    zero if the bracket is small enough already. It is logarithmic in the loss P(x, 4 alpha).
    Epsilon is tolerated in addition to the remainder that does not fall; for the others see
    :func:`contraction` and :func:`divergence_bound`.

    Raises
    ------
    ValueError
        If epsilon is not positive.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon is {epsilon}, must be positive")
    start = divergence_bound(np.asarray(loss, dtype=float), 1.0, order, start_gap)
    length = order * constant / (sigma**2 * rate)
    excess = np.log(np.maximum(start / epsilon, math.exp(-1.0)))
    return np.ceil(length * np.maximum(excess, 0.0) - 1e-9)


def convex_bound(
    loss: np.ndarray, steps: np.ndarray | int, order: float, strong: float, rate: float
) -> np.ndarray:
    """Return the bound on D_alpha(U_k || V_{T+k}), exp(-m eta k / alpha) P(x, alpha).

    Each step maps weights by a contraction of factor 1 - eta m, and adds normal noise. A training
    that starts from fixed weights then satisfies a logarithmic Sobolev inequality with the constant
    2 sigma^2 / m at all times, so sigma cancels. The loss is m-strongly convex (``strong``) with
    smoothness L, and eta at most 2 / (L + m).
    """
    return contraction(np.asarray(steps), order, 2 / strong, rate, 1.0) * loss


def epsilon_of(divergences: np.ndarray, orders: np.ndarray, delta: float) -> np.ndarray:
    """Return epsilon of (epsilon, delta) from divergences (orders, ...) of orders alpha > 1.

    It is the minimum over alpha of D_alpha + log(1 / delta) / (alpha - 1).

    References
    ----------
    Mironov, Renyi differential privacy, arXiv 1702.07476, Proposition 3.
    """
    price = math.log(1 / delta) / (np.asarray(orders, dtype=float) - 1)
    return (divergences + price.reshape(-1, *[1] * (np.ndim(divergences) - 1))).min(axis=0)


def coupled_gap(difference: float, trained: int, strong: float, rate: float) -> float:
    """Return how far two trainings with the same noise come apart, eta d (1 - c^T) / (1 - c).

    Their gradients differ by at most d, in T steps of rate eta of at most 1/L. ``strong`` is m, and
    c = 1 - eta m.
    """
    shrink = 1 - rate * strong
    return rate * difference * (1 - shrink**trained) / (1 - shrink)


def noise_of_gap(
    gap: float, epsilon: float, delta: float, steps: np.ndarray, strong: float, rate: float
) -> np.ndarray:
    r"""Return sigma for which k steps on equal data hide a gap Z between two weights.

    .. math:: \sigma^2 = \frac{Z^2}{4 \eta A} \frac{c^{2k} (1 - c^2)}{1 - c^{2k}}, \qquad
        A = \bigl(\sqrt{\epsilon + \ell} - \sqrt{\ell}\bigr)^2, \quad \ell = \log(1 / \delta)

    The noise of each step hides a share of the gap. It is infinite for no step.

    References
    ----------
    Chien, Wang, Chen and Li, arXiv 2403.17105; the factor 4 instead of 2 is the sharp one.
    """
    squared = (1 - rate * strong) ** 2
    wanted = coefficient(epsilon, delta)
    left = squared ** np.asarray(steps, dtype=float)
    with np.errstate(divide="ignore"):
        share = left * (1 - squared) / (1 - left)
    return np.asarray(gap * np.sqrt(share / (4 * rate * wanted)))
