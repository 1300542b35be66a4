r"""An attack that tells from an answer whether systems were removed from it or never there.

Both answers are noisy. The best statistic for two normal laws of equal covariance that differ in
their means is the projection on the difference. With a threshold, at most a share beta of the
answers that never saw the systems, and at least a share alpha of those that did, lie beyond it. Any
(epsilon, delta)-guarantee then implies

.. math:: \epsilon \ge \log \frac{\alpha - \delta}{\beta} .

The threshold is chosen on one half of the runs, and the shares are bounds of 95 % (Clopper and
Pearson) of the other half, so that the bound on epsilon holds with 90 % (Jagielski, Ullman and
Oprea, Auditing differentially private machine learning, NeurIPS 2020).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import beta

_LEVEL, _THRESHOLDS = 0.05, 50


def empirical_epsilon(
    seen: np.ndarray, unseen: np.ndarray, direction: np.ndarray, delta: float
) -> float:
    """Return the lower bound on epsilon that the attack proves, 0 if it proves none.

    Parameters
    ----------
    seen, unseen : ndarray of shape (r, k)
        Answers that saw the systems and had them removed, and answers that never saw them.
    direction : ndarray of shape (k,)
        In which the removed systems had moved the answer.
    delta : float
    """
    one, other = seen @ direction, unseen @ direction
    half = len(one) // 2, len(other) // 2
    levels = np.linspace(0, 1, _THRESHOLDS + 2)[1:-1]
    thresholds = np.quantile(np.concatenate([one[: half[0]], other[: half[1]]]), levels)
    found = [
        _bound(side * one[: half[0]], side * other[: half[1]], side * threshold, delta)
        for side in (1, -1)
        for threshold in thresholds
    ]
    best = int(np.argmax(found))
    side, threshold = (1, -1)[best // _THRESHOLDS], thresholds[best % _THRESHOLDS]
    return _bound(side * one[half[0] :], side * other[half[1] :], side * threshold, delta)


def _bound(seen: np.ndarray, unseen: np.ndarray, threshold: float, delta: float) -> float:
    hits, false = int((seen > threshold).sum()), int((unseen > threshold).sum())
    least = float(beta.ppf(_LEVEL, hits, len(seen) - hits + 1)) if hits else 0.0
    most = float(beta.ppf(1 - _LEVEL, false + 1, len(unseen) - false)) if false < len(unseen) else 1
    return max(0.0, math.log((least - delta) / most)) if least > delta else 0.0
