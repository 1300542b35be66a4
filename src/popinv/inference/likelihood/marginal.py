r"""The marginal likelihood of law and noise, by importance sampling in each system.

With omega the law's standard normal numbers,

.. math:: p(y_n \mid \alpha, \gamma) = \int N\bigl(y_n;\, G(T(\alpha, \omega)),\,
    s_n^2 \Gamma(\gamma)\bigr)\, \phi(\omega)\, d\omega .

S draws from :mod:`popinv.inference.likelihood.proposals` about the mode of each system estimate
the integral; the same standard normal numbers serve at all (alpha, gamma), so that the estimate
is a smooth function of them. The scores follow from Fisher's identity, as means over the weighted
draws,

.. math::
    \nabla_\alpha \log p(y_n) = E[\nabla_\alpha \log N \mid y_n], \qquad
    \partial_{\gamma_i} \log p(y_n) =
    \tfrac12 E[r^T E_i r - \operatorname{tr} E_i \mid y_n], \quad
    E_i = L^{-1} (\partial_i \Gamma) L^{-T} .

Both have large variances over the draws, which the control variates of
:mod:`popinv.inference.likelihood.control_variates` take away.

The logarithm of a mean of S weights is biased by about -Var(w) / 2S, in every system alike, and so
are the scores. Twice the estimate from all draws less the mean of those from either half (the
jackknife) has a bias of order 1 / S^2, and the difference of the halves tells the error that the
draws leave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from popinv.errors import DivergenceError
from popinv.inference.likelihood.control_variates import law_fields, noise_field
from popinv.inference.likelihood.modes import Modes, find_modes
from popinv.inference.likelihood.proposals import propose
from popinv.inference.likelihood.push_forward import PushForward
from popinv.inference.likelihood.whitening import (
    Whitening,
    covariance_derivatives,
    whitening,
)
from popinv.inference.problem import Problem
from popinv.seeds import generator

__all__ = ["Evaluation", "MarginalSettings", "evaluate", "second_modes"]

# Numbers in the largest array of a block of systems.
_BLOCK_VALUES = 2**23
_PRIOR_STARTS = 64
# Modes further apart than this in posterior deviations are two; the second counts if it weighs at
# least 1 / 10 of the first.
_APART, _COMPARABLE = 2.0, 10.0
# Deviations of |r|^2 / 2 above its mean from which a mode is suspected not to be the largest, and
# by what the noise is multiplied in the search for another.
_SUSPECT, _LOUDER = 3.0, (30.0, 10.0, 3.0)
# Share of a half of the draws that must be usable.
_LEAST_USABLE = 0.25


@dataclass(frozen=True)
class MarginalSettings:
    """How to integrate.

    Attributes
    ----------
    draws : int
        S, a multiple of 4.
    first_mode_steps, mode_steps : int
        Most steps to a mode, from draws of the law and from the mode of an evaluation near by.
    corrections : tuple of (int, float)
        Numbers of corrections that the proposals of a system may get, each with the effective
        share of the draws below which a system gets them.
    """

    draws: int = 64
    first_mode_steps: int = 60
    mode_steps: int = 4
    # One correction leaves heavy tails that few draws do not show.
    corrections: tuple[tuple[int, float], ...] = ((2, 0.7), (4, 0.4))


@dataclass(frozen=True)
class Evaluation:
    """The marginal likelihood at one (alpha, gamma), system by system.

    Attributes
    ----------
    log_likelihood : ndarray of shape (N,)
        log p(y_n), by the jackknife.
    value_error : ndarray of shape (N,)
        Half the difference of its estimates from either half of the draws: a draw of its error.
    scores : ndarray of shape (N, n_p)
        Derivatives of log p(y_n) in (alpha, gamma), by the jackknife.
    score_bias : ndarray of shape (N, n_p)
        What the jackknife has taken off the scores of all draws.
    score_error : ndarray of shape (N, n_p)
        As ``value_error``.
    modes, mean, variance : ndarray of shape (N, d_omega)
        Posterior modes, means and variances of omega.
    effective_share : ndarray of shape (N,)
        Effective number of draws over S.
    corrections : ndarray of int, shape (N,)
        Chord steps of each system's proposals.
    """

    log_likelihood: np.ndarray
    value_error: np.ndarray
    scores: np.ndarray
    score_bias: np.ndarray
    score_error: np.ndarray
    modes: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    effective_share: np.ndarray
    corrections: np.ndarray

    @property
    def memory(self) -> dict[str, np.ndarray]:
        """All fields by name, from which an evaluation near by begins."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def of(self, systems: np.ndarray) -> Evaluation:
        """Return the rows of some systems."""
        return Evaluation(*(getattr(self, field.name)[systems] for field in fields(self)))

    def replaced(self, systems: np.ndarray, other: Evaluation) -> Evaluation:
        """Return this evaluation with the rows of some systems taken from another."""
        changed = {}
        for field in fields(self):
            changed[field.name] = getattr(self, field.name).copy()
            changed[field.name][systems] = getattr(other, field.name)
        return Evaluation(**changed)


