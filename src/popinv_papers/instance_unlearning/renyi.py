r"""The Renyi divergence of training with and without a point, from the point's gradients.

.. math:: D_\alpha(P \| Q) = \frac{1}{\alpha - 1} \log E_Q\Bigl[\Bigl(\frac{P}{Q}\Bigr)^\alpha\Bigr]

Training adds normal noise of standard deviation s to a sum of gradients over a batch, which
contains each point independently with probability q. The divergence of one step then depends only
on the norm g of the point's gradient. Steps are composed by Hoelder's inequality.

The worst case over points uses the largest g. The loss of a single point uses the gradients of this
point during training, which is the only source of the improvement.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gammaln, logsumexp


def sum_noise(rate: float, sigma: float, batch: float) -> float:
    """Return the noise s on the sum of gradients that corresponds to a Langevin update.

    The update adds sqrt(2 eta sigma^2) N(0, I) after a step of length eta along the mean gradient
    over b points, so s = b sigma sqrt(2 / eta).
    """
    return batch * sigma * math.sqrt(2 / rate)


def gaussian_step(norm: np.ndarray, noise: float, order: float) -> np.ndarray:
    """Return alpha g^2 / (2 s^2), the divergence of a step on all points."""
    return order * np.square(norm) / (2 * noise**2)


def poisson_step(norm: np.ndarray, share: float, noise: float, order: int) -> np.ndarray:
    r"""Return the divergence of a step with Poisson sampling of the batch, shape of ``norm``.

    .. math:: \frac{1}{\alpha - 1} \log \sum_{k=0}^{\alpha} \binom{\alpha}{k}
        (1 - q)^{\alpha - k} q^k \exp\frac{g^2 k (k - 1)}{2 s^2}

    Parameters
    ----------
    norm : ndarray
        g, of any shape.
    share : float in (0, 1]
        q.
    noise : float
        s.
    order : int
        alpha, at least 2.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    Mironov, Talwar and Zhang, arXiv 1908.10530; with the norm of one point's gradient instead of
    the largest, Thudi et al., arXiv 2307.00310.
    """
    if int(order) != order or order < 2:
        raise ValueError(f"order is {order}, must be an integer of at least 2")
    if not 0 < share <= 1 or not noise > 0:
        raise ValueError(f"share is {share}, must lie in (0, 1]; noise is {noise}, must be > 0")
    if share == 1:
        return gaussian_step(norm, noise, order)
    k = np.arange(int(order) + 1)
    weight = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
    weight = weight + (order - k) * math.log1p(-share) + k * math.log(share)
    # The weights sum to 1. Only the excess over 1 is summed, so that a small divergence is as
    # accurate as a large one.
    exponent = np.square(norm)[..., None] * (k * (k - 1.0)) / (2 * noise**2)
    large = logsumexp(weight + exponent, axis=-1)
    with np.errstate(over="ignore"):
        small = np.log1p(np.sum(np.exp(weight) * np.expm1(np.minimum(exponent, 1.0)), axis=-1))
    return np.where(exponent[..., -1] < 1, small, large) / (order - 1)


def hoelder_orders(order: float, exponent: float, steps: int) -> np.ndarray:
    r"""Return the orders of the last, the last but one, ... step, shape (steps,).

    .. math:: \alpha_0 = \alpha, \qquad \alpha_{i+1} - 1 = \frac{p}{p - 1} (\alpha_i - 1)

    with the exponent p > 1 of Hoelder's inequality.
    """
    if not exponent > 1:
        raise ValueError(f"exponent is {exponent}, must exceed 1")
    return 1 + (order - 1) * np.exp(-np.arange(steps) * math.log1p(-1 / exponent))


def composed_loss(log_moments: np.ndarray, order: float, exponent: float) -> np.ndarray:
    r"""Return the divergence of a whole training from the divergences of its steps.

    .. math:: D_\alpha \le \frac{1}{\alpha - 1} \sum_{i=0}^{T-1} \frac{(p-1)^i}{p^{i+1}}
        \log E_\theta\bigl[e^{p (\alpha_i - 1) D_{\alpha_i}(\text{step } T - i \mid \theta)}\bigr]

    The logarithms are of shape (T, ...), with the last step first. theta is the state of trainings
    on D before the step.
    """
    i = np.arange(len(log_moments))
    weight = np.exp(i * math.log1p(-1 / exponent)) / exponent
    return np.tensordot(weight, log_moments, axes=1) / (order - 1)


def instance_loss(
    norms: np.ndarray,
    steps: np.ndarray,
    share: float,
    noise: float,
    order: int = 8,
    exponent: float | None = None,
) -> np.ndarray:
    """Estimate P(x, alpha) of every point from the gradients recorded in some trainings, (points,).

    Gradients are assumed constant between two records. The expectation over trainings is a mean
    over the recorded ones. With few of them the result is an estimate and no certificate.

    Parameters
    ----------
    norms : ndarray of shape (runs, records, points)
        Norms of each point's gradient.
    steps : ndarray of int, shape (records,)
        Number of steps that each record stands for, in order of time.
    share, noise : float
        q and s, see :func:`poisson_step`.
    order : int
        alpha.
    exponent : float, optional
        p; by default three times the number of steps.

    Raises
    ------
    ValueError
        If shapes do not agree.
    """
    norms, steps = np.asarray(norms, dtype=float), np.asarray(steps)
    if norms.ndim != 3 or norms.shape[1] != len(steps):
        raise ValueError(
            f"norms {norms.shape} must be of shape (runs, records, points) with the "
            f"{len(steps)} records of steps"
        )
    total = int(steps.sum())
    exponent = 3.0 * total if exponent is None else exponent
    orders = hoelder_orders(order, exponent, total)
    # A divergence does not decrease with its order, so the next integer gives an upper bound.
    whole = np.ceil(orders - 1e-9).astype(int)
    record_of = np.repeat(np.arange(len(steps)), steps)[::-1]
    weight = np.exp(np.arange(total) * math.log1p(-1 / exponent)) / exponent
    loss, known = np.zeros(norms.shape[2]), {}
    for i, (record, integer) in enumerate(zip(record_of, whole, strict=True)):
        if (record, integer) not in known:
            # Steps run backwards, so earlier orders and records do not come back.
            known = {(record, integer): poisson_step(norms[:, record], share, noise, integer)}
        step = known[record, integer]
        power = exponent * (orders[i] - 1)
        moment = logsumexp(power * step, axis=0) - math.log(len(step))
        loss += weight[i] * moment / (order - 1)
    return loss
