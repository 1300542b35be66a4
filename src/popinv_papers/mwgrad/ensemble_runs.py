"""The runs of the second test problem: kinds of pairs, recipes, methods and seeds.

The workflow makes one job of each run, so this module is light to import.

=================  ==============================================================================
recipe             training
=================  ==============================================================================
own                Adam, trunk gradients as they are, the training split; the rate is the method's
                   best one of a grid (:mod:`popinv_papers.mwgrad.rate_search`)
authors            the authors' update (:mod:`popinv_papers.mwgrad.authors_update`), the
                   training split
authors_on_test    the same, on the split that is scored, as in the authors' released script
=================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from popinv_papers.mwgrad.overlaid import KINDS

# Those of MWGraD first; the authors' "Blob" is GFSD.
METHODS = ("svgd", "gfsd", "neural", "mt_sgd", "moo_svgd", "mgda", "equal")
# Of the authors' recipe; the sign of their neural velocity is not that of theory.
AUTHORS_METHODS = ("svgd", "gfsd")
RECIPES = ("own", "authors", "authors_on_test")
# The recipe of a training that tries a rate; no claim is measured on it.
SEARCH = "search"
SEEDS = 5


@dataclass(frozen=True)
class Size:
    """The extent of the problem.

    Parameters
    ----------
    kinds : tuple of str
        Kinds of pairs.
    trained, epochs, batch : int, int, int
        Pairs to train on, passes over them, and pairs in a batch, of the own recipe.
    rates : tuple of float
        First learning rates of which each method takes its best.
    searched : int
        Pairs to train on, once, for each of these rates.
    tested : int
        Pairs that are scored.
    authors_methods : tuple of str
        Methods that are trained by the authors' recipes too.
    split_kinds : tuple of str
        Kinds on which the authors' update is trained on the training split, too.
    authors_trained, authors_epochs : int
        Their pairs and passes. The batch of 256 and the rate of 0.001 are the authors'.
    """

    kinds: tuple[str, ...]
    trained: int
    epochs: int
    batch: int
    rates: tuple[float, ...]
    searched: int
    tested: int
    authors_methods: tuple[str, ...]
    split_kinds: tuple[str, ...]
    authors_trained: int
    authors_epochs: int


_RATES = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
SIZES = {
    "workstation": Size(
        kinds=tuple(KINDS),
        trained=6_400,
        epochs=1,
        batch=64,
        rates=_RATES,
        searched=6_400,
        tested=2_000,
        authors_methods=("gfsd",),
        split_kinds=("multi_mnist",),
        authors_trained=20_000,
        authors_epochs=6,
    ),
    "paper": Size(
        kinds=tuple(KINDS),
        trained=120_000,
        epochs=100,
        batch=256,
        rates=_RATES,
        searched=20_000,
        tested=20_000,
        authors_methods=AUTHORS_METHODS,
        split_kinds=tuple(KINDS),
        authors_trained=20_000,
        authors_epochs=100,
    ),
}


@dataclass(frozen=True)
class Run:
    """One training of an ensemble; ``start`` counts the seeds from 0."""

    kind: str
    recipe: str
    method: str
    start: int

    @property
    def name(self) -> str:
        """The place of its result, without the folder and the ending."""
        return f"{self.kind}/{self.recipe}/{self.method}_{self.start}"

    @classmethod
    def of(cls, name: str) -> Run:
        """Return the run of a place such as "multi_mnist/own/gfsd_0"."""
        kind, recipe, last = name.split("/")
        method, _, start = last.rpartition("_")
        return cls(kind, recipe, method, int(start))


def runs(size: Size) -> Iterator[Run]:
    """Yield all runs of a size."""
    for kind in size.kinds:
        for recipe in RECIPES:
            if recipe == "authors" and kind not in size.split_kinds:
                continue
            for method in METHODS if recipe == "own" else size.authors_methods:
                yield from (Run(kind, recipe, method, start) for start in range(SEEDS))
