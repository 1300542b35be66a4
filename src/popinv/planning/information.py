r"""The information of one system about law and noise, at any subset of candidate places.

A system of parameters z is observed at the places e of all candidates, R times. Near z the
simulator is linear in the transformed parameters x (:mod:`popinv.population.constraints`), in which
the law is normal with mean mu(alpha) and covariance X X^T:

.. math:: y \approx G(z) + A\,(x' - x) + \xi, \qquad A = \partial G / \partial x .

y is then normal with the mean :math:`m = G(z) + A(\mu - x)` and, of the mean over R replicates,
the covariance

.. math:: C = S + \Gamma / R, \qquad S = F F^T, \qquad F = A X .

With x, A and the signal of the noise held where they are, the derivatives in p = (alpha, gamma) are
:math:`\partial_i m = A\, \partial_i \mu` and :math:`\partial_i C = \partial_i (A X X^T A^T) +
\partial_i \Gamma / R`. The information of one system is

.. math::
    I_{ij} = E_z \Bigl[ \partial_i m^T C^{-1} \partial_j m
      + \tfrac12 \operatorname{tr} C^{-1} \partial_i C\, C^{-1} \partial_j C
      + \tfrac{R - 1}{2} \operatorname{tr} \Gamma^{-1} \partial_i \Gamma\,
        \Gamma^{-1} \partial_j \Gamma \Bigr],

where the last term is what the differences of replicates tell. The mean is over systems that are
drawn from the law. It is exact if the simulator is linear in x and the noise does not depend on the
signal. Pharmacometrics calls it the expected information with conditional linearisation; with the
typical system alone, omega = 0, it is the first-order information with a block for the means and a
block for the variances (Retout, Duffull and Mentre, Comput. Methods Programs Biomed. 65, 2001).

Laws that are not normal in x, such as mixtures, take mean and covariance of the whole population
(:mod:`popinv.inference.integrate.model_moments`) in place of those about single systems.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv.errors import DivergenceError
from popinv.forward.tangents import each_tangent
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.draws import quasi_random
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.late import torch
from popinv.population.known import Known
from popinv.population.laws.base import Law
from popinv.seeds import generator

# Steps of differences: of the simulator, of the law, and of the noise.
_STEP, _LAW_STEP, _NOISE_STEP = 1e-3, 1e-4, 1e-4
# Largest departure of x from an affine function of omega, in standard deviations of x.
_AFFINE = 1e-6
# Standard deviation of the noise of an observation given the others, as a share of its own, below
# which it is the same observation. Kernels add 1e-8 to the variance at equal places.
_SAME = 1e-3
# Largest number of entries of the derivatives of all covariances.
_NUMBERS = 2**25
# Largest number of entries of the derivatives of the covariances of the subsets of one call.
_BLOCK = 2**22
# Draws of the law for the moments of the whole population.
_MOMENT_DRAWS = 8000


@dataclass(frozen=True)
class LocalMoments:
    """Mean and covariance of all d candidates about K systems, with derivatives in p.

    Attributes
    ----------
    of_mean : Tensor of shape (K, n_p, d)
    signal, noise : Tensor of shape (K, d, d)
        S and Gamma.
    of_signal, of_noise : Tensor of shape (K, n_p, d, d)
    factor : Tensor of shape (K, d, q) or None
        F; None for the moments of the whole population.
    spread : Tensor of shape (K, d_z, q) or None
        X.
    """

    of_mean: torch.Tensor
    signal: torch.Tensor
    noise: torch.Tensor
    of_signal: torch.Tensor
    of_noise: torch.Tensor
    factor: torch.Tensor | None = None
    spread: torch.Tensor | None = None

    @property
    def count(self) -> int:
        """Number of candidates, d."""
        return self.of_mean.shape[2]

    def information(self, places: np.ndarray, replicates: int = 1) -> np.ndarray:
        """Return the information of one system at each of some subsets of the candidates.

        Parameters
        ----------
        places : ndarray of int, shape (B, m)
            The places of each subset.
        replicates : int
            R.

        Returns
        -------
        ndarray of shape (B, n_p, n_p)
            NaN for a subset that repeats an observation: two of its places have the same signal and
            the same noise.
        """
        K, n_p, _ = self.of_mean.shape
        m = places.shape[1]
        size = max(1, _BLOCK // max(1, K * n_p * m * m))
        found = [
            self._of_subsets(torch.from_numpy(places[i : i + size]), replicates)
            for i in range(0, len(places), size)
        ]
        return np.concatenate(found)

    def _of_subsets(self, places: torch.Tensor, replicates: int) -> np.ndarray:
        of_mean = self.of_mean[:, :, places].movedim(2, 1)
        noise = _square(self.noise, places)
        of_noise = _square(self.of_noise, places).movedim(2, 1)
        covariance = _square(self.signal, places) + noise / replicates
        change = _square(self.of_signal, places).movedim(2, 1) + of_noise / replicates
        root, singular = _factor(covariance)
        # Precise places are far from independent, and yet no repetition: their noise tells.
        of_one, repeated = _factor(noise, _SAME)
        white = torch.linalg.solve_triangular(root, of_mean.mT, upper=False)
        total = white.mT @ white + 0.5 * _products(root, change)
        if replicates > 1:
            total = total + 0.5 * (replicates - 1) * _products(of_one, of_noise)
        repeated = repeated | singular
        found = total.mean(dim=0)
        found[repeated] = torch.nan
        return found.numpy()

    def posterior_variances(self, places: np.ndarray, replicates: int = 1) -> np.ndarray:
        r"""Return what a system's observations leave of the variance of its parameters.

        With law and noise known, x given y has the covariance :math:`X (I + R F^T \Gamma^{-1}
        F)^{-1} X^T`.

        Parameters
        ----------
        places : ndarray of int, shape (B, m)

        Returns
        -------
        ndarray of shape (B, d_z)
            Shares of the variance over the population, averaged over systems; NaN for a parameter
            that does not vary.
        """
        if self.factor is None or self.spread is None:
            raise ValueError("the moments of the whole population say nothing of single systems")
        found, X = [], self.spread
        of_law = (X**2).sum(dim=2)
        eye = torch.eye(X.shape[2], dtype=X.dtype)
        for one in torch.from_numpy(places):
            F = self.factor[:, one]
            root, repeated = _factor(_square(self.noise, one[None]), _SAME)
            root = root[:, 0]
            white = torch.linalg.solve_triangular(root, F, upper=False)
            precision = eye + replicates * white.mT @ white
            inner = torch.linalg.solve_triangular(
                torch.linalg.cholesky(precision), X.mT, upper=False
            )
            share = (inner**2).sum(dim=1) / of_law
            found.append((torch.nan if repeated else 1.0) * share.mean(dim=0).numpy())
        return np.array(found)


def _square(matrices: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the rows and columns (..., B, m, m) of matrices (..., d, d) at places (B, m)."""
    return matrices[..., places[:, :, None], places[:, None, :]]


