r"""A table of pairs of tokens: what a language model must be better than to say anything.

.. math:: p(j | i) = \frac{c_{ij} + t_i\, u_j}{c_i + t_i}

with c the counts of pairs, t_i the number of different tokens seen after i, and u the frequencies
of tokens with one added to each count (Witten and Bell, IEEE Trans. Inf. Theory 1991).
"""

from __future__ import annotations

import numpy as np

__all__ = ["bigram_loss"]


def bigram_loss(known: np.ndarray, tested: np.ndarray, vocabulary: int) -> float:
    """Return the mean loss per token, natural logarithm, of windows of tokens.

    Parameters
    ----------
    known, tested : ndarray of int, shape (windows, length)
        The table's windows, and those whose tokens but the first are predicted.
    vocabulary : int
    """
    pairs = np.zeros((vocabulary, vocabulary))
    np.add.at(pairs, (known[:, :-1], known[:, 1:]), 1.0)
    single = pairs.sum(axis=0) + 1
    single /= single.sum()
    followers = (pairs > 0).sum(axis=1)
    # A token that was never seen before another is followed by any, by their frequencies.
    seen = np.maximum(followers, 1)[:, None]
    table = (pairs + seen * single) / (pairs.sum(axis=1, keepdims=True) + seen)
    return float(-np.log(table[tested[:, :-1], tested[:, 1:]]).mean())
