r"""Selection of k samples from scores, and weights that are robust to errors of the scores.

.. math::

    \min_w\; -p^\top w + \frac{\eta}{2} w^\top Q w + \frac{\lambda}{2} \|w\|^2
    \quad\text{with}\quad w \ge 0,\; \textstyle\sum_i w_i = n.

Without Q the solution is the projection of p/lambda on the simplex of sum n. The samples of
positive weight therefore always have the largest p, and there are exactly k of them for

.. math::

    \frac{1}{n}\sum_{i\le k} (p_{(i)} - p_{(k)}) < \lambda \le
    \frac{1}{n}\sum_{i\le k} (p_{(i)} - p_{(k+1)}).

The problem, and the choice of lambda such that k weights are left, are the paper's. The closed form
is derived anew and replaces the paper's search for lambda. With Q the weights come from accelerated
projected descent.
"""

from __future__ import annotations

import math

import numpy as np

from popinv.errors import ConfigError, DivergenceError
from popinv_papers.kit.simplex import project


def top(scores: np.ndarray, size: int) -> np.ndarray:
    """Return the numbers of the k largest scores, best first; of equal scores the first.

    Raises
    ------
    ConfigError
        If k is not a number from 1 to n.
    """
    _check(size, len(scores))
    return np.argsort(-np.asarray(scores, dtype=float), kind="stable")[:size]


def round_robin(
    scores: np.ndarray, size: int, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Return k different samples, which the target samples choose in turns, in their order.

    Each takes the remaining sample with its best score.

    Parameters
    ----------
    scores : ndarray of shape (n, m)
        One column for each target sample.
    size : int
        k.
    rng : Generator, optional
        Draws the order of the target samples anew for every round, as in the released code. The
        default is the order of the columns.

    Raises
    ------
    ConfigError
        If k is not a number from 1 to n.
    """
    scores = np.asarray(scores, dtype=float)
    count, targets = scores.shape
    _check(size, count)
    ranking = np.argsort(-scores, axis=0, kind="stable")
    free = np.ones(count, dtype=bool)
    place = np.zeros(targets, dtype=int)
    chosen: list[int] = []
    while True:
        for target in range(targets) if rng is None else rng.permutation(targets):
            column = ranking[:, target]
            while not free[column[place[target]]]:
                place[target] += 1
            best = int(column[place[target]])
            free[best] = False
            chosen.append(best)
            if len(chosen) == size:
                return np.array(chosen)


def _check(size: int, count: int) -> None:
    if not 1 <= size <= count:
        raise ConfigError(f"got {size} samples to select, must lie in 1..{count}")


_ITERATIONS = 20_000
# Bound on the gap from optimality.
_TOLERANCE = 1e-9


def robust_weights(scores: np.ndarray, penalty: float) -> np.ndarray:
    """Return the weights without second-order term, shape (n,), sum n.

    Raises
    ------
    ConfigError
        If the penalty is not positive or a score is not finite.
    """
    scores = _checked(scores)
    if not penalty > 0:
        raise ConfigError(f"the penalty is {penalty:g}, must be positive")
    count = len(scores)
    return count * project(scores / (penalty * count))


def penalty_interval(scores: np.ndarray, size: int) -> tuple[float, float]:
    """Return the open lower and closed upper end of the penalties that leave k weights.

    The upper end is infinite if k is the number of all samples.

    Raises
    ------
    ConfigError
        If k is not a number from 1 to n, or if no penalty leaves k weights, since the k-th largest
        score and the next are equal.
    """
    scores = _checked(scores)
    count = len(scores)
    _check(size, count)
    ordered = np.sort(scores)[::-1]
    lower = float(np.sum(ordered[:size] - ordered[size - 1]) / count)
    if size == count:
        return lower, math.inf
    upper = float(np.sum(ordered[:size] - ordered[size]) / count)
    if not upper > lower:
        raise ConfigError(
            f"no penalty leaves exactly {size} weights: the scores number {size} and {size + 1} "
            f"are both {ordered[size]:g}"
        )
    return lower, upper


def weights_of_size(scores: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """Return weights of which exactly k are positive, and their penalty, without a search.

    The penalty is the middle of its interval, or twice the lower end if all samples are kept.
    """
    lower, upper = penalty_interval(scores, size)
    penalty = (lower + upper) / 2 if math.isfinite(upper) else max(2 * lower, 1.0)
    return robust_weights(scores, penalty), penalty


def quadratic_weights(
    scores: np.ndarray, matrix: np.ndarray, rate: float, penalty: float
) -> np.ndarray:
    """Return the weights with second-order term, by accelerated projected descent.

    The arguments are p, Q, eta and lambda.

    Raises
    ------
    ConfigError
        If the problem is not convex: lambda must exceed -eta times Q's smallest eigenvalue.
    DivergenceError
        If the gap from optimality stays above its tolerance.
    """
    scores = _checked(scores)
    count = len(scores)
    eigenvalues = np.linalg.eigvalsh(matrix)
    flattest = rate * float(eigenvalues[0]) + penalty
    steepest = rate * float(eigenvalues[-1]) + penalty
    if not flattest > 0:
        raise ConfigError(
            f"the penalty is {penalty:g}, must exceed {-rate * eigenvalues[0]:g}, or the "
            "second-order problem is not convex"
        )
    # Nesterov's momentum for a strongly convex function.
    momentum = (math.sqrt(steepest) - math.sqrt(flattest)) / (
        math.sqrt(steepest) + math.sqrt(flattest)
    )
    w = ahead = np.ones(count)
    for _ in range(_ITERATIONS):
        slope = rate * (matrix @ ahead) + penalty * ahead - scores
        moved = count * project((ahead - slope / steepest) / count)
        ahead = moved + momentum * (moved - w)
        w = moved
        gap = first_order_gap(scores, matrix, rate, penalty, w)
        if gap < _TOLERANCE:
            return w
    raise DivergenceError(
        f"the weights did not converge in {_ITERATIONS} steps (gap {gap:.3g}); raise the penalty"
    )


def first_order_gap(
    scores: np.ndarray, matrix: np.ndarray, rate: float, penalty: float, weights: np.ndarray
) -> float:
    """Return the distance of weights from optimality, relative to the spread of the slope.

    At the minimum the slope s is smallest, and equal, where weights are positive. Only there
    (w^T s / n - min s) / (max |p - mean p|) is 0.
    """
    slope = rate * (matrix @ weights) + penalty * weights - scores
    scale = float(np.abs(scores - scores.mean()).max()) or 1.0
    return float(weights @ slope / len(weights) - slope.min()) / scale


def _checked(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ConfigError(
            f"scores are a vector of finite numbers, got the shape {scores.shape} with "
            f"{int((~np.isfinite(scores)).sum())} that are not finite"
        )
    return scores
