"""The first test problem: four mixtures of three normal laws in the plane.

Each objective has its own corner component of weight 0.2, and shares two components, (-2, 0) of
weight 0.7 and (2, 0) of weight 0.1. All have covariance I/2 and means shifted by N(0, 0.3^2). The
setting is that of the authors' released script, in which the line that finds the weights of least
norm is commented out: its weights stay at 1/4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from popinv.seeds import generator
from popinv_papers.kit.simplex import least_norm
from popinv_papers.mwgrad.descent import Settings, State, begin, run, step
from popinv_papers.mwgrad.kernels import radial_kernel
from popinv_papers.mwgrad.targets import NormalMixture
from popinv_papers.mwgrad.velocities import velocities

CORNERS = ((4.0, 4.0), (-4.0, 4.0), (-4.0, -4.0), (4.0, -4.0))
SHARED = ((-2.0, 0.0), (2.0, 0.0))
METHODS = ("svgd", "blob", "gfsd")
RULES = ("fixed", "minnorm", "first_alone", "in_turn")
_PARTICLES, _STEPS, _RATE, _NEAR = 50, 1500, 3e-2, 2.0
_SHARES, _VARIANCE, _JITTER = np.array([0.2, 0.7, 0.1]), 0.5, 0.3
# With a kernel of constant width, Blob descends an energy that can be evaluated.
_WIDTH, _RISE_STEPS, _RISE_RATE = 1.0, 200, 0.05


def four_mixtures(seed: int) -> list[NormalMixture]:
    """Return the four targets with randomly shifted means."""
    targets = []
    for index, corner in enumerate(CORNERS):
        shift = _JITTER * generator(seed, "mwgrad/means", index).standard_normal((3, 2))
        targets.append(NormalMixture(_SHARES, np.array([corner, *SHARED]) + shift, _VARIANCE))
    return targets


def broad_start(seed: int, stage: str = "mwgrad/particles") -> np.ndarray:
    """Return particles about the origin with deviation 5, none beyond 10, (50, 2)."""
    draw = generator(seed, stage).standard_normal((_PARTICLES, 2))
    return np.clip(5 * draw, -10, 10)


def mean_neg_log_p(targets: Sequence[NormalMixture], x: np.ndarray) -> float:
    """Return the mean over objectives and particles of -log p_k(x_i)."""
    return float(-np.mean([target.log_density(x) for target in targets]))


def shared_share(x: np.ndarray) -> float:
    """Return the share of the particles within 2 of a component that all objectives share."""
    distances = np.linalg.norm(x[:, None] - np.array(SHARED), axis=2)
    return float((distances.min(axis=1) < _NEAR).mean())


def runs_of(
    seed: int, rules: Sequence[str] = RULES, steps: int = _STEPS
) -> dict[str, dict[str, Any]]:
    """Run each velocity with each rule for the weights, by Adam from a broad start.

    Parameters
    ----------
    seed : int
        Seed of the targets and of the start.
    rules : sequence of str
        ``fixed`` is 1/4 each, as in the authors' script; ``minnorm`` the weights of least norm;
        ``step`` small projected steps towards them. Two controls do not merge: ``first_alone``
        descends the first objective only, and ``in_turn`` one objective after another.
        ``other_start`` is ``fixed`` from another draw of the particles.

    Returns
    -------
    dict
        By "method_rule": the last ``particles`` (50, 2) and ``weights`` (4,), ``share`` at the
        shared components, ``mean_neg_log_p``, and ``least_norm``, the least norm of a merged
        velocity at the last particles, which is zero where they are Pareto stationary.
    """
    targets = four_mixtures(seed)
    found = {}
    for method in METHODS:
        for rule in rules:
            start = broad_start(seed, f"mwgrad/{'other' if rule == 'other_start' else 'particles'}")
            weights = rule if rule in ("minnorm", "step") else "fixed"
            settings = Settings(method, weights, "adam", rate=_RATE, seed=seed)
            state = begin(start, len(targets))
            for _ in range(steps):
                state, _ = step(_chosen(state, rule), targets, settings)
            x = state.particles
            found[f"{method}_{rule}"] = {
                "particles": x,
                "weights": state.weights,
                "share": shared_share(x),
                "mean_neg_log_p": mean_neg_log_p(targets, x),
                "least_norm": _least_norm_at(method, targets, x),
            }
    return found


def _chosen(state: State, rule: str) -> State:
    """Return the state with the weights of a rule that does not merge."""
    if rule not in ("first_alone", "in_turn"):
        return state
    objective = state.iteration % len(state.weights) if rule == "in_turn" else 0
    return replace(state, weights=np.eye(len(state.weights))[objective])


def _least_norm_at(method: str, targets: Sequence[NormalMixture], x: np.ndarray) -> float:
    # Nothing is drawn for these velocities.
    _, gram = velocities(method, targets, x, _RATE, np.random.default_rng(0))
    w = least_norm(gram)
    return float(np.sqrt(max(w @ gram @ w, 0.0)))


def energies(targets: Sequence[NormalMixture], x: np.ndarray) -> np.ndarray:
    """Return F_k = mean_i [log mean_j K(x_i, x_j) - log p_k(x_i)] with a kernel of width 1, (K,).

    Blob's velocities with that kernel are n times minus its gradients.
    """
    entropy = np.log(radial_kernel(x, x, _WIDTH).values.mean(axis=1)).mean()
    return entropy - np.array([target.log_density(x).mean() for target in targets])


def rises(seed: int, weights: str, steps: int = _RISE_STEPS) -> np.ndarray:
    """Return by how much each objective rises in all steps that raise it, (K,).

    The particles start from draws of the first target, which suit the first objective. They make
    plain steps of Blob with a kernel of constant width, under weights of least norm or equal ones.
    """
    targets = four_mixtures(seed)
    rng = generator(seed, "mwgrad/first_target")
    means = targets[0].means[rng.choice(len(_SHARES), _PARTICLES, p=_SHARES)]
    start = means + _VARIANCE**0.5 * rng.standard_normal((_PARTICLES, 2))
    settings = Settings("blob", weights, "plain", _RISE_RATE, bandwidth=_WIDTH)
    path = np.array([energies(targets, x) for x in _path(start, targets, settings, steps)])
    return np.maximum(np.diff(path, axis=0), 0).sum(axis=0)


def _path(
    start: np.ndarray, targets: Sequence[NormalMixture], settings: Settings, steps: int
) -> Iterator[np.ndarray]:
    state = begin(start, len(targets))
    yield state.particles
    for _ in range(steps):
        state, _ = run(state, targets, settings, 1)
        yield state.particles


def descent_curve(seed: int, settings: Settings, steps: int) -> np.ndarray:
    """Return the mean of -log p after each step from a start of deviation 3, (steps,)."""
    targets = four_mixtures(seed)
    start = 3 * generator(seed, "mwgrad/accelerated").standard_normal((_PARTICLES, 2))
    path = _path(start, targets, settings, steps)
    return np.array([mean_neg_log_p(targets, x) for x in path][1:])
