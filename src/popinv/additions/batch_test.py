r"""Whether added systems have the law and the noise of the earlier ones: a score test.

At the answer p_0 of N earlier systems, with covariance C, the scores of M systems of the same
population have

.. math:: g = \sum_{n=1}^{M} s_n(p_0), \qquad E\,g = 0, \qquad
    V = \operatorname{cov} g = M J + M^2 J C J,

with the information J of a single system under the conditions of the added ones. The second term
is the error of p_0. The statistic of law and noise together is :math:`g^T V^{-1} g` (Rao, Proc.
Cambridge Phil. Soc. 44, 1948). The statistic of the law alone leaves the noise of the added systems
free, and that of the noise leaves their law free: with the entries a of one and b of the other,

.. math:: u = g_a - V_{ab} V_{bb}^{-1} g_b, \qquad
    u^T \bigl(V_{aa} - V_{ab} V_{bb}^{-1} V_{ba}\bigr)^{-1} u .

The scores of few systems are not normal. J and the null distribution of the statistics therefore
come from systems that are simulated from the fitted model under the conditions of the added ones:
J from one half of them, and sums of M scores of the other half, less M J d with errors d of law
N(0, C). For many systems these sums are normal.

The parts describe small differences. Where law and noise together differ,
:mod:`popinv.additions.batch` tests each part again where the other one is at the maximum of the
added systems.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import sizes
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.uncertainty.standard_errors import simulated
from popinv.seeds import generator

PARTS = ("law and noise", "law", "noise")
"""Each p-value belongs to one of these parts of the model, in this order."""

# Simulated systems; systems above which the scores' sum is normal; draws of the null distribution.
_SIMULATED, _MANY, _DRAWS = 400, 100, 3999
# Fewest simulated systems with the conditions of each added one, for sums that keep these.
_FEWEST_ALIKE = 20
# Eigenvalues below this share of the largest one count as zero.
_NOTHING = 1e-8


@dataclass(frozen=True)
class BatchTest:
    """The comparison of added systems with the population, by :data:`PARTS`.

    Attributes
    ----------
    statistic, degrees, p_value : ndarray of shape (3,)
        NaN where nothing of the part is determined.
    information : ndarray of shape (n_p, n_p)
        J, of a single system.
    """

    statistic: np.ndarray
    degrees: np.ndarray
    p_value: np.ndarray
    information: np.ndarray


def simulated_scores(
    problem: Problem, p: np.ndarray, settings: MarginalSettings, count: int = _SIMULATED
) -> np.ndarray:
    """Return the scores (count, n_p) at p of systems drawn from the model at p.

    Row i has the conditions of the problem's system i modulo their number.
    """
    drawn = simulated(problem, p, count, "added/null")
    drawn = replace(drawn, stage=f"{problem.stage}/added")
    return likelihood_near(drawn, p, settings, np.arange(count)).here.scores


def batch_test(
    scores: np.ndarray,
    pool: np.ndarray,
    covariance: np.ndarray,
    d_alpha: int,
    seed: int,
    alike: bool = True,
) -> BatchTest:
    """Test the scores of added systems.

    Parameters
    ----------
    scores : ndarray of shape (M, n_p)
        Of the added systems at the answer of the earlier ones.
    pool : ndarray of shape (K, n_p)
        From :func:`simulated_scores`.
    covariance : ndarray of shape (n_p, n_p)
        C. Entries that are held are zero, and are not tested.
    d_alpha : int
        Number of the law's entries, which come first.
    seed : int
        Of the null distribution.
    alike : bool
        Whether all added systems have the same conditions.
    """
    count, n_p = scores.shape
    free = np.flatnonzero((np.diag(covariance) > 0) & (pool.var(axis=0) > 0))
    g, pool = scores[:, free].sum(axis=0), pool[:, free]
    # Scores are closer to a covariance that they are part of. With conditions in turns, both halves
    # begin with those of the first system.
    half = len(pool) // 2
    half -= half % count if count < half else 0
    own = pool[:half].T @ pool[:half] / half
    error = covariance[np.ix_(free, free)]
    total = count * own + count**2 * own @ error @ own
    parts = [np.ones(len(free), dtype=bool), free < d_alpha, free >= d_alpha]
    forms = [_form(total, part) for part in parts]
    statistic = np.array([_value(g[None], form)[0] for form, _ in forms])
    degrees = np.array([rank for _, rank in forms])
    null = _null(pool[half:], own, error, count, seed, alike)
    exceeded = [
        np.mean(_value(null, form) >= t) for (form, _), t in zip(forms, statistic, strict=True)
    ]
    p_value = (1 + _DRAWS * np.array(exceeded)) / (1 + _DRAWS)
    none = degrees == 0
    information = np.zeros((n_p, n_p))
    information[np.ix_(free, free)] = own
    return BatchTest(
        np.where(none, np.nan, statistic), degrees, np.where(none, np.nan, p_value), information
    )


def _null(
    pool: np.ndarray,
    own: np.ndarray,
    error: np.ndarray,
    count: int,
    seed: int,
    alike: bool,
) -> np.ndarray:
    """Return draws (B, k) of the sum of scores under the null hypothesis."""
    rng = generator(seed, "added/null_distribution")
    each = len(pool) // count
    sums = np.zeros((_DRAWS, pool.shape[1]))
    if count > _MANY:
        # The sum of many scores is normal.
        sums = (count / len(pool)) ** 0.5 * rng.standard_normal((_DRAWS, len(pool))) @ pool
    elif alike or each < _FEWEST_ALIKE:
        for column in rng.integers(len(pool), size=(count, _DRAWS)):
            sums += pool[column]
    else:
        for system in range(count):
            sums += pool[count * rng.integers(each, size=_DRAWS) + system]
    values, vectors = np.linalg.eigh(error)
    half = vectors * np.sqrt(np.maximum(values, 0.0))
    off = rng.standard_normal((_DRAWS, len(error))) @ half.T
    return sums - count * off @ own


def _form(total: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the matrix of a part's quadratic form in g, and its rank."""
    size = sizes(total)
    scaled = total / np.outer(size, size)
    whole, rank = _inverse(scaled)
    if part.all() or not part.any():
        form, rank = (whole, rank) if part.any() else (0 * whole, 0)
        return form / np.outer(size, size), rank
    # The form of all entries is that of the others plus that of the part, given the others.
    rest, rank_of_rest = _inverse(scaled[np.ix_(~part, ~part)])
    form = whole.copy()
    form[np.ix_(~part, ~part)] -= rest
    return form / np.outer(size, size), rank - rank_of_rest


def _inverse(matrix: np.ndarray) -> tuple[np.ndarray, int]:
    values, vectors = np.linalg.eigh(matrix)
    known = values > _NOTHING * values[-1]
    return (vectors[:, known] / values[known]) @ vectors[:, known].T, int(known.sum())


def _value(g: np.ndarray, form: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("bi,ij,bj->b", g, form, g))
