r"""The posterior of law and noise given all systems, by the No-U-Turn sampler.

With the marginal likelihood of p = (alpha, gamma) and a prior,

.. math:: \pi(p) \propto \prod_n p(y_n \mid p)\; p_0(p),

in the unconstrained coordinates, so that the prior has its Jacobian. The systems' parameters are
integrated, and only the few entries of p are sampled. The chains start about the mode of this
density, in coordinates in which its curvature there is the identity.

*Correction for the draws.* If the likelihood needs draws, the chains see one set of draws,
:math:`\hat L_1(p)`, which is a smooth function of p. Each draw p_i of the chains then gets an
independent estimate :math:`\hat L_2(p_i)` from new draws, and the weight

.. math:: w_i \propto \hat L_2(p_i) / \hat L_1(p_i) .

The estimates of the systems' integrals are unbiased and independent, so that the weighted draws
have the exact posterior for any number of draws (Vihola, Helske and Franks, Scand. J. Statist. 47,
2020). The logarithms are by the jackknife, whose exponential is larger by the factor
exp(variance / 2); the variance is about the same at all p_i. The draws are resampled by their
weights, system by system within each chain. A closed form needs no correction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.optimize import minimize

from popinv.errors import ConfigError, DivergenceError
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.closed_form import ClosedForm, is_linear
from popinv.inference.estimators.marginal_estimate import Likelihood, point_of
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.population.priors.prior import StatedPrior
from popinv.seeds import generator
from popinv.threads import fixed_threads

# Limits beyond which the chains are called poor, and the share of the draws that must count after
# the correction.
LARGEST_R_HAT, FEWEST_EFFECTIVE, LEAST_SHARE = 1.02, 200.0, 0.5
_TREE_DEPTH = 8
# Steps of the curvature's differences; the largest standard deviation of a coordinate in its first
# scale, and the distance of the chains' starts in standard deviations.
_STEP, _WIDEST, _APART = 0.05, 5.0, 1.0
_MOST_ITERATIONS, _SMALL_SLOPE = 200, 1e-3


class LogPrior(Protocol):
    """The logarithm of a prior density of p, up to a constant."""

    def value(self, p: np.ndarray, jacobian: bool = False) -> float:
        """Return it at p (n_p,), in natural values, or of p itself with the Jacobian."""
        ...

    def gradient(self, p: np.ndarray, jacobian: bool = False) -> np.ndarray:
        """Return its derivatives in p (n_p,)."""
        ...


@dataclass(frozen=True)
class ChainSettings:
    """Number of chains, of draws of each that are kept, and of draws before them."""

    chains: int = 4
    kept: int = 250
    warmup: int = 200


@dataclass(frozen=True)
class LawPosterior:
    """Draws of the posterior of p, and how good they are.

    Attributes
    ----------
    p : ndarray of shape (chains, draws, n_p)
        Equally weighted.
    log_likelihood : ndarray of shape (chains, draws, N)
        log p(y_n | p) of each system.
    r_hat, effective : ndarray of shape (n_p,)
        Split R-hat and bulk effective sample size of the chains; NaN for entries that are held.
    effective_share : float
        Effective share of the draws after the correction; 1 for a closed form.
    divergences, evaluations : int
    returned : float
        Difference of the log density at the mode after the chains and before them; zero, as it
        depends on p alone.
    """

    p: np.ndarray
    log_likelihood: np.ndarray
    r_hat: np.ndarray
    effective: np.ndarray
    effective_share: float
    divergences: int
    evaluations: int
    returned: float = 0.0

    def reason(self, names: tuple[str, ...]) -> str:
        """Return why the draws are poor, in words with the names of the entries, or ""."""
        reasons = []
        known = np.flatnonzero(np.isfinite(self.r_hat))
        worst = known[np.argmax(self.r_hat[known])]
        if self.r_hat[worst] > LARGEST_R_HAT:
            reasons.append(
                f"the chains differ: split R-hat of {names[worst]} is {self.r_hat[worst]:.3g} "
                f"(limit {LARGEST_R_HAT:g})"
            )
        fewest = known[np.argmin(self.effective[known])]
        if self.effective[fewest] < FEWEST_EFFECTIVE:
            reasons.append(
                f"{names[fewest]} has an effective sample size of {self.effective[fewest]:.0f} "
                f"(at least {FEWEST_EFFECTIVE:.0f})"
            )
        if self.effective_share < LEAST_SHARE:
            reasons.append(
                f"only {self.effective_share:.0%} of the draws count after the correction for the "
                "likelihood's own draws; raise polish.draws"
            )
        return "; ".join(reasons)


def sample_law(
    problem: Problem,
    answer: np.ndarray,
    prior: LogPrior,
    settings: ChainSettings | None = None,
    marginal: MarginalSettings | None = None,
    likelihood: Likelihood | None = None,
) -> LawPosterior:
    """Sample the posterior of p given all systems.

    Parameters
    ----------
    problem : Problem
        Entries that it holds stay at the answer.
    answer : ndarray of shape (n_p,)
        The estimate, about which the draws of the likelihood are adapted.
    prior : LogPrior
        The whole prior of p; the priors that the study states do not count beside it.
    marginal : MarginalSettings, optional
        Draws of each system's integral.
    likelihood : Likelihood, optional
        A likelihood without an error of draws, where one is known.

    Raises
    ------
    ConfigError
        If numpyro is not installed.
    DivergenceError
        If the posterior is not finite at the answer, or has no mode near it.
    """
    try:
        from popinv.inference.uncertainty.numpyro_sampler import convergence, sample
    except ImportError as error:
        raise ConfigError(
            f"the posterior of the law needs numpyro ({error}). Install it with "
            "`python -m pip install 'popinv[bayes]'`."
        ) from None
    settings, marginal = settings or ChainSettings(), marginal or MarginalSettings()
    with fixed_threads():
        target = PosteriorDensity.about(
            problem, np.asarray(answer, dtype=float), prior, marginal, likelihood
        ).preconditioned()
        rng, chains = generator(problem.seed, f"{problem.stage}/law_posterior"), []
        mode = np.zeros(target.root.shape[1])
        before = target(mode)[0]
        for _ in range(settings.chains):
            start = np.asarray(_APART * rng.standard_normal(len(mode)))
            while not np.isfinite(target(start)[0]):
                start *= 0.5
            seed = int(rng.integers(2**31))
            chains.append(sample(target, start, seed, settings.warmup, settings.kept, _TREE_DEPTH))
        returned = target(mode)[0] - before
        positions = np.array([chain.positions for chain in chains])
        r_hat, effective = (np.full(len(answer), np.nan) for _ in range(2))
        drawn = target.parameters(positions)
        free = np.flatnonzero(problem.free)
        r_hat[free], effective[free] = convergence(drawn[..., free])
        p, log_likelihood, share = _corrected(target, drawn, rng)
    return LawPosterior(
        p,
        log_likelihood,
        r_hat,
        effective * share,
        share,
        sum(chain.divergences for chain in chains),
        sum(chain.leapfrog_steps for chain in chains),
        returned,
    )


@dataclass(frozen=True)
class PosteriorDensity:
    """The negative logarithm of the posterior in coordinates q: p = centre + root q.

    Attributes
    ----------
    likelihood : Likelihood
    memory : mapping
        From which every evaluation starts, so that it is a function of p alone.
    closed : bool
        Whether the likelihood has a closed form.
    centre, root : ndarray of shape (n_p,), (n_p, k)
    """

    problem: Problem
    likelihood: Likelihood
    memory: Mapping[str, np.ndarray]
    closed: bool
    prior: LogPrior
    settings: MarginalSettings
    centre: np.ndarray
    root: np.ndarray

    @classmethod
    def about(
        cls,
        problem: Problem,
        p: np.ndarray,
        prior: LogPrior,
        settings: MarginalSettings,
        likelihood: Likelihood | None = None,
    ) -> PosteriorDensity:
        """Return the target near an estimate, in coordinates of the entries' natural scales."""
        # The likelihood of an estimate contains the stated priors, which are part of ``prior``.
        problem = replace(problem, stated_prior=StatedPrior())
        scale = np.where(problem.logarithmic, 1.0, problem.scale)
        root = np.diag(scale)[:, problem.free]
        if likelihood is None and is_linear(problem, p):
            likelihood = ClosedForm(problem)
        if likelihood is not None:
            memory = likelihood(p).memory
            return cls(problem, likelihood, memory, True, prior, settings, p, root)
        near = likelihood_near(problem, p, settings)
        return cls(problem, near, near.here.memory, False, prior, settings, p, root)

    def parameters(self, q: np.ndarray) -> np.ndarray:
        """Return p (..., n_p) for q (..., k)."""
        return self.centre + q @ self.root.T

    def __call__(self, q: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the energy and its gradient (k,), or infinity and zeros if it is not finite."""
        p = self.parameters(q)
        try:
            point = point_of(self.problem, p, self.likelihood(p, self.memory, None))
        except (DivergenceError, np.linalg.LinAlgError):
            return np.inf, np.zeros_like(q)
        value = point.value + self.prior.value(p, jacobian=True)
        slope = point.gradient + self.prior.gradient(p, jacobian=True)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            return np.inf, np.zeros_like(q)
        return -value, -self.root.T @ slope

    def preconditioned(self) -> PosteriorDensity:
        """Return the target about its mode, in coordinates in which the curvature is the identity.

        Raises
        ------
        DivergenceError
            If the target is not finite at the estimate, or no mode is near it.
        """
        mode = self._mode()
        size = len(mode)
        rows = [(self(mode + s)[1] - self(mode - s)[1]) / (2 * _STEP) for s in _STEP * np.eye(size)]
        hessian = (np.array(rows) + np.array(rows).T) / 2
        values, vectors = np.linalg.eigh(hessian)
        # A direction that neither the data nor the prior determine keeps its first scale.
        root = vectors / np.sqrt(np.maximum(values, _WIDEST**-2))
        return replace(self, centre=self.parameters(mode), root=self.root @ root)

    def _mode(self) -> np.ndarray:
        """Return the mode (k,).

        At a deviation of zero, the Jacobian's slope leads the search away from the boundary.
        """
        start = np.zeros(self.root.shape[1])
        if not np.isfinite(self(start)[0]):
            raise DivergenceError(f"the posterior is not finite at the estimate {self.centre}")
        found = minimize(_walled(self), start, jac=True, method="BFGS", options=_OPTIONS)
        if not np.isfinite(self(found.x)[0]):
            raise DivergenceError(f"the posterior has no mode near {self.centre}")
        return np.asarray(found.x)


_OPTIONS = {"maxiter": _MOST_ITERATIONS, "gtol": _SMALL_SLOPE}


def _walled(target: PosteriorDensity) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Return the target with a high finite value where it is infinite, for the line search."""

    def walled(q: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = target(q)
        return (value, slope) if np.isfinite(value) else (1e10, slope)

    return walled


def _corrected(
    target: PosteriorDensity, drawn: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return draws of the exact posterior, their log likelihoods, and the effective share.

    Parameters
    ----------
    drawn : ndarray of shape (chains, draws, n_p)
    """
    chains, draws, _ = drawn.shape
    flat = drawn.reshape(chains * draws, -1)
    problem, memory = target.problem, target.memory
    if target.closed:
        each = [target.likelihood(p, memory, None).log_likelihood for p in flat]
        return drawn, np.array(each).reshape(chains, draws, -1), 1.0
    settings = replace(target.settings, scores=False)
    hard = getattr(target.likelihood, "hard", None)
    seen, fresh = [], []
    for i, p in enumerate(flat):
        seen.append(target.likelihood(p, memory, None).log_likelihood.sum())
        own = replace(problem, stage=f"{problem.stage}/law_posterior/{i}")
        fresh.append(likelihood_near(own, p, settings, None, memory, None, hard).here)
    log_likelihood = np.array([each.log_likelihood for each in fresh])
    log_weight = (log_likelihood.sum(axis=1) - np.array(seen)).reshape(chains, draws)
    weight = np.exp(log_weight - log_weight.max())
    share = float(weight.sum() ** 2 / (weight**2).sum() / weight.size)
    chosen = np.array([_resampled(row, rng) + k * draws for k, row in enumerate(weight)])
    return flat[chosen], log_likelihood[chosen], share


def _resampled(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return positions (n,) by systematic resampling, in increasing order."""
    edges = np.cumsum(weight / weight.sum())
    places = (np.arange(len(weight)) + rng.random()) / len(weight)
    return np.minimum(np.searchsorted(edges, places), len(weight) - 1)
