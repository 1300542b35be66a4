"""The record of the method ``bigram``."""

from __future__ import annotations

from popinv.methods.method import WITH_TORCH_MB, StudySizes, Use, megabytes_of
from popinv_papers.bigram.section import Bigram, Corpus
from popinv_papers.kit.paper import Check, Paper


def _megabytes(sizes: StudySizes, asked: Bigram) -> float:
    return WITH_TORCH_MB + megabytes_of(4 * sizes.systems * sizes.row)


METHOD = Paper(
    name="bigram",
    package="popinv_papers.bigram",
    section=Bigram,
    checks=(
        Check(
            name="bigram",
            message="checking the scaling laws of gradient and sign descent",
            inputs=Corpus.corpus_files,
            settings=("seed", "size", "corpus"),
            figures=("map", "collapse", "text"),
            megabytes=4000,
            minutes=240,
        ),
    ),
    use=Use(
        message="choosing an optimiser for the observed series by Zipf's law",
        stores=("observations",),
        figures=("curves",),
        megabytes=_megabytes,
        minutes=5,
    ),
)
