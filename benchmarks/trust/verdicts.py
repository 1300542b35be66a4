"""Size and power of the verdicts of a study.

A verdict's size is the share of studies of a right model that it doubts. Its power is the share of
studies of a wrong model that it doubts. Every data set goes through :func:`popinv.fit`, as a user's
does.
"""

from __future__ import annotations

from typing import Any

import popinv
from benchmarks.trust.populations import drawn, model
from popinv.errors import PopinvError

__all__ = ["verdicts_of"]

# p-values by the name of the verdict.
_P_VALUES = {
    "Law": "law_misfit_p_value",
    "Noise": "noise_misfit_p_value",
    "Simulator": "simulator_misfit_p_value",
    "Agreement": "agreement_p_value",
}


def verdicts_of(mistake: str, count: int, seed: int) -> dict[str, Any]:
    """Return the verdicts and p-values of one data set, by name of the verdict."""
    population = drawn(mistake, count, seed)
    try:
        result = popinv.fit(**model(population, mistake), progress=False, seed=seed)
    except PopinvError as error:
        return {"ended": str(error)}
    metrics = result.metrics
    return {
        "verdicts": {found.name: found.verdict for found in result.judgements},
        "p_values": {name: metrics[key] for name, key in _P_VALUES.items() if key in metrics},
        "estimator": metrics["estimator"],
        "findings": {
            found.name: found.short for found in result.judgements if found.verdict == "doubt"
        },
    }
