"""A study with the peers' parts: a Firedrake solver, a PyTorch loop, the predecessor's descent.

Rounds as in the package: draw parameters, solve, train on all solves so far, descend, and draw
from the law found; then the last descent. Laws, noise models, the network and the scaling of its
inputs and outputs are the package's, so that only those parts differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.peers.predecessor import Predecessor
from benchmarks.peers.training import batches_of, data_loader, fit
from popinv.inference.density.problem import Problem
from popinv.population.synthetic import parameters
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training import TrainingData, TrainingSettings, prepare

__all__ = ["descend", "plain_study", "plain_training"]

_LEARNING_RATE = 0.05


def plain_training(
    data: TrainingData, settings: TrainingSettings, initial: Surrogate | None
) -> Surrogate:
    """Return a surrogate trained by a plain PyTorch loop with a ``DataLoader``."""
    made = prepare(data, settings, initial)
    rng, rows = np.random.default_rng(0), len(made.training[0])
    batches = batches_of(rows, settings.batch_size, lambda epoch: rng.permutation(rows))
    fit(
        made.network,
        data_loader(made.training, batches),
        made.validation,
        made.error_map,
        settings.learning_rate,
        settings.max_epochs,
        settings.max_epochs * -(-rows // settings.batch_size),
    )
    return Surrogate(made.network, made.standardisation, dict(settings.hyperparameters))


def descend(problem: Problem, p: np.ndarray, directions: int, iterations: int) -> np.ndarray:
    """Return the last of the predecessor's iterates."""
    descent = Predecessor(problem, p, directions, iterations, _LEARNING_RATE)
    for _ in range(iterations):
        descent.iterate()
    return descent.p.detach().numpy()


def plain_study(
    problem: Problem,
    solve: Callable[[np.ndarray], np.ndarray],
    design: np.ndarray,
    start: np.ndarray,
    how: Callable[[int, np.ndarray | None], TrainingSettings],
    rounds: int,
    directions: int,
    iterations: Sequence[int],
) -> np.ndarray:
    """Return (alpha, gamma), unconstrained.

    Parameters
    ----------
    problem : Problem
        Its simulator is not used.
    solve : callable
        From parameters (n, d_z) to observations (n, d_y).
    design : ndarray of shape (n, d_z)
        Parameters of the first round; later rounds have as many.
    start : ndarray of shape (n_p,)
    how : callable
        From a round, and the noise covariance it starts from, to the settings of its training.
    rounds : int
    directions : int
    iterations : (int, int)
        Iterations of each round's descent, and of the last descent.
    """
    z, y, p = design, solve(design), start
    surrogate, covariance = None, None
    for number in range(rounds):
        if number:
            alpha, gamma = p[: problem.d_alpha], torch.from_numpy(p[problem.d_alpha :])
            more = parameters(problem.law, alpha, problem.seed, f"propose/{number}", len(design))
            z, y = np.concatenate([z, more]), np.concatenate([y, solve(more)])
            covariance = problem.noise.covariance(gamma).numpy()
        surrogate = plain_training(TrainingData(z, y), how(number, covariance), surrogate)
        through = replace(problem, simulate=surrogate)
        p = descend(through, p, directions, iterations[0])
    return descend(through, p, directions, iterations[1])
