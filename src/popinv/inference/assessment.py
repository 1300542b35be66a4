"""How good is the answer: against observations kept aside.

Held-out test. With X a large sample of the fitted model and Y the held-out observations, the
statistic is the energy distance of Y to X, on observations divided by the standard deviations of
the fitted data and estimated over random projections. Its null distribution is that of the same
statistic for samples of the model in the place of Y. Noise scales and gaps of Y are those of X
and of the samples too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv.inference.fitted_samples import sample_model
from popinv.inference.problem import Problem
from popinv.inference.traits import Traits
from popinv.seeds import generator
from popinv.threads import fixed_threads
from popinv.transport.energy import EnergyReference, slicing_constant
from popinv.transport.sliced import directions

__all__ = ["HeldOutTest", "heldout_test"]

_REFERENCE_SAMPLES = 4000
_DIRECTIONS = 200


@dataclass(frozen=True)
class HeldOutTest:
    """The statistic, its null sample (resamples,), and the p-value."""

    statistic: float
    null: np.ndarray

    @property
    def null_95(self) -> float:
        """The 95 % point of the null."""
        return float(np.quantile(self.null, 0.95))

    @property
    def p_value(self) -> float:
        """Share of null values at least as large, the statistic itself counted among them."""
        return float((1 + np.sum(self.null >= self.statistic)) / (1 + len(self.null)))


def heldout_test(
    problem: Problem,
    alpha: np.ndarray,
    gamma: np.ndarray,
    heldout: np.ndarray,
    resamples: int,
    traits: Traits | None = None,
) -> HeldOutTest:
    """Compare held-out observations with the fitted model.

    Parameters
    ----------
    problem : Problem
    alpha, gamma : ndarray
        The fitted model.
    heldout : ndarray of shape (n, d_y)
        Unseen entries filled.
    resamples : int
        Size of the null sample.
    traits : Traits, optional
        Those of the n held-out systems; every sample of the null has exactly these.
    """
    d_y = heldout.shape[1]
    scale = problem.data.std(axis=0)
    frame = directions(generator(problem.seed, "heldout/directions"), _DIRECTIONS, d_y)
    frame = frame / scale[:, None]
    with fixed_threads():
        reference = sample_model(
            problem, alpha, gamma, _REFERENCE_SAMPLES, "heldout/reference", traits=traits
        )
        against = EnergyReference.of(reference, frame)

        def statistic(sample: np.ndarray) -> float:
            return against.distance(sample) / slicing_constant(d_y)

        null = [
            statistic(sample_model(problem, alpha, gamma, len(heldout), "heldout/null", b, traits))
            for b in range(resamples)
        ]
        return HeldOutTest(statistic(heldout), np.array(null))
