r"""How good is the answer: against the truth, the oracles, and observations kept aside.

Held-out test. With X a large sample of the fitted model and Y the held-out observations, the
statistic is the energy distance of Y to X, on observations divided by the standard deviations of
the fitted data and estimated over random projections. Its null distribution is that of the same
statistic for samples of the model in the place of Y. Noise scales and gaps of Y are those of X
and of the samples too.

Oracles. The blind answer is compared with the law estimated when the noise is known and the noise
estimated when the law is known, by the same descent on the same data: what they leave is the
sampling error of the population itself, which no method can undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from popinv.inference.descent import Descent, run
from popinv.inference.problem import DescentSettings, Problem, begin
from popinv.inference.traits import Traits
from popinv.seeds import generator
from popinv.threads import fixed_threads
from popinv.transport.energy import EnergyReference, slicing_constant
from popinv.transport.sliced import directions

__all__ = [
    "HeldOutTest",
    "best_of",
    "heldout_test",
    "law_errors",
    "oracle",
    "ratio",
    "relative_frobenius_error",
    "sample_model",
]

# Below this a true value counts as zero, and its error is not divided by it.
NEAR_ZERO = 0.1
_REFERENCE_SAMPLES = 4000
_DIRECTIONS = 200


def law_errors(natural: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return each parameter's error relative to the truth, or absolute where that is near zero."""
    scale = np.where(np.abs(truth) > NEAR_ZERO, np.abs(truth), 1.0)
    return np.abs(natural - truth) / scale


def relative_frobenius_error(covariance: np.ndarray, truth: np.ndarray) -> float:
    """Return ``|Gamma - Gamma_true|_F / |Gamma_true|_F``."""
    return float(np.linalg.norm(covariance - truth) / np.linalg.norm(truth))


def ratio(error: float, oracle_error: float) -> float:
    """Return error / oracle_error; infinite only if the oracle is exact and the error is not."""
    if oracle_error > 0:
        return error / oracle_error
    return 1.0 if error == 0 else float("inf")


def sample_model(
    problem: Problem,
    alpha: np.ndarray,
    gamma: np.ndarray,
    count: int,
    stage: str,
    index: int = 0,
    traits: Traits | None = None,
) -> np.ndarray:
    """Return observations (count, d_y) of the fitted model, noise included.

    Given the traits of n systems, row i takes those of system i modulo n; otherwise the noise has
    scale 1 and every entry is seen, whatever the traits of the problem's own systems.
    """
    rng = generator(problem.seed, stage, index)
    omega = torch.from_numpy(rng.standard_normal((count, problem.law.d_omega)))
    e = torch.from_numpy(rng.standard_normal((count, problem.noise.d_y)))
    systems = None if traits is None else np.arange(count) % len(traits)
    p = torch.from_numpy(np.concatenate([alpha, gamma]))
    with torch.no_grad():
        return replace(problem, traits=traits).model(p, omega, e, systems).numpy()


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


def best_of(descents: Sequence[Descent]) -> int:
    """Return the index of the descent with the smallest loss in the fixed metric at its end.

    The weighted loss is not comparable between descents that end at different noise.
    """
    means = []
    for descent in descents:
        seen = descent.state.fixed_loss[~np.isnan(descent.state.fixed_loss)]
        means.append(seen[-max(1, len(seen) // 4) :].mean())
    return int(np.argmin(means))
