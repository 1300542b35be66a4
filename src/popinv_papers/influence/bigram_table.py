r"""A table of pairs of tokens: what a language model must be better than to say anything.

.. math:: p(j | i) = \frac{c_{ij} + t_i\, u_j}{c_i + t_i}

with c the counts of pairs, t_i the number of different tokens seen after i, and u the frequencies
of tokens with one added to each count (Witten and Bell, IEEE Trans. Inf. Theory 1991).
"""

from __future__ import annotations

import numpy as np

from popinv_papers.influence.corpus import PADDING


def bigram_table(known: np.ndarray, vocabulary: int) -> np.ndarray:
    """Return p(j | i), shape (vocabulary, vocabulary), of passages (n, length) with padding."""
    first, second = _pairs(known)
    pairs = np.zeros((vocabulary, vocabulary))
    np.add.at(pairs, (first, second), 1.0)
    single = pairs.sum(axis=0) + 1
    single /= single.sum()
    followers = (pairs > 0).sum(axis=1)
    # A token that was never seen before another is followed by any, by their frequencies.
    seen = np.maximum(followers, 1)[:, None]
    return (pairs + seen * single) / (pairs.sum(axis=1, keepdims=True) + seen)


def bigram_loss(table: np.ndarray, tested: np.ndarray) -> float:
    """Return the mean over passages of the mean loss per token, natural logarithm.

    The loss of a language model is averaged in the same way.
    """
    each = -np.log(table[tested[:, :-1], tested[:, 1:]])
    told = tested[:, 1:] != PADDING
    return float(((each * told).sum(axis=1) / told.sum(axis=1)).mean())


def _pairs(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    told = known[:, 1:] != PADDING
    return known[:, :-1][told], known[:, 1:][told]
