r"""The marginal likelihood through draws that do not depend on law and noise.

With draws z_{ns} = T(alpha_0, omega_{ns}) of system n, omega_{ns} of density q_n,

.. math:: p(y_n \mid \alpha, \gamma) \approx \frac1S \sum_s N\bigl(y_n;\, G(z_{ns}),\, \Gamma_n
    (\gamma)\bigr)\, \frac{p(z_{ns} \mid \alpha)}{p(z_{ns} \mid \alpha_0)}\,
    \frac{\phi(\omega_{ns})}{q_n(\omega_{ns})} .

The approximation is a smooth function of (alpha, gamma) that needs no further solves (Monte Carlo
likelihood; Geyer, J. R. Statist. Soc. B 56, 1994). Its scores are the weighted means of the scores
of ``log p(z | alpha)`` and of the noise. A parameter that is the same in all systems has no
density; the model is solved anew for its derivative. The draws are good near (alpha_0, gamma_0), at
which the densities q_n are adapted to the posteriors
(:mod:`popinv.optimisation.adapted_mixtures`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from popinv.errors import DivergenceError
from popinv.forward.tangents import pulled_back
from popinv.inference.density.densities import DensitiesAt
from popinv.inference.density.density import Density
from popinv.inference.density.division import blocks_of_rows, joined, together
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.draws import quasi_random, usable
from popinv.inference.integrate.integrals import Features, MarginalSettings, summarised
from popinv.inference.integrate.marginal import Evaluation, integrals_at
from popinv.inference.integrate.modes import LESS_INFORMATION, with_information
from popinv.late import torch
from popinv.optimisation.adapted_mixtures import Mixtures, fitted, inverse_factor
from popinv.population.known import inputs

# Draws of a system in each pass of adaptation: at most, at least, and of all systems together.
_DRAWS, _FEWEST, _PASS_DRAWS = 2000, 256, 4_000_000
# Passes continue as long as each raises the effective share of the draws by this much.
_FEWEST_PASSES, _MOST_PASSES, _GAIN = 3, 8, 0.02
# Draws of a system are drawn anew, so often at most, if their effective share is smaller than this
# part of the mean over systems.
_POOR, _MOST_MENDED = 0.5, 3
# Number of draws that are simulated at a time.
_ROWS = 20_000


@dataclass(frozen=True)
class FixedDraws:
    """Draws of all systems of a problem.

    Attributes
    ----------
    omega : Tensor of shape (N, S, d_omega)
        At the law for which the draws were adapted.
    inputs : Tensor of shape (N, S, d_z + d_design)
    signal : Tensor of shape (N, S, d_y)
        G.
    log_ratio : Tensor of shape (N, S)
        ``log phi(omega) - log q(omega) - log p(z | alpha_0)``.
    """

    problem: Problem
    omega: torch.Tensor
    inputs: torch.Tensor
    signal: torch.Tensor
    log_ratio: torch.Tensor
    features: Features | None = None
    scores: bool = True

    def of(self, rows: np.ndarray) -> FixedDraws:
        """Return the draws of some of the systems."""
        index = torch.from_numpy(rows)
        arrays = (self.omega[index], self.inputs[index], self.signal[index], self.log_ratio[index])
        return FixedDraws(self.problem.of_systems(rows), *arrays, self.features, self.scores)

    def __call__(self, p: np.ndarray) -> Evaluation:
        """Evaluate the likelihood and the scores of all systems at p (n_p,).

        Raises
        ------
        DivergenceError
            If the noise covariance is not positive definite.
        """
        problem, (n, count, _) = self.problem, self.omega.shape
        alpha, gamma = problem.tensors(p)
        if not self.scores:
            log_weight = self.log_weight(p)
            zeros = torch.zeros((n, count, len(problem.free)), dtype=log_weight.dtype)
            return self._summarised(log_weight, zeros)
        signal, to_alpha = self._signal_at(alpha)
        at = self._density(gamma).at(signal)
        log_law, law_scores = self._law(alpha)
        each = torch.zeros((n, count, len(problem.free)), dtype=signal.dtype)
        if problem.free_law:
            each[..., : problem.d_alpha] = law_scores
            if to_alpha is not None:
                each[..., : problem.d_alpha] += to_alpha(at.slope)
        for i, scores in enumerate(at.noise_scores(), problem.d_alpha):
            each[..., i] = scores
        if self.features is not None:
            more = self.features(self.omega, at.residual, problem.noise.mean(signal))
            each = torch.cat([each, more], dim=2)
        log_weight = self.log_ratio + log_law + at.log
        return self._summarised(*usable(log_weight, each))

    def _summarised(self, log_weight: torch.Tensor, each: torch.Tensor) -> Evaluation:
        n = len(log_weight)
        best = self.omega[torch.arange(n), log_weight.argmax(dim=1)]
        none = torch.zeros(n, dtype=torch.long)
        return Evaluation(*summarised(self.omega, log_weight, each, best, none))

    def log_weight(self, p: np.ndarray) -> torch.Tensor:
        """Return the logarithms of the weights at p, minus infinity for failed solves, (N, S)."""
        alpha, gamma = self.problem.tensors(p)
        at = self._density(gamma).at(self._signal_at(alpha)[0])
        n, count, _ = self.omega.shape
        with torch.no_grad():
            flat = self.inputs.reshape(n * count, -1)
            log_law = _log_law(self.problem, alpha.expand(len(flat), -1), flat)
        value = self.log_ratio + log_law.reshape(n, count) + at.log
        return torch.where(torch.isfinite(value), value, -torch.inf)

    def _density(self, gamma: torch.Tensor) -> Density:
        try:
            return DensitiesAt(self.problem, gamma).of(np.arange(len(self.omega)))
        except torch.linalg.LinAlgError as error:
            raise DivergenceError("the noise covariance is not positive definite") from error

    def _law(self, alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log p(z | alpha), shape (N, S), and its gradient, (N, S, d_alpha)."""
        n, count, _ = self.omega.shape
        rows = alpha.expand(n * count, -1).clone().requires_grad_(True)
        with torch.enable_grad():
            value = _log_law(self.problem, rows, self.inputs.reshape(n * count, -1))
            (gradient,) = torch.autograd.grad(value.sum(), rows)
        return value.detach().reshape(n, count), gradient.reshape(n, count, -1)

    def _signal_at(
        self, alpha: torch.Tensor
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor] | None]:
        """Return G at the draws, and its pull-back to alpha if parameters do not vary."""
        problem, varying = self.problem, torch.from_numpy(self.problem.law.varying)
        if bool(varying.all()):
            return self.signal, None
        n, count, d = self.omega.shape
        rows = alpha.expand(n * count, -1).clone().requires_grad_(True)
        fixed = self.inputs.reshape(n * count, -1)
        known = problem.known.repeated(count)
        with torch.enable_grad():
            now = inputs(problem.law, rows, self.omega.reshape(-1, d), known)
            keep = torch.cat([varying, torch.ones(fixed.shape[1] - len(varying), dtype=torch.bool)])
            y = problem.simulate(torch.where(keep, fixed, now))

        def pull_back(cotangents: torch.Tensor) -> torch.Tensor:
            (gradient,) = pulled_back(y, (rows,), cotangents.reshape(y.shape))
            return gradient.reshape(n, count, -1)

        return y.detach().reshape(n, count, -1), pull_back


