r"""Bigrams of sequences of symbols, as groups of entries of W.

The counts are sparse. An entry of W whose pair never occurs starts at its target, has no gradient
and never moves. Many entries move equally, for example all pairs that occur once in contexts that
occur equally often.

The power law of the paper knows no sparse counts: it moves every entry. :meth:`Bigrams.matched`
corrects for them. Assumption 2.3 says that the sorted conditional frequencies are the same in all
contexts. Here they are the same in contexts that occur equally often, and are taken from another
part of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from popinv.errors import DataError
from popinv_papers.bigram.entries import Entries


@dataclass(frozen=True)
class Bigrams:
    """Pairs of neighbours that occur, sorted by the first symbol.

    Attributes
    ----------
    first, second : ndarray of int, shape (n,)
        i and j of each pair that occurs.
    counts : ndarray of int, shape (n,)
        Number of occurrences of each.
    size : int
        d, the number of symbols.
    """

    first: np.ndarray
    second: np.ndarray
    counts: np.ndarray
    size: int

    @classmethod
    def of(cls, sequences: Sequence[np.ndarray], size: int) -> Bigrams:
        """Count the pairs of neighbours within each sequence of whole numbers in [0, size).

        Raises
        ------
        DataError
            If a symbol lies outside, or no sequence has two symbols.
        """
        codes = []
        for sequence in sequences:
            symbols = np.asarray(sequence, dtype=np.int64)
            if len(symbols) and not (symbols.min() >= 0 and symbols.max() < size):
                raise DataError(
                    f"symbols lie between {symbols.min()} and {symbols.max()}, must lie in "
                    f"[0, {size})"
                )
            codes.append(symbols[:-1] * size + symbols[1:])
        if not sum(map(len, codes)):
            raise DataError("no sequence has two symbols, so there are no pairs to learn from")
        pairs, counts = np.unique(np.concatenate(codes), return_counts=True)
        return cls(pairs // size, pairs % size, counts, int(size))

    @cached_property
    def context_counts(self) -> np.ndarray:
        """Number of pairs of which each symbol is the first, shape (d,)."""
        return np.bincount(self.first, weights=self.counts, minlength=self.size)

    @cached_property
    def marginals(self) -> np.ndarray:
        """pi_i, shape (d,)."""
        return self.context_counts / self.counts.sum()

    @cached_property
    def entries(self) -> Entries:
        """The pairs as groups of entries that move equally."""
        of_context = self.context_counts[self.first].astype(np.int64)
        code, number = np.unique(
            of_context * (self.counts.max() + 1) + self.counts, return_counts=True
        )
        of_context, counts = np.divmod(code, self.counts.max() + 1)
        return Entries(of_context / self.counts.sum(), counts / of_context, number)

    def matched(self, context_counts: np.ndarray) -> Entries:
        """Return entries that these pairs predict for another text, from its contexts alone.

        A context of the other text gets the sorted conditional frequencies of the contexts here
        that occur equally often, or nearly so. Where there are several, it gets their mean
        numbers of entries.

        Parameters
        ----------
        context_counts : ndarray of shape (m,)
            Occurrences of the other text's contexts; zeros are left out.
        """
        own, contexts = np.unique(self.context_counts[self.context_counts > 0], return_counts=True)
        wanted, copies = np.unique(context_counts[context_counts > 0], return_counts=True)
        # The nearest number of occurrences, by ratio.
        middles = np.sqrt(own[1:] * own[:-1])
        source = np.searchsorted(middles, wanted)
        of_context = np.rint(self.entries.weights * self.counts.sum())
        place = np.searchsorted(own, of_context)
        weights, targets, members = [], [], []
        for each, copy, row in zip(wanted, copies, source, strict=True):
            low, high = np.searchsorted(place, [row, row + 1])
            targets.append(self.entries.targets[low:high])
            members.append(self.entries.members[low:high] * (copy / contexts[row]))
            weights.append(np.full(high - low, each / context_counts.sum()))
        return Entries(*map(np.concatenate, (weights, targets, members)))
