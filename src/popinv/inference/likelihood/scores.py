"""Scores of given observations at an estimate, by estimator."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from popinv.inference.likelihood import pseudo
from popinv.inference.likelihood.marginal import MarginalSettings
from popinv.inference.likelihood.marginal_near import likelihood_near
from popinv.inference.likelihood.model_moments import matched_draws, moments_of_systems
from popinv.inference.problem import Problem
from popinv.inference.surrogate_bias import Scores

if TYPE_CHECKING:
    from popinv.inference.distance_influence import DistanceInfluence


def pseudo_scores(problem: Problem, p: np.ndarray, draws: int | None = None) -> Scores:
    """Return the scores of the pseudo-likelihood at p, by default with all draws."""
    alpha, gamma = (torch.from_numpy(part.copy()) for part in problem.split(p))
    moments = moments_of_systems(problem, alpha, gamma, matched_draws(problem, draws))
    return lambda observed: pseudo.evaluate(observed, moments).scores


def marginal_scores(problem: Problem, p: np.ndarray, settings: MarginalSettings) -> Scores:
    """Return the scores of the marginal likelihood at p."""
    stage = f"{problem.stage}/fresh"
    return lambda observed: likelihood_near(replace(observed, stage=stage), p, settings).here.scores


def distance_scores(influence: DistanceInfluence) -> Scores:
    """Return the scores that correspond to the influence function of the distance."""
    return lambda observed: influence.of_rows(observed.data) @ influence.matrix
