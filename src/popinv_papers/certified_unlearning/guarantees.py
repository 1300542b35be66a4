r"""Guarantees before convergence, for a sequence of requests, and of the remaining risk.

Theorem 3.2 joins two guarantees, A_1 and A_2 on the distances of retraining and unlearning from
their limits, by the weak triangle inequality with the exponents p = q = 2 of Hoelder's inequality.
If A is their sum, the smallest epsilon is known in closed form: with u = a - 1
and :math:`\ell = \log(1/\delta)`,

.. math:: \frac{a - 1/2}{a - 1} 2 A a + \frac{\ell}{a - 1} = 2 A u + 3 A + \frac{A + \ell}{u}.

For general exponents, 1/p + 1/q = 1, the sum of both terms is

.. math::
    (p a - 1) \left( \frac{A_2 a}{a - 1} + \frac{A_1}{p - 1} \right)
    \ge a \left( \sqrt{A_1} + \sqrt{A_2} \right)^2 ,

with equality at the best p. This is a guarantee of the same form, ``split="best"``.

Source: the paper, Theorems 3.2 and 3.11 and Proposition 3.9. It minimises over the order
numerically. The closed form and the best split are derived here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from popinv.errors import ConfigError
from popinv.methods import privacy
from popinv.methods.certificate.accountant import Form, Setting

Split = Literal["halves", "best"]
# A relative excess of the rate below this is rounding.
_ROUNDING = 1e-12


def joined_coefficient(epsilon: float, delta: float) -> float:
    """Return the sum A for an epsilon if two guarantees are joined.

    It is the smaller root of A^2 - (6 epsilon + 8 l) A + epsilon^2 = 0.
    """
    half = 3 * epsilon + 4 * math.log(1 / delta)
    return epsilon**2 / (half + math.sqrt(half**2 - epsilon**2))


def gap_before(setting: Setting, learnt: int) -> float:
    """Return the Z of Theorem 3.2, from T epochs on all data to the law without one record.

    Raises
    ------
    ConfigError
        If there is no ball, outside which nothing bounds the distance from convergence.
    """
    if setting.radius == math.inf:
        raise ConfigError(
            "the distance from convergence is bounded only within a ball: give a radius"
        )
    return setting.shrunk(setting.widest, learnt) + setting.gap(epochs=learnt)


def coefficients_before(
    setting: Setting, learnt: int, sigma: float, epochs: int, form: Form = "paper"
) -> tuple[float, float]:
    """Return A of retraining and A of unlearning if learning stops after T epochs."""
    retrained = setting.coefficient(setting.widest, sigma, learnt, form)
    return retrained, setting.coefficient(gap_before(setting, learnt), sigma, epochs, form)


def sigma_before(
    setting: Setting,
    epsilon: float,
    delta: float,
    learnt: int,
    epochs: int,
    *,
    form: Form = "paper",
    split: Split = "halves",
) -> float:
    """Return the smallest sigma for (epsilon, delta) by Theorem 3.2.

    ``split`` is "halves" as in the paper, or "best".
    """
    retrained, unlearnt = coefficients_before(setting, learnt, 1.0, epochs, form)
    if split == "best":
        joined = (math.sqrt(retrained) + math.sqrt(unlearnt)) ** 2
        return math.sqrt(joined / privacy.coefficient(epsilon, delta))
    return math.sqrt((retrained + unlearnt) / joined_coefficient(epsilon, delta))


def sequential_epochs(
    setting: Setting,
    epsilon: float,
    delta: float,
    sigma: float,
    gaps: Sequence[float],
    forms: Form | Sequence[Form] = "exact",
) -> tuple[list[int], list[float]]:
    r"""Return the smallest number of epochs for each request of a sequence (Theorem 3.11).

    .. math:: Z_1 = g_1, \quad Z_{s+1} = \min(c^{K_s n/b} Z_s + g_{s+1}, 2 R)

    with g_s the gap due to the records of request s alone. There is one form for all requests, or
    one for each. Z of each request, before its epochs, is returned too.
    """
    of_each = [forms] * len(gaps) if isinstance(forms, str) else list(forms)
    epochs: list[int] = []
    carried: list[float] = []
    left = 0.0
    for gap, form in zip(gaps, of_each, strict=True):
        whole = min(left + gap, setting.widest)
        epochs.append(setting.epochs_for(epsilon, delta, whole, sigma, form))
        carried.append(whole)
        left = setting.shrunk(whole, epochs[-1])
    return epochs, carried


def excess_risk(setting: Setting, dimension: int, sigma: float, epochs: int) -> float:
    """Return the bound on the excess risk after K epochs (Proposition 3.9).

    Raises
    ------
    ConfigError
        If there is more than one batch, or the rate exceeds m/(2 L^2).
    """
    most = setting.strong / (2 * setting.smooth**2)
    if setting.batches > 1 or setting.rate > most * (1 + _ROUNDING):
        raise ConfigError(
            f"the bound on the risk is for one batch and a rate of at most {most:g}, not for "
            f"{setting.batches} batches and the rate {setting.rate:g}"
        )
    left = setting.lipschitz * setting.shrunk(setting.gap(), epochs)
    return left + 2 * setting.smooth * dimension * sigma**2 / setting.strong