def adapted_draws(
    problem: Problem,
    p: np.ndarray,
    settings: MarginalSettings,
    rows: np.ndarray | None = None,
    numbers: np.ndarray | None = None,
    cheap: Problem | None = None,
) -> list[FixedDraws]:
    """Return draws adapted to some systems' posteriors at p, for each block that has some.

    Parameters
    ----------
    p : ndarray of shape (n_p,)
    rows : ndarray of int, shape (n,), optional
        The systems, in increasing order; by default all.
    numbers : ndarray of int, shape (n,), optional
        Their numbers, which determine their draws; by default their positions among all.
    cheap : Problem, optional
        The same problem with a cheaper simulator, to whose posteriors the densities are adapted.

    Raises
    ------
    DivergenceError
        If the simulator's derivatives give no finite curvature at a mode.
    """
    rows = np.arange(len(problem.data)) if rows is None else rows
    numbers = problem.numbers[rows] if numbers is None else numbers
    blocks = list(blocks_of_rows(rows))
    groups, own = ([each[block] for block in blocks] for each in (rows, numbers))
    try:
        mixtures = _adapted(problem, cheap or problem, p, settings, groups, own)
    except torch.linalg.LinAlgError as error:
        raise DivergenceError(f"the posteriors at {p} have no finite curvature") from error
    draws = []
    with together(problem):
        for some, which, mixture in zip(groups, own, mixtures, strict=True):
            of_group = problem.of_systems(some)
            found = _drawn(of_group, p, mixture, settings.draws, "draws", which)
            _mend(found, p, which)
            draws.append(replace(found, features=settings.features, scores=settings.scores))
    return draws


