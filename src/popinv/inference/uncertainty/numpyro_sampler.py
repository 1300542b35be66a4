"""The No-U-Turn sampler of numpyro for a density given by value and gradient.

This is the only module that imports numpyro and JAX, which are optional. The density is computed
outside JAX, in torch. Every law, noise and network of the package can then be sampled without a
second implementation, and with the same surrogate as the descent. A call from JAX costs
some tenths of a millisecond in addition to the density's own time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import NUTS
from scipy.special import ndtri
from scipy.stats import rankdata
from tqdm import tqdm


@dataclass(frozen=True)
class Chain:
    """The draws and diagnostics of a chain.

    Attributes
    ----------
    positions : ndarray of shape (samples, n)
    divergences : int
        Trajectories that left the region where the integrator is stable.
    leapfrog_steps : int
        Number of gradients, without warm-up.
    split_r_hat, effective_samples : ndarray of shape (n,)
        Gelman and Rubin's statistic between the halves of the chain, near 1 for a converged chain,
        and the effective sample size.
    """

    positions: np.ndarray
    divergences: int
    leapfrog_steps: int
    split_r_hat: np.ndarray
    effective_samples: np.ndarray


def sample(
    energy: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: np.ndarray,
    seed: int,
    warmup: int,
    samples: int,
    tree_depth: int,
    progress: bool = False,
) -> Chain:
    """Sample the density ``exp(-energy)`` by one chain.

    Parameters
    ----------
    energy : callable
        Maps a position (n,) to the energy and its gradient (n,).
    start : ndarray of shape (n,)
    warmup, samples : int
        Iterations that adapt step and mass and are discarded, and iterations that are kept.
    tree_depth : int
        A trajectory has at most ``2**tree_depth`` steps.
    progress : bool
        Whether to show a bar on standard error.

    Notes
    -----
    Hoffman and Gelman, "The No-U-Turn Sampler", JMLR 15, 2014, with a diagonal mass matrix.
    """
    kernel, step, held = _sampler(len(start), tree_depth, warmup)
    held[:] = [energy]
    state = kernel.init(jax.random.PRNGKey(seed), warmup, jnp.asarray(start), (), {})
    kept = []
    with tqdm(total=warmup + samples, unit="draw", leave=False, disable=not progress) as bar:
        for turn in range(warmup + samples):
            state = step(state)
            bar.update()
            if turn >= warmup:
                kept.append((np.asarray(state.z), bool(state.diverging), int(state.num_steps)))
    held.clear()
    positions = np.array([position for position, _, _ in kept])
    return Chain(
        positions,
        sum(diverging for _, diverging, _ in kept),
        sum(steps for _, _, steps in kept),
        np.asarray(split_gelman_rubin(positions[None])),
        np.asarray(effective_sample_size(positions[None])),
    )


@lru_cache(maxsize=8)
def _sampler(
    size: int, tree_depth: int, warmup: int
) -> tuple[NUTS, Callable[[Any], Any], list[Callable[..., Any]]]:
    """Return the sampler of densities of this many variables, its step, and a list for the density.

    JAX compiles a step, which takes seconds, for each density function that it has not seen. The
    function here is the same for all, and calls the density in the list. numpyro's own loop would
    be compiled for each chain.
    """
    numpyro.enable_x64()
    held: list[Callable[..., Any]] = []
    shapes = (jax.ShapeDtypeStruct((), np.float64), jax.ShapeDtypeStruct((size,), np.float64))

    def outside(position: Any) -> tuple[np.float64, np.ndarray]:
        value, gradient = held[0](np.array(position, dtype=float))
        return np.float64(value), np.asarray(gradient, dtype=float)

    def both(position: Any) -> Any:
        return jax.pure_callback(outside, shapes, position)

    @jax.custom_vjp
    def potential(position: Any) -> Any:
        return both(position)[0]

    potential.defvjp(both, lambda gradient, cotangent: (cotangent * gradient,))
    kernel = NUTS(potential_fn=potential, max_tree_depth=tree_depth)
    return kernel, jax.jit(lambda state: kernel.sample(state, (), {})), held


def convergence(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return split R-hat and the bulk effective sample size of chains, each (n,).

    Both are of the ranks' normal scores (Vehtari, Gelman, Simpson, Carpenter and Bürkner, Bayesian
    Analysis 16, 2021).

    Parameters
    ----------
    draws : ndarray of shape (chains, samples, n)
    """
    chains, samples, size = draws.shape
    flat = rankdata(draws.reshape(-1, size), axis=0)
    scores = ndtri((flat - 0.375) / (chains * samples + 0.25)).reshape(draws.shape)
    half = samples // 2
    halves = np.concatenate([scores[:, :half], scores[:, samples - half :]])
    return np.asarray(split_gelman_rubin(scores)), np.asarray(effective_sample_size(halves))