def evaluate(
    problem: Problem,
    p: np.ndarray,
    settings: MarginalSettings,
    memory: Mapping[str, np.ndarray] | None = None,
    numbers: np.ndarray | None = None,
) -> Evaluation:
    """Evaluate likelihood and scores of all systems, block by block.

    Parameters
    ----------
    problem : Problem
    p : ndarray of shape (n_p,)
    settings : MarginalSettings
    memory : mapping, optional
        :attr:`Evaluation.memory` of an evaluation near by: where the search for the modes begins,
        and corrections to keep. Without it the search begins at the best of some draws of the
        law, and corrections are chosen.
    numbers : ndarray of int, shape (N,), optional
        The number of each system, from which its draws follow; by default its place.

    Raises
    ------
    DivergenceError
        If the noise covariance is not positive definite, or the simulator's derivatives leave no
        finite curvature at a mode.
    """
    try:
        return _evaluate(_Run(problem, np.asarray(p, dtype=float), settings, numbers), memory)
    except torch.linalg.LinAlgError as error:
        raise DivergenceError(f"the likelihood at {p} has no finite curvature") from error


def _evaluate(run: _Run, memory: Mapping[str, np.ndarray] | None) -> Evaluation:
    problem, settings = run.problem, run.settings
    everyone = np.arange(len(problem.data))
    if memory:
        return run.evaluate(everyone, memory["modes"], memory["corrections"])
    found = run.evaluate(everyone, None, np.zeros(len(everyone), dtype=int))
    for corrections, share in settings.corrections:
        poor = np.flatnonzero(found.effective_share < share)
        if len(poor):
            other = run.evaluate(poor, found.modes[poor], np.full(len(poor), corrections))
            better = other.effective_share > found.effective_share[poor]
            found = found.replaced(poor[better], other.of(np.flatnonzero(better)))
    return found


def second_modes(
    problem: Problem, p: np.ndarray, settings: MarginalSettings, found: Evaluation
) -> float:
    """Return the share of systems with another mode that weighs at least a tenth of the first.

    A second search begins at other draws of the law. It misses modes that attract few of them.
    """
    return _Run(problem, p, settings, None).second_modes(found)


class _Run:
    """The evaluation at one p."""

    def __init__(
        self,
        problem: Problem,
        p: np.ndarray,
        settings: MarginalSettings,
        numbers: np.ndarray | None,
    ) -> None:
        self.problem, self.settings = problem, settings
        self.numbers = np.arange(len(problem.data)) if numbers is None else numbers
        alpha, gamma = (torch.from_numpy(part.copy()) for part in problem.split(p))
        with torch.no_grad():
            self.covariance = problem.noise.covariance(gamma)
            self.derivatives: list[torch.Tensor] = []
            if problem.free_noise:
                self.derivatives = covariance_derivatives(problem, gamma)
        self.push_forward = PushForward(problem, alpha)

    def evaluate(
        self, systems: np.ndarray, modes: np.ndarray | None, corrections: np.ndarray
    ) -> Evaluation:
        """Evaluate some systems from these modes (None: from draws of the law)."""
        order = np.argsort(corrections, kind="stable")
        parts = []
        for rows in _blocks(self.problem, self.settings, corrections[order]):
            block = self.block(systems[order[rows]])
            start = None if modes is None else torch.from_numpy(modes[order[rows]])
            found = block.find_modes(self.settings, start)
            level = int(corrections[order[rows.start]])
            parts.append(block.evaluate(self.settings, found, level))
        back = np.argsort(order, kind="stable")
        return Evaluation(*(np.concatenate(values)[back] for values in zip(*parts, strict=True)))

    def block(self, systems: np.ndarray) -> _Block:
        """Return what the integration over some systems needs."""
        traits = None if self.problem.traits is None else self.problem.traits.of(systems)
        noise = whitening(self.covariance, len(systems), traits)
        data = noise.apply(torch.from_numpy(self.problem.data[systems]))
        return _Block(
            self.problem, self.push_forward, noise, self.derivatives, self.numbers[systems], data
        )

    def second_modes(self, found: Evaluation) -> float:
        """See :func:`second_modes`."""
        several = 0
        none = np.zeros(len(self.problem.data), dtype=int)
        for rows in _blocks(self.problem, self.settings, none):
            systems = np.arange(rows.start, rows.stop)
            block = self.block(systems)
            here = block.find_modes(self.settings, torch.from_numpy(found.modes[systems]))
            other = block.find_modes(self.settings, None, "second_starts")
            apart = other.omega - here.omega
            distance = (apart[:, None] @ here.hessian @ apart[..., None])[:, 0, 0]
            weight = other.objective + 0.5 * torch.logdet(other.hessian)
            weight = weight - here.objective - 0.5 * torch.logdet(here.hessian)
            another = (distance > _APART**2) & (weight < math.log(_COMPARABLE)) & other.arrived
            several += int(another.sum())
        return several / len(self.problem.data)