def _adapted(
    problem: Problem,
    cheap: Problem,
    p: np.ndarray,
    settings: MarginalSettings,
    rows: list[np.ndarray],
    numbers: list[np.ndarray],
) -> list[Mixtures]:
    """Return densities adapted by several passes of draws, for each group of systems."""
    own = [cheap.of_systems(some) for some in rows]
    with together(problem):
        now, share = [_about_modes(each, p, settings) for each in own], 0.0
    everyone = len(joined(problem, np.concatenate([np.zeros(0, dtype=int), *rows])))
    count = int(np.clip(_PASS_DRAWS // (4 * everyone) * 4, _FEWEST, _DRAWS))
    for number in range(_MOST_PASSES):
        fits, effective = [], [np.zeros(0)]
        with together(problem):
            for each, mixtures, which in zip(own, now, numbers, strict=True):
                draws = _drawn(each, p, mixtures, count, f"adapt/{number}", which)
                log_weight = draws.log_weight(p)
                fits.append(fitted(draws.omega, log_weight))
                weights = torch.softmax(log_weight, dim=1)
                effective.append((1 / (weights**2).sum(dim=1)).numpy())
        now, last = fits, share
        every = joined(problem, np.concatenate(effective))
        share = float(torch.from_numpy(every).mean()) / count
        if number + 1 >= _FEWEST_PASSES and share < last + _GAIN:
            break
    return now


def _mend(draws: FixedDraws, p: np.ndarray, numbers: np.ndarray) -> None:
    """Replace the draws of systems of which a few have most of the weight.

    These few lie in a part of the posterior that no pass has met, such as a small mode. A density
    fitted to all of them has that part.
    """
    for attempt in range(_MOST_MENDED):
        log_weight = draws.log_weight(p)
        share = 1 / (torch.softmax(log_weight, dim=1) ** 2).sum(dim=1)
        poor = torch.nonzero(share < _POOR * share.mean())[:, 0]
        if not len(poor):
            return
        rows, count = poor.numpy(), log_weight.shape[1]
        mixture = fitted(draws.omega[poor], log_weight[poor])
        problem = draws.problem.of_systems(rows)
        again = _drawn(problem, p, mixture, count, f"mended/{attempt}", numbers[rows])
        for name in ("omega", "inputs", "signal", "log_ratio"):
            getattr(draws, name)[poor] = getattr(again, name)


def _about_modes(problem: Problem, p: np.ndarray, settings: MarginalSettings) -> Mixtures:
    """Return densities about the modes of each system, narrow and wide."""
    block = integrals_at(problem, p)
    means, factors = [], []
    for modes, share in product(block.all_modes(settings, "mode_starts"), (1.0, LESS_INFORMATION)):
        means.append(modes.omega)
        factors.append(inverse_factor(with_information(modes.hessian, share)))
    return Mixtures.about(torch.stack(means, dim=1), torch.stack(factors, dim=1))


def _drawn(
    problem: Problem,
    p: np.ndarray,
    mixtures: Mixtures,
    count: int,
    stage: str,
    numbers: np.ndarray,
) -> FixedDraws:
    """Return draws of the densities, of which one coordinate chooses the component."""
    n, d = len(problem.data), problem.law.d_omega
    points = quasi_random(problem, stage, numbers, count // 2, d + 1).reshape(n, count, d + 1)
    omega = mixtures.draw(torch.special.ndtri(points[..., 1:]), points[..., 0])
    alpha = problem.tensors(p)[0]
    flat = omega.reshape(-1, d)
    known = problem.known.repeated(count)
    with torch.no_grad():
        z = inputs(problem.law, alpha, flat, known)
        signal = torch.cat([problem.simulate(rows) for rows in z.split(_ROWS)])
        log_law = _log_law(problem, alpha.expand(len(z), -1), z)
    log_prior = -0.5 * (omega**2).sum(dim=2)
    log_ratio = log_prior - mixtures.log_density(omega) - log_law.reshape(n, count)
    return FixedDraws(
        problem,
        omega,
        z.reshape(n, count, -1),
        signal.reshape(n, count, -1),
        log_ratio,
    )


def _log_law(problem: Problem, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Return log p(z | alpha) for the first columns of inputs z (N S, ...), shape (N S,)."""
    law, own, known = problem.law, z[:, : problem.law.d_z], problem.known
    if not law.covariates:
        return law.log_density(alpha, own)
    covariates = known.repeated(len(z) // len(problem.data)).covariates
    return law.log_density_given(alpha, own, covariates)
