"""The record of certified removals."""

from __future__ import annotations

from popinv.methods.certificate.section import Certificate
from popinv.methods.method import Method, StudySizes, Use, megabytes_of

# Parameters of law and noise, about.
_PARAMETERS = 10

# Evaluations of the likelihood by which the reference is fitted, and draws and calls of each.
_EVALUATIONS, _DRAWS, _CALLS = 30, 60, 4
# Epochs of learning, twice, and of each removal; seconds of a number that an epoch moves.
_LEARNING, _SECONDS = 60, 2e-8


def _megabytes(sizes: StudySizes, asked: Certificate) -> float:
    return (
        500 + sizes.descent_megabytes + megabytes_of(4 * sizes.systems * _PARAMETERS * asked.runs)
    )


def _minutes(sizes: StudySizes, asked: Certificate) -> float:
    fitting = _EVALUATIONS * sizes.systems * _DRAWS * _CALLS * sizes.network_seconds
    epochs = _LEARNING + asked.epochs * (len(asked.systems) + 2)
    running = epochs * sizes.systems * asked.runs * _PARAMETERS * _SECONDS
    return (fitting + running) / 60 + 1


METHOD = Method(
    name="certificate",
    package="popinv.methods.certificate",
    section=Certificate,
    use=Use(
        message="removing systems under certificate",
        stores=("observations", "surrogate", "population"),
        sections=("forward", "law", "noise", "polish"),
        imports=("law", "noise"),
        figures=("forgetting",),
        files=("certificate_sequence.json", "certificate_batch.json"),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