def _blocks(
    problem: Problem, settings: MarginalSettings, corrections: np.ndarray
) -> Iterator[slice]:
    """Yield ranges of systems with the same number of corrections that fit into memory."""
    d_y, d = problem.data.shape[1], problem.law.d_omega
    for level in np.unique(corrections):
        per_draw = 8 * max(d_y, d) + (3 * d * (d_y + d) if level else 0)
        size = max(1, _BLOCK_VALUES // (settings.draws * per_draw + 2 * d * d_y))
        first, last = np.searchsorted(corrections, [level, level + 1])
        for start in range(first, last, size):
            yield slice(start, min(start + size, last))


@dataclass(frozen=True)
class _Block:
    """Some systems, with all that the integration needs of them."""

    problem: Problem
    push_forward: PushForward
    noise: Whitening
    derivatives: list[torch.Tensor]
    numbers: np.ndarray
    whitened: torch.Tensor

    def find_modes(
        self, settings: MarginalSettings, start: torch.Tensor | None, starts: str = "mode_starts"
    ) -> Modes:
        """Return the modes, searched from a start near by or from draws of the law."""
        if start is not None:
            return self._search(start, settings.mode_steps)
        steps = settings.first_mode_steps
        modes = self._search(self._best_draws(starts), steps)
        seen = self.noise.entries[self.noise.pattern]
        bound = 0.5 * (seen + modes.omega.shape[1]) + _SUSPECT * torch.sqrt(2.0 * seen)
        suspects = torch.nonzero(~(modes.objective < bound))[:, 0]
        if len(suspects):
            # Observations far from the model at the mode point to another mode, which a search
            # through louder noise may find.
            block, start = self.of(suspects), torch.zeros_like(modes.omega[suspects])
            for louder in _LOUDER:
                quiet = replace(
                    block,
                    noise=replace(block.noise, scale=block.noise.scale * louder),
                    whitened=block.whitened / louder,
                )
                start = quiet._search(start, steps).omega
            other = block._search(start, steps)
            better = other.objective < modes.objective[suspects]
            modes = modes.replaced(suspects[better], other.of(better))
        return modes

    def _search(self, start: torch.Tensor, steps: int) -> Modes:
        return find_modes(self.push_forward, self.noise, self.whitened, start, steps)

    def evaluate(
        self, settings: MarginalSettings, modes: Modes, corrections: int
    ) -> tuple[np.ndarray, ...]:
        """Return the fields of :class:`Evaluation` for the block."""
        n, size = len(modes.omega), settings.draws // 2
        omega, log_weight, each = self._weighted(settings, modes, corrections)
        if corrections:
            # Where the map of the proposals folds too often, those without corrections serve.
            usable = torch.isfinite(log_weight).reshape(n, 2, size).sum(dim=2).min(dim=1).values
            few = torch.nonzero(usable < _LEAST_USABLE * size)[:, 0]
            if len(few):
                plain = self.of(few)._weighted(settings, modes.of(few), 0)
                for array, others in zip((omega, log_weight, each), plain, strict=True):
                    array[few] = others
        value, scores, weights = _estimate(log_weight, each)
        (value_1, scores_1, _), (value_2, scores_2, _) = (
            _estimate(w, s)
            for w, s in zip(log_weight.split(size, 1), each.split(size, 1), strict=True)
        )
        bias = (scores_1 + scores_2) / 2 - scores
        mean = (weights[..., None] * omega).sum(dim=1)
        values = (
            2 * value - (value_1 + value_2) / 2,
            (value_1 - value_2) / 2,
            scores - bias,
            bias,
            (scores_1 - scores_2) / 2,
            modes.omega,
            mean,
            (weights[..., None] * (omega - mean[:, None]) ** 2).sum(dim=1),
            1 / (weights**2).sum(dim=1) / settings.draws,
            torch.full((n,), corrections),
        )
        return tuple(v.numpy() for v in values)

    def of(self, rows: torch.Tensor) -> _Block:
        """Return the block of some of the systems."""
        return replace(
            self,
            noise=self.noise.rows(rows),
            numbers=self.numbers[rows.numpy()],
            whitened=self.whitened[rows],
        )

    def _weighted(
        self, settings: MarginalSettings, modes: Modes, corrections: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return draws (n, S, d_omega), their log weights (n, S), and scores (n, S, n_p)."""
        problem, (n, d) = self.problem, modes.omega.shape
        stage, width = f"{problem.stage}/likelihood", settings.draws // 2 * d
        rows = [generator(problem.seed, stage, i).standard_normal(width) for i in self.numbers]
        half = torch.from_numpy(np.array(rows)).reshape(n, 2, settings.draws // 4, d)
        # Pairs (xi, -xi) stay within one half of the draws.
        xi = torch.cat([half, -half], dim=2).reshape(n, settings.draws, d)
        omega, log_proposal = propose(
            self.push_forward, self.noise, self.whitened, modes, xi, corrections
        )
        log_joint, each = self._joint(modes, omega)
        log_weight = log_joint - log_proposal
        # A draw at which the simulator fails has no weight, whatever its scores.
        usable = torch.isfinite(log_weight) & torch.isfinite(each).all(dim=2)
        log_weight = torch.where(usable, log_weight, -torch.inf)
        each, omega = (torch.where(usable[..., None], x, 0.0) for x in (each, omega))
        return omega, log_weight, each

    def _joint(self, modes: Modes, omega: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log N + log phi (n, S) and the scores of each draw (n, S, n_p).

        The logarithm of phi is up to its constant, which the proposals leave out too.
        """
        problem, (n, count, d) = self.problem, omega.shape
        y, pull_back = self.push_forward.with_pull_back(omega.reshape(-1, d))
        residual = self.whitened[:, None] - self.noise.apply(y.reshape(n, count, -1))
        log_joint = self.noise.constant[:, None] - 0.5 * (
            (residual**2).sum(dim=2) + (omega**2).sum(dim=2)
        )
        scores = torch.zeros((n, count, len(problem.free)), dtype=y.dtype)
        parts = pull_back(self.noise.transpose(residual).reshape(y.shape))
        in_alpha, in_omega = (part.reshape(n, count, -1) for part in parts)
        shift, gradient = omega - modes.omega[:, None], in_omega - omega
        if problem.free_law:
            scores[..., : problem.d_alpha] = in_alpha
            fields = law_fields(self.push_forward, self.noise, self.whitened, modes)
            for i, field in enumerate(fields):
                scores[..., i] -= field.variate(shift, gradient)
        for i, change in enumerate(self.derivatives, problem.d_alpha):
            field = noise_field(self.noise, self.whitened, modes, change)
            scores[..., i] = self.noise.noise_scores(residual, change)
            scores[..., i] -= field.variate(shift, gradient)
        return log_joint, scores

    def _best_draws(self, stage: str) -> torch.Tensor:
        """Return for each system that of some draws of the law that fits it best."""
        problem, whitened = self.problem, self.whitened
        rng = generator(problem.seed, f"{problem.stage}/{stage}")
        draws = torch.from_numpy(rng.standard_normal((_PRIOR_STARTS, problem.law.d_omega)))
        distances = []
        for row in self.push_forward(draws):
            there = self.noise.apply(row.expand(len(whitened), -1))
            distances.append(((whitened - there) ** 2).sum(dim=1))
        distance = torch.stack(distances)
        return draws[torch.where(torch.isfinite(distance), distance, torch.inf).argmin(dim=0)]


def _estimate(
    log_weight: torch.Tensor, each: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return log of the mean weight (n,), weighted means of ``each``, and the weights."""
    value = torch.logsumexp(log_weight, dim=1) - math.log(log_weight.shape[1])
    weights = torch.softmax(log_weight, dim=1)
    return value, (weights[..., None] * each).sum(dim=1), weights
