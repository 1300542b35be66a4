"""The oracles: the law estimated when the noise is known, the noise when the law is known.

The descent and the data are those of the blind answer. What an oracle leaves is the sampling error
of the population itself, which no method can undo.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from popinv.inference.descent import Descent, run
from popinv.inference.problem import DescentSettings, Problem, begin

__all__ = ["oracle"]


def oracle(
    problem: Problem,
    settings: DescentSettings,
    truth: tuple[np.ndarray, np.ndarray],
    start: tuple[np.ndarray, np.ndarray],
    known: str,
) -> Descent:
    """Estimate the law with the noise known, or the noise with the law known.

    Parameters
    ----------
    truth, start : (alpha, gamma)
        The unknown half starts where the blind descent starts.
    known : {"noise", "law"}
    """
    law_known = known == "law"
    held = replace(
        problem, free_law=not law_known, free_noise=law_known, stage=f"oracle/{known}_known"
    )
    alpha = truth[0] if law_known else start[0]
    gamma = start[1] if law_known else truth[1]
    return run(begin(alpha, gamma, settings), held, settings, description=f"oracle, {known} known")