def _factor(covariance: torch.Tensor, least: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the factors of covariances (K, B, m, m), and which sets B repeat an observation.

    An observation repeats others if its deviation given them is at most this share of its own.
    """
    root, fault = torch.linalg.cholesky_ex(covariance)
    deviation = torch.sqrt(covariance.diagonal(dim1=-2, dim2=-1))
    left = root.diagonal(dim1=-2, dim2=-1) / deviation
    repeated = (fault > 0) | ~(left > least).all(dim=-1)
    # The factor of a set that repeats an observation is not used.
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype)
    return torch.where(repeated[..., None, None], eye, root), repeated.any(dim=0)


def _products(root: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """Return tr C^-1 dC_i C^-1 dC_j (K, B, n_p, n_p) for factors (K, B, m, m) of C."""
    half = torch.linalg.solve_triangular(root[:, :, None], change, upper=False)
    both = torch.linalg.solve_triangular(root[:, :, None], half.mT, upper=False)
    flat = both.flatten(3)
    return flat @ flat.mT


def systems_of_law(problem: Problem, count: int, stage: str = "design") -> torch.Tensor:
    """Return evenly spread omega (count, d_omega) of systems of the law, in random order.

    Neighbours of a sequence of even points differ in a regular way, which would agree with the
    turns that systems take in their known quantities.
    """
    width = problem.law.d_omega
    points = quasi_random(problem, stage, np.zeros(1, dtype=int), count, width)[0, 0]
    order = generator(problem.seed, f"{stage}/order").permutation(count)
    return torch.special.ndtri(points[torch.from_numpy(order)])


def _known_of(problem: Problem, count: int) -> Known:
    """Return the known quantities of ``count`` systems, evenly spread over the problem's."""
    have = len(problem.known)
    if have <= count:
        return problem.known.in_turns(count)
    return problem.known.of(np.arange(count) * have // count)


def local_moments(problem: Problem, p: np.ndarray, omega: torch.Tensor) -> LocalMoments:
    """Return the moments about systems of given omega, by linearisation of the simulator.

    Parameters
    ----------
    problem : Problem
        All candidates, one replicate. The rows of ``omega`` take the known quantities of its
        systems in turns, or of some of them, evenly spread, if there are more.
    p : ndarray of shape (n_p,)
    omega : Tensor of shape (K, d_omega)

    Raises
    ------
    TypeError
        If the law is not normal in x (:func:`is_normal_law`).
    DivergenceError
        If the simulator gives no finite value, or no finite derivative.
    """
    n_p, d = len(problem.free), problem.data.shape[1]
    most = max(1, _NUMBERS // (n_p * d * d))
    omega = omega[:most]
    known = _known_of(problem, len(omega))
    alpha, gamma = problem.tensors(p)
    covariates = known.covariates[:, : problem.law.covariates]
    with torch.no_grad():
        x, mean, spread = _normal(problem.law, alpha, omega, covariates)
        _refuse_curved(x, mean, spread, omega)
        of_mean_x = x.new_zeros(n_p, *mean.shape)
        of_spread = x.new_zeros(n_p, *spread.shape)
        for i in np.flatnonzero(problem.free[: problem.d_alpha]):
            step = torch.zeros_like(alpha)
            step[i] = _LAW_STEP
            up, down = (
                _normal(problem.law, alpha + s, omega, covariates)[1:] for s in (step, -step)
            )
            of_mean_x[i] = (up[0] - down[0]) / (2 * _LAW_STEP)
            of_spread[i] = (up[1] - down[1]) / (2 * _LAW_STEP)
        moving = torch.nonzero((of_mean_x != 0).any(dim=(0, 1)) | (spread != 0).any(dim=(0, 2)))
        signal, slope = _linearised(problem, x, known.design, moving[:, 0])
        if not (torch.isfinite(signal).all() and torch.isfinite(slope).all()):
            raise DivergenceError(
                "the simulator, or its derivative, is not finite for a system of the law"
            )
        F = slope @ spread
        of_factor = torch.einsum("kdx,ikxq->kidq", slope, of_spread)
        half = of_factor @ F.mT[:, None]
        noise, of_noise = noise_moments(problem, gamma, signal, known.covariates)
        return LocalMoments(
            of_mean=torch.einsum("kdx,ikx->kid", slope, of_mean_x),
            signal=F @ F.mT,
            noise=noise,
            of_signal=half + half.mT,
            of_noise=of_noise,
            factor=F,
            spread=spread,
        )


def population_moments(problem: Problem, p: np.ndarray) -> LocalMoments:
    """Return the moments of the whole population, for each group of equal known quantities.

    Parameters
    ----------
    problem : Problem
        All candidates, one replicate.
    p : ndarray of shape (n_p,)
    """
    alpha, gamma = problem.tensors(p)
    held = problem.of_moments
    found = moments_of_systems(held, alpha, gamma, matched_draws(held, _MOMENT_DRAWS))
    groups = found.index(held)
    n_p = len(problem.free)

    def whole(derivatives: torch.Tensor) -> torch.Tensor:
        """Return derivatives in all entries of p, those of the others being zero."""
        shape = (derivatives.shape[0], n_p - derivatives.shape[1], *derivatives.shape[2:])
        return torch.cat([derivatives, derivatives.new_zeros(shape)], dim=1)[groups]

    return LocalMoments(
        whole(found.of_mean),
        found.signal[groups],
        found.noise[groups],
        whole(found.of_signal),
        found.of_noise[groups],
    )


def is_normal_law(problem: Problem, p: np.ndarray) -> bool:
    """Return whether the law is normal in the transformed parameters."""
    alpha, _ = problem.tensors(p)
    omega = systems_of_law(problem, 8)
    covariates = problem.known.in_turns(8).covariates[:, : problem.law.covariates]
    with torch.no_grad():
        try:
            _refuse_curved(*_normal(problem.law, alpha, omega, covariates), omega)
        except TypeError:
            return False
    return True


def normal_law(problem: Problem, p: np.ndarray) -> dict[int, float]:
    """Return the change of each mean that moves x by one standard deviation, by entry of p.

    The move is a root mean square over the parameters that the mean moves and that vary.
    """
    law, (alpha, _) = problem.law, problem.tensors(p)
    omega = torch.zeros(1, law.d_omega, dtype=torch.float64)
    covariates = problem.known.in_turns(1).covariates[:, : law.covariates]
    found = {}
    with torch.no_grad():
        spread = _normal(law, alpha, omega, covariates)[2]
        deviation = torch.sqrt((spread**2).sum(dim=2))[0]
        for i in range(problem.d_alpha):
            step = torch.zeros_like(alpha)
            step[i] = _LAW_STEP
            up, down = (_normal(law, alpha + s, omega, covariates)[1] for s in (step, -step))
            move = ((up - down) / (2 * _LAW_STEP))[0]
            moved = (move != 0) & (deviation > 0)
            if bool(moved.any()):
                found[i] = float(1 / torch.sqrt(((move / deviation)[moved] ** 2).mean()))
    return found


def _refuse_curved(
    x: torch.Tensor, mean: torch.Tensor, spread: torch.Tensor, omega: torch.Tensor
) -> None:
    affine = mean + (spread @ omega[..., None])[..., 0]
    size = torch.sqrt((spread**2).sum(dim=2)) + 1e-12 * (1 + mean.abs())
    if bool(((x - affine).abs() > _AFFINE * size + 1e-9 * (1 + x.abs())).any()):
        raise TypeError("the law is not normal in the transformed parameters")


def _normal(
    law: Law, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return x (K, d_z) at omega, and mean (K, d_z) and X (K, d_z, q) of the normal law of x."""

    def at(some: torch.Tensor) -> torch.Tensor:
        z = law.sample_given(alpha, some, covariates) if law.covariates else law.sample(alpha, some)
        return law.unbounded(z)

    zero = torch.zeros_like(omega)
    mean = at(zero)
    columns = []
    for j in range(omega.shape[1]):
        one = zero.clone()
        one[:, j] = 1.0
        columns.append(at(one) - mean)
    spread = torch.stack(columns, dim=2) if columns else mean[..., None][..., :0]
    return at(omega), mean, spread


def _linearised(
    problem: Problem, x: torch.Tensor, design: torch.Tensor, moving: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return G (K, d) and its derivatives in x, (K, d, d_z); zero in entries that do not move."""
    law, simulate = problem.law, problem.simulate

    def inputs_at(some: torch.Tensor) -> torch.Tensor:
        z = law.bounded(some)
        return torch.cat([z, design.to(z.dtype)], dim=1) if design.shape[1] else z

    ends = []
    for j in moving:
        step = torch.zeros_like(x)
        step[:, int(j)] = _STEP
        ends.append((inputs_at(x + step), inputs_at(x - step)))
    here = inputs_at(x)
    linearise = getattr(simulate, "linearise", None)
    if linearise is not None and getattr(simulate, "differentiable", True):
        tangents = torch.stack([(up - down) / (2 * _STEP) for up, down in ends])
        signal, changes = linearise(here, tangents)
    else:
        signal = simulate(here)
        changes = torch.stack([(simulate(up) - simulate(down)) / (2 * _STEP) for up, down in ends])
    slope = signal.new_zeros(*signal.shape, x.shape[1])
    slope[..., moving] = changes.movedim(0, 2)
    return signal.double(), slope.double()


def noise_moments(
    problem: Problem, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the covariance of the noise (K, d, d) given signals (K, d), and its derivatives."""
    noise, K, d_alpha = problem.noise, len(signal), problem.d_alpha
    free = problem.of_moments.free

    def at(c: torch.Tensor) -> torch.Tensor:
        if not noise.varies:
            return noise.covariance(c)[None]
        return noise.covariance_given(c, signal, covariates)

    here = at(gamma)
    change = here.new_zeros(len(here), len(free), *here.shape[1:])
    if noise.varies:
        for k in np.flatnonzero(free[d_alpha:]):
            step = torch.zeros_like(gamma)
            step[k] = _NOISE_STEP
            change[:, d_alpha + k] = (at(gamma + step) - at(gamma - step)) / (2 * _NOISE_STEP)
    elif len(gamma):
        change[0, d_alpha:] = torch.stack(list(each_tangent(noise.covariance, gamma)))
        change[:, torch.from_numpy(~free)] = 0.0
    return here.expand(K, -1, -1), change.expand(K, -1, -1, -1)
