r"""Sign descent on the linear bigram model: exact and simplified losses, the best step, limits.

``W <- W - eta sign(grad)`` moves every entry by eta towards its target until it passes it, and back
and forth from then on. With the initial distance delta, m = floor(delta / eta) and
c = delta - m eta, the distance after t steps is (Proposition A.3 of Kunstner and Bach,
arXiv 2505.19227)

.. math::
    |\delta(t)| = \begin{cases} \delta - t\eta & t \le m \\
    c & t - m \text{ even} \\ \eta - c & t - m \text{ odd} \end{cases}

and an entry that starts at its target stays there. The simplified dynamics (Assumption 4.1)
replaces the oscillation by eta/2. With eta = 1/(H_{d,a} T phi^a) its relative loss after T steps
under Zipf's law, with n = floor(phi) entries still on their way (Definition D.1), is

.. math::
    r(T, \phi) = \frac{1}{H_{d,2a}} \Bigl[ H_{n,2a} - 2 u H_{n,a} + u^2
    \bigl(n + \tfrac{d-n}{4T^2}\bigr) \Bigr], \qquad u = \phi^{-a}.

For each n this is a parabola in u, so the best step is found exactly in O(d). Formulas whose
displays were not readable to us are derived anew. The limit for a > 1/2 at every scaled time is
this package's own.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import zeta

from popinv_papers.bigram.gradient_descent import first_step_below
from popinv_papers.bigram.power_law import check_power_law, powers

# Number of terms in the limit for a > 1/2. More terms change it by less than 1e-12 if the best u is
# above this number to the power -a.
_LIMIT_TERMS = 2_000_000


def distance(initial: np.ndarray, step: float, steps: int) -> np.ndarray:
    r"""Return \\|delta(t)\\| of the exact dynamics, shape of ``initial``."""
    whole = np.floor(initial / step)
    rest = initial - whole * step
    odd = (steps - whole) % 2 == 1
    # If the entry lands exactly on the target, the gradient is zero and the entry stays.
    after = np.where(odd & (rest > 0), step - rest, rest)
    return np.where(steps <= whole, initial - steps * step, after)


@lru_cache(maxsize=4)
def _sums(size: int, exponent: float) -> tuple[np.ndarray, np.ndarray]:
    """Return H_{n,a} and H_{n,2a} for n = 1, ..., d."""
    terms = powers(size, exponent)
    return np.cumsum(terms), np.cumsum(terms**2)


def best_relative_loss(size: int, exponent: float, steps: float) -> tuple[float, float]:
    """Return the smallest r(T, phi) over phi in [1, d], and its phi.

    For n = floor(phi) the loss is a parabola in u = phi^-a. Its vertex
    H_{n,a} / (n + (d - n) / (4 T^2)) is clipped to the range of u for this n. T need not be whole.
    Below T = 1 nothing has moved.
    """
    check_power_law(size, exponent)
    if steps < 1:
        return 1.0, float("nan")
    first, second = _sums(size, exponent)
    n = np.arange(1, size + 1, dtype=float)
    stiffness = n + (size - n) / (4.0 * steps**2)
    largest = powers(size, exponent)
    smallest = np.append(largest[1:], largest[-1])
    u = np.clip(first / stiffness, smallest, largest)
    bracket = second - 2 * u * first + u**2 * stiffness
    best = int(np.argmin(bracket))
    phi = np.clip(u[best] ** (-1 / exponent), 1, size)
    return float(bracket[best] / second[-1]), float(phi)


def horizon(size: int, exponent: float, tau: float) -> float:
    """Return T at a scaled time: tau for a < 1/2, d^{tau/2}/2 for 1/2, tau sqrt(d)/2 above."""
    if exponent < 0.5:
        return tau
    if exponent == 0.5:
        return size ** (tau / 2) / 2
    return tau * np.sqrt(size) / 2


def limit(exponent: float, tau: float) -> float:
    r"""Return the limit of the best relative loss as d grows, at a scaled time.

    - a < 1/2: (c_1 + c_2 (2 tau)^2)^{2a} / (2 tau)^2 with c_1 = 1 - 1/(2a), c_2 = a/(1-a), from
      4 tau^2 >= (1-a)/(2a^2) on, and the constant 2 a^2/(1-a) before;
    - a = 1/2: 1 - tau;
    - a > 1/2: min_u [ sum_k (k^-a - u)_+^2 + u^2/tau^2 ] / zeta(2a), which is
      1/(zeta(2a) (1 + tau^2)) if only the first direction is still on its way, that is, if
      tau^2 >= 1/(2^a - 1).
    """
    if exponent < 0.5:
        c_1, c_2, square = 1 - 1 / (2 * exponent), exponent / (1 - exponent), (2 * tau) ** 2
        if square < (1 - exponent) / (2 * exponent**2):
            return 2 * exponent**2 / (1 - exponent)
        return float((c_1 + c_2 * square) ** (2 * exponent) / square)
    if exponent == 0.5:
        return float(np.clip(1 - tau, 0, 1))
    first, second = _sums(_LIMIT_TERMS, exponent)
    n = np.arange(1, _LIMIT_TERMS + 1, dtype=float)
    stiffness = n + 1 / tau**2
    largest = powers(_LIMIT_TERMS, exponent)
    u = np.clip(first / stiffness, np.append(largest[1:], 0.0), largest)
    return float((second - 2 * u * first + u**2 * stiffness).min() / zeta(2 * exponent))


def steps_to(size: int, exponent: float, target: float) -> int:
    """Return the fewest steps after which the best step size reaches a relative loss."""
    return first_step_below(lambda t: best_relative_loss(size, exponent, t)[0], target)
