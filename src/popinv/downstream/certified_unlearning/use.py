"""The use on a study: systems are removed from a read-out of its observations."""

from __future__ import annotations

from functools import partial

from popinv.downstream.certified_unlearning.certificate import write_certificate
from popinv.downstream.certified_unlearning.figures import draw_forgetting
from popinv.downstream.certified_unlearning.readout import remove_systems
from popinv.downstream.outcome import Outcome, StudyInput
from popinv.threads import fixed_threads

__all__ = ["use"]


def use(study: StudyInput) -> Outcome:
    """Remove the systems one by one and all at once, each with a certificate."""
    with fixed_threads():
        result, metrics, documents = remove_systems(
            study.stores["observations"], study.asked, study.seed
        )
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={"forgetting": draw_forgetting(result)},
        result=result,
        files={
            f"certificate_{way}.json": partial(write_certificate, document)
            for way, document in documents.items()
        },
    )
