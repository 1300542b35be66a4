"""Samples of a fitted model, to compare with observations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from popinv.inference.problem import Problem
from popinv.inference.traits import Traits
from popinv.seeds import generator

__all__ = ["sample_model"]


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
