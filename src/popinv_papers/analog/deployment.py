r"""The answer of a study whose surrogate lies on an analog accelerator.

The answer solves :math:`\sum_n s_n(p) = \nabla \mathrm{penalty}(p)` with scores through the
surrogate. Through a surrogate with errors it is refitted by steps from the answer,

.. math:: p_{k+1} = p_k + B_k \Bigl(\sum_n s'_n(p_k) - \nabla \mathrm{penalty}(p_k)\Bigr),

with the inverse information B_0 of the answer, and Broyden's update of it after each step. All
scores have the same random numbers, and the fit starts where the same steps through the exact
surrogate end: the shift is due to the errors alone. The first step is the change to first order.
The scores are the likelihood's if the answer is, and the pseudo-likelihood's otherwise. Widths of
intervals follow from :math:`A^{-1} J A^{-1}`, with the scores' sum of squares J at the refitted
answer, and the information A, which is J for the likelihood.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from tqdm import tqdm

from popinv.errors import DivergenceError
from popinv.forward.datasets import parameter_coordinate
from popinv.inference.answer.result import correction_of, draws_of_answer, estimate_of
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import restricted_inverse
from popinv.inference.integrate import pseudo
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.inference.integrate.penalty import penalty_at
from popinv.inference.uncertainty.intervals import boundaries
from popinv.methods.invariants import Invariant, held
from popinv.store.variables import variable
from popinv.threads import fixed_threads
from popinv_papers.analog.accelerator import Accelerator, TangentSimulator
from popinv_papers.analog.levels import ERRORS, ErrorKind

TOLERANCE = 0.5
"""Largest shift of a parameter that an accelerator may cause, in its standard errors."""
FAR = 10.0
"""Shift in standard errors beyond which a refit is not followed to its end."""

_ARRIVED, _MOST_STEPS, _LONGEST_STEP = 0.05, 8, 3.0
# The answer through the solver may be far from that through a poor surrogate.
_MOST_STEPS_TO_START = 60


@dataclass(frozen=True)
class Shift:
    """The answer through a surrogate with a draw of an error at a level.

    Attributes
    ----------
    shift : ndarray of shape (n_p,)
        In standard errors of the answer; infinite if the fit left the data behind.
    width : ndarray of shape (n_p,)
        Width of the intervals over that through the exact surrogate; NaN if the fit was lost.
    """

    kind: str
    level: float
    draw: int
    shift: np.ndarray
    width: np.ndarray


class SimulatorRefitter:
    """Fits of an answer through other simulators, all from the same start.

    Parameters
    ----------
    problem : Problem
        With the stage of the answer, whose draws it has.
    surrogate : TangentSimulator
        The exact one, which answers one replicate.
    answer : Dataset
        See :func:`popinv.inference.answer.dataset.population_dataset`.
    draws : int
        Draws for each system's integral in the likelihood.
    """

    def __init__(
        self, problem: Problem, surrogate: TangentSimulator, answer: xr.Dataset, draws: int
    ) -> None:
        self.by_likelihood = answer.attrs["estimator"] == "likelihood"
        problem = replace(problem.through(surrogate), fixed=tuple(boundaries(answer)))
        self.problem = problem if self.by_likelihood else problem.of_moments
        self.settings = MarginalSettings(draws=draws_of_answer(answer, draws))
        p = estimate_of(answer) - correction_of(answer)
        error = np.sqrt(np.maximum(np.diag(answer["covariance"].values), 0.0))
        self.free = self.problem.free & (error > 0)
        self.error = np.where(self.free, error, 0.0)
        self.memory: Mapping[str, np.ndarray] | None = None
        with fixed_threads(1):
            if self.by_likelihood:
                bread = answer["bread"].values
                self.memory = likelihood_near(self.problem, p, self.settings).here.memory
            else:
                information = self._pseudo(self.problem, p).information
                bread = restricted_inverse(
                    information + penalty_at(problem, p).curvature, self.free
                )
            self.bread = np.where(np.outer(self.free, self.free), bread, 0.0)
            self.start = p
            self.start, self.width, self.bread = self._fit(lambda: surrogate, _MOST_STEPS_TO_START)

    def shift(self, simulator: Callable[[], TangentSimulator]) -> np.ndarray:
        """Return the shift (n_p,) of the answer in standard errors.

        The callable returns the simulator with its random numbers at their beginning.

        Raises
        ------
        DivergenceError
            If the answer goes far off, or does not arrive.
        """
        return self.shift_and_width(simulator)[0]

    def shift_and_width(
        self, simulator: Callable[[], TangentSimulator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the shift, and the width of the intervals relative to the exact surrogate."""
        with fixed_threads(1):
            p, width, _ = self._fit(simulator, _MOST_STEPS)
        return self.in_errors(p - self.start), width / np.where(self.free, self.width, np.nan)

    def nothing_changed(self, surrogate: TangentSimulator) -> Invariant:
        """Check that the refit through the exact surrogate stays where it starts."""
        shift = self.shift(lambda: surrogate)
        return held(
            "refit_of_the_exact_surrogate",
            "exact surrogate: largest shift of a parameter by a refit, in standard errors",
            float(np.abs(shift).max(initial=0.0)),
            _ARRIVED,
        )

    def in_errors(self, change: np.ndarray) -> np.ndarray:
        """Return a change (n_p,) in standard errors of each parameter, zero for held ones."""
        return np.where(self.free, change / np.where(self.free, self.error, 1.0), 0.0)

    def _evaluate(
        self, simulator: Callable[[], TangentSimulator], p: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores (N, n_p) and the information (n_p, n_p) through a simulator."""
        problem = self.problem.through(simulator())
        of_penalty = penalty_at(self.problem, p).curvature
        if not self.by_likelihood:
            evaluation = self._pseudo(problem, p)
            return evaluation.scores, evaluation.information + of_penalty
        scores = likelihood_near(problem, p, self.settings, memory=self.memory).here.scores
        return scores, scores.T @ scores + of_penalty

    def _pseudo(self, problem: Problem, p: np.ndarray) -> pseudo.PseudoEvaluation:
        alpha, gamma = (torch.from_numpy(part.copy()) for part in problem.split(p))
        moments = moments_of_systems(problem, alpha, gamma, matched_draws(problem))
        return pseudo.evaluate(problem, moments)

    def _fit(
        self, simulator: Callable[[], TangentSimulator], most: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the refitted answer, its standard errors, and the last inverse information."""
        p, inverse, before = self.start, self.bread, None
        for _ in range(most):
            scores, information = self._evaluate(simulator, p)
            gradient = scores.sum(axis=0) - penalty_at(self.problem, p).gradient
            if before is not None:
                inverse = _broyden(inverse, p - before[0], before[1] - gradient)
            step = inverse @ gradient
            length = float(np.abs(self.in_errors(step)).max(initial=0.0))
            before = p, gradient
            p = p + step * min(1.0, _LONGEST_STEP / max(length, 1e-300))
            far = float(np.abs(self.in_errors(p - self.start)).max(initial=0.0))
            if not far < FAR:
                raise DivergenceError(f"the answer moved by {far:.3g} standard errors")
            if length < _ARRIVED:
                bread = restricted_inverse(information, self.free)
                spread = bread @ (scores.T @ scores) @ bread
                return p, np.sqrt(np.maximum(np.diag(spread), 0.0)), inverse
        raise DivergenceError(f"the refit still moves by {length:.2g} standard errors")


def _broyden(inverse: np.ndarray, step: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """Return the inverse information that explains by how much the gradient fell on a step.

    It is B + (s - B y) s^T B / (s^T B y), Broyden's update (Nocedal and Wright, Numerical
    Optimization, section 11.1); B itself where that is not defined. It is not symmetric, nor are
    the derivatives of these scores: read values go with the derivatives of the exact surrogate.
    """
    row = step @ inverse
    slope = float(row @ fall)
    if not abs(slope) > 1e-12 * float(np.linalg.norm(row) * np.linalg.norm(fall)):
        return inverse
    return inverse + np.outer(step - inverse @ fall, row) / slope


def deployed(refitter: SimulatorRefitter, accelerator: Accelerator, draws: int) -> Iterator[Shift]:
    """Yield the answer at every level of every error, until all draws of a level are lost.

    Errors that are random have several draws.
    """
    levels = [(name, level) for name, kind in ERRORS.items() for level in kind.levels]
    lost: set[str] = set()
    for name, level in tqdm(levels, "errors of the accelerator", file=sys.stderr, disable=None):
        if name in lost:
            continue
        count = draws if ERRORS[name].drawn else 1
        ones = [_one(refitter, accelerator, name, level, draw) for draw in range(count)]
        yield from ones
        if not any(np.isfinite(one.shift).all() for one in ones):
            lost.add(name)


def _one(
    refitter: SimulatorRefitter, accelerator: Accelerator, kind: str, level: float, draw: int
) -> Shift:
    def simulator() -> TangentSimulator:
        return accelerator.simulator(kind, level, draw)

    try:
        return Shift(kind, level, draw, *refitter.shift_and_width(simulator))
    except DivergenceError:
        lost, unknown = (np.full(len(refitter.start), value) for value in (np.inf, np.nan))
        return Shift(kind, level, draw, lost, unknown)


def by_draw(shifts: Sequence[Shift]) -> Iterator[tuple[list[float], list[float]]]:
    """Yield the levels of each draw, and the largest shift of a parameter at each of them."""
    for draw in sorted({one.draw for one in shifts}):
        ones = [one for one in shifts if one.draw == draw]
        yield [one.level for one in ones], [float(np.abs(one.shift).max()) for one in ones]


@dataclass(frozen=True)
class Tolerated:
    """The level at which the answer has moved by the tolerance: mean and ends over the draws.

    ``where`` is "within" if all draws cross the tolerance between the levels that were tried,
    "below" or "above" if some draw is beyond it at the first level, or never.
    """

    level: float
    lowest: float
    highest: float
    where: str


def tolerated(kind: str, shifts: Sequence[Shift]) -> Tolerated:
    """Return the level of an error that moves the answer by half a standard error.

    The largest shift of a parameter is interpolated between the levels by a power law, or by an
    exponential in the bits of converters.
    """
    own = ERRORS[kind]
    places, where = [], "within"
    for tried, sizes in by_draw(shifts):
        at = [own.place(level) for level in tried]
        beyond = [i for i, size in enumerate(sizes) if not size < TOLERANCE]
        if not beyond:
            places.append(at[-1])
            where = "above"
        elif beyond[0] == 0:
            places.append(at[0])
            where = "below"
        else:
            i = beyond[0]
            before, after = np.log(max(sizes[i - 1], 1e-12)), np.log(sizes[i])
            # A lost fit gives no slope: the last level that was good counts.
            share = (np.log(TOLERANCE) - before) / (after - before)
            places.append(at[i - 1] + float(share) * (at[i] - at[i - 1]))
    levels = sorted(own.level(place) for place in places)
    return Tolerated(own.level(float(np.mean(places))), levels[0], levels[-1], where)


def metrics(shifts: Sequence[Shift], d_alpha: int) -> dict[str, float | str]:
    """Return the numbers of every error and level, the tolerated levels, and the advice."""
    numbers: dict[str, float | str] = {}
    said = []
    for kind, own in ERRORS.items():
        of_kind = [one for one in shifts if one.kind == kind]
        for level in dict.fromkeys(one.level for one in of_kind):
            ones = [one for one in of_kind if one.level == level]
            name = f"deployed_{kind}_{level:g}"
            for part, rows in (("law", slice(d_alpha)), ("noise", slice(d_alpha, None))):
                sizes = [float(np.abs(one.shift[rows]).max(initial=0.0)) for one in ones]
                known = np.isfinite(sizes).all()
                numbers[f"{name}_{part}_shift"] = float(np.mean(sizes)) if known else "lost"
            width = np.mean([one.width for one in ones], axis=0)
            if np.isfinite(width).any():
                furthest = np.nanargmax(np.abs(np.log(width)))
                numbers[f"{name}_width"] = float(width[furthest])
        found = tolerated(kind, of_kind)
        numbers |= {
            f"tolerated_{kind}": found.level,
            f"tolerated_{kind}_lowest": found.lowest,
            f"tolerated_{kind}_highest": found.highest,
            f"tolerated_{kind}_where": found.where,
        }
        said.append(_said(own, found))
    numbers["advice"] = (
        f"an accelerator moves the answer by at most {TOLERANCE:g} standard errors if each error "
        f"alone is at most: {'; '.join(said)}; several errors at once need smaller ones"
    )
    return numbers


def _said(own: ErrorKind, found: Tolerated) -> str:
    if own.in_bits:
        number = f"{np.ceil(found.highest - 1e-6):g}"
        beyond = {"below": ", and more, which was not tried", "above": ", the fewest tried"}
    else:
        number = f"{found.lowest:.2g}"
        beyond = {"below": ", and less, which was not tried", "above": ", the largest tried"}
    return f"{own.words} {number} {own.unit}{beyond.get(found.where, '')}"


def shifts_dataset(shifts: Sequence[Shift], names: Sequence[str]) -> xr.Dataset:
    """Return every refitted answer along ``refit``."""
    kinds = np.array([one.kind for one in shifts], dtype=np.str_)
    return xr.Dataset(
        {
            "shift": variable(
                ("refit", "fitted"),
                [one.shift for one in shifts],
                "shift of the answer in its standard errors, infinite if it was lost",
            ),
            "width": variable(
                ("refit", "fitted"),
                [one.width for one in shifts],
                "width of the intervals over that without the error, NaN if it was lost",
            ),
            "error_kind": variable("refit", kinds, "error of the accelerator"),
            "level": variable("refit", [one.level for one in shifts], "level of the error"),
            "draw": variable("refit", [one.draw for one in shifts], "number of the draw"),
        },
        coords=parameter_coordinate(names, "fitted", "parameter of law or noise"),
    )
