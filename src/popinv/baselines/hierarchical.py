r"""Hierarchical Bayes: the joint posterior of law, noise and every system's parameters.

.. math::
    p(\alpha, \gamma, \omega^{1..N} \mid y) \propto p(\alpha)\, p(\gamma) \prod_n
    N(\omega^n; 0, I)\, p\bigl(y^n \mid G(T(\alpha, \omega^n)), \gamma\bigr),

sampled by NUTS. Systems enter through the standard normal omega that the law maps to parameters
(the non-centred form), so the sampler serves any law of the package, with or without a density.
The prior of alpha and gamma is normal in the unconstrained coordinates about the start. Its
standard deviation is a few times the scale of a natural change, so it is wide compared with the
information in the data, unless the data carry none.

If its model is right, this method is the reference for accuracy. It needs a differentiable model,
such as the surrogate, and its cost grows faster than the number of systems. It therefore uses at
most 100 of the systems, and its errors are for this number of systems, not for the study's N.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.errors import ConfigError, DivergenceError
from popinv.inference.answer.result import answer_dataset
from popinv.inference.density.densities import log_likelihood
from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv.threads import fixed_threads

# The prior's standard deviation, in natural scales of a change.
_PRIOR_SCALES = 3.0


@dataclass(frozen=True)
class NutsSettings:
    """Largest number of systems, iterations of the one chain, and depth of its trajectories."""

    systems: int = 100
    warmup: int = 500
    samples: int = 500
    tree_depth: int = 8


@dataclass(frozen=True)
class HierarchicalDraws:
    """Draws of (alpha, gamma), shape (samples, n_p), and the diagnostics of the chain.

    ``split_r_hat`` and ``effective_samples`` have an entry for each of the n_p parameters.
    """

    draws: np.ndarray
    systems: int
    divergences: int
    leapfrog_steps: int
    split_r_hat: np.ndarray
    effective_samples: np.ndarray


class Energy:
    """Negative log posterior of ``q = (standardised alpha, standardised gamma, omega)``.

    In these coordinates the prior of all entries is standard normal.

    Parameters
    ----------
    problem : Problem
        The problem with the systems that are used.
    centre : ndarray of shape (n_p,)
        Mean of the prior of (alpha, gamma).
    """

    def __init__(self, problem: Problem, centre: np.ndarray) -> None:
        self._problem = problem
        self._centre = torch.from_numpy(np.asarray(centre, dtype=float))
        self._width = torch.from_numpy(_PRIOR_SCALES * np.asarray(problem.scale, dtype=float))
        self.dimension = len(centre) + len(problem.data) * problem.law.d_omega

    def parameters(self, q: np.ndarray) -> np.ndarray:
        """Return (alpha, gamma) of positions q (..., dimension)."""
        head = q[..., : len(self._centre)]
        return self._centre.numpy() + self._width.numpy() * head

    def __call__(self, q: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the energy and its gradient, or infinity and zeros if it is not finite."""
        position = torch.from_numpy(q.copy()).requires_grad_(True)
        n_p, d_alpha = len(self._centre), self._problem.d_alpha
        p = self._centre + self._width * position[:n_p]
        omega = position[n_p:].reshape(len(self._problem.data), -1)
        try:
            signal = self._problem.signal(p[:d_alpha], omega, self._problem.known)
            fit = log_likelihood(self._problem, p[d_alpha:], signal).sum()
            energy = 0.5 * (position**2).sum() - fit
            (gradient,) = torch.autograd.grad(energy, position)
        except (torch.linalg.LinAlgError, DivergenceError):
            return float("inf"), np.zeros_like(q)
        if not (torch.isfinite(energy) and torch.isfinite(gradient).all()):
            return float("inf"), np.zeros_like(q)
        return energy.item(), gradient.numpy()


def sample_posterior(
    problem: Problem,
    start: tuple[np.ndarray, np.ndarray],
    settings: NutsSettings | None = None,
    progress: bool = True,
) -> HierarchicalDraws:
    """Sample the posterior of (alpha, gamma) given some of the problem's systems.

    Parameters
    ----------
    start : (alpha, gamma)
        Unconstrained: the start of the chain and the centre of the prior.
    progress : bool
        Whether to show a bar on standard error, if that is a terminal.

    Raises
    ------
    ConfigError
        If numpyro is not installed.
    """
    try:
        from popinv.inference.uncertainty.numpyro_sampler import sample
    except ImportError as error:
        raise ConfigError(
            f"assessment.baselines requests 'nuts', which needs numpyro ({error}). Install it "
            "with `python -m pip install 'popinv[bayes]'`, or leave 'nuts' out."
        ) from None
    settings = settings or NutsSettings()
    count = min(settings.systems, len(problem.data))
    chosen = generator(problem.seed, "nuts/systems").choice(len(problem.data), count, replace=False)
    energy = Energy(problem.of_systems(np.sort(chosen)), np.concatenate(start))
    with fixed_threads():
        chain = sample(
            energy,
            np.zeros(energy.dimension),
            seed=int(generator(problem.seed, "nuts").integers(2**31)),
            warmup=settings.warmup,
            samples=settings.samples,
            tree_depth=settings.tree_depth,
            progress=progress and sys.stderr.isatty(),
        )
    n_p = len(problem.free)
    return HierarchicalDraws(
        draws=energy.parameters(chain.positions),
        systems=count,
        divergences=chain.divergences,
        leapfrog_steps=chain.leapfrog_steps,
        split_r_hat=chain.split_r_hat[:n_p],
        effective_samples=chain.effective_samples[:n_p],
    )


def posterior_dataset(problem: Problem, posterior: HierarchicalDraws) -> xr.Dataset:
    """Return the posterior mean as the answer, 95 % credible intervals, and the diagnostics."""
    d_alpha, draws = problem.d_alpha, posterior.draws
    mean = draws.mean(axis=0)
    dataset = answer_dataset(
        problem,
        mean[:d_alpha],
        mean[d_alpha:],
        {
            "systems_used": posterior.systems,
            "divergences": posterior.divergences,
            "leapfrog_steps": posterior.leapfrog_steps,
        },
    )
    for name, dim, part, natural in (
        ("law", "law_parameter", slice(None, d_alpha), problem.law.to_natural),
        ("noise", "noise_parameter", slice(d_alpha, None), problem.noise.to_natural),
    ):
        low, high = np.quantile(natural(draws[:, part]), [0.025, 0.975], axis=0)
        interval = f"end of the 95 % posterior interval of the {name}"
        dataset[f"{name}_lower"] = variable(dim, low, f"lower {interval}")
        dataset[f"{name}_upper"] = variable(dim, high, f"upper {interval}")
        r_hat, effective = posterior.split_r_hat[part], posterior.effective_samples[part]
        dataset[f"{name}_split_r_hat"] = variable(dim, r_hat, f"split R-hat of the {name}")
        dataset[f"{name}_effective_samples"] = variable(
            dim, effective, f"effective number of posterior draws of the {name}"
        )
    return dataset
