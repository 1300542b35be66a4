r"""The likelihood of many observations, in the span of the whitened signals.

Observations of a smooth field at many sensors move in few directions. With draws omega_i of the law
at one alpha, the whitened signals :math:`L^{-1} g(\omega_i)` less their mean have the singular
value decomposition of a proper orthogonal decomposition, whose k leading directions are the columns
of Q. Only the part of a system's whitened residual within their span depends on the system's
parameters,

.. math::
    |r(\omega)|^2 = |r_\perp|^2 + |r_Q(\omega)|^2, \qquad
    r_Q(\omega) = Q^T r^* - \tfrac1{s_n} M \bigl(g_S(\omega) - g_S(\omega^*)\bigr), \quad
    r_\perp = (1 - Q Q^T) r^* .

r* is the whole residual at the mode omega*, which is simulated once for each system. g_S are m of
the d_y observations, and M predicts the change of :math:`Q^T L^{-1} g` from the change of g_S. The
entries S are the pivots of QR decompositions of ``(L Q)^T`` (Drmac and Gugercin, A new selection
operator for the discrete empirical interpolation method, SIAM J. Sci. Comput. 38, 2016), more of
them than k (Peherstorfer, Drmac and Gugercin, Stability of discrete empirical interpolation with
oversampling, SIAM J. Sci. Comput. 42, 2020). M is fitted to the draws by least squares, so that it
also uses what they say about the omitted directions. The integral then has the form of a problem
with m observations, whose whitening is M.

A change dGamma of the noise, with ``E = L^{-1} (dGamma) L^{-T}``, gives

.. math::
    r^T E r = r_\perp^T E r_\perp + 2\, r_Q^T (Q^T E r_\perp) + r_Q^T (Q^T E Q)\, r_Q .

The corrections of the proposals, which simulate every draw with its derivatives, take fewer entries
and their own M. The weights of the draws are exact for any proposals.

*Error.* With delta(omega) what Q and M leave of the whitened signal, log N is off by
:math:`r_\perp^T (\delta(\omega) - \delta(\omega^*))`, which is zero at the mode. The noise in
:math:`r_\perp` is independent of the parameters, so the error of a system has mean zero and at most
the standard deviation :math:`|\delta(\omega) - \delta(\omega^*)|`, to first order. The root mean
square of what Q leaves out, over other draws of the law, is below 0.03 noise standard deviations.
Systems with |delta| above 0.3 at their mode need the whole signal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg

from popinv.errors import DivergenceError
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.density import NormalDensity
from popinv.inference.density.problem import Problem
from popinv.inference.density.whitening import (
    NoiseChange,
    Outside,
    Whitening,
    whitening,
)
from popinv.inference.integrate.integrals import AtModes, Integrals
from popinv.inference.integrate.modes import Modes
from popinv.inference.integrate.push_forward import PushForward
from popinv.late import torch
from popinv.seeds import generator

# With fewer observations, whole signals take no longer.
_FEWEST_OBSERVATIONS = 200
# Number of draws of the law, and the factor that spreads as many further draws wider, since modes
# may lie in the tails.
_DRAWS, _WIDER = 500, 1.5
# Largest root mean square of the omitted part, in noise standard deviations, and largest delta at a
# mode.
_LEFT_OUT, _FAR_OUT = 0.03, 0.3
# The largest root mean square for Q and M together, at the parameters of an evaluation. A basis is
# made for a cell of parameters, in units of their natural size, so that the likelihood is smooth
# inside.
_CHECKED, _CELL = 0.045, 0.25
# Largest number of directions, as a share of the observations; and the number of entries, m.
_MOST_DIRECTIONS, _ENTRIES, _MORE_ENTRIES = 0.25, 2, 8
# Proposals need not be accurate. Fewer entries make them cheaper.
_FEW_ENTRIES = 64
# A signal larger than this many times the median counts as if it had this size.
_LARGE = 10.0
# Smaller singular values of draws of g_S are rounding errors.
_ROUNDING = 1e-12


def reducible(problem: Problem) -> bool:
    """Return whether a problem's integrals may be computed in a span.

    The conditions: the observations are many and without gaps, the noise has mean zero and is the
    same except for a scale, and one simulator for all systems can compute some of the observations
    alone.
    """
    conditions = problem.conditions
    return (
        problem.data.shape[1] >= _FEWEST_OBSERVATIONS
        and hasattr(problem.simulate, "of_outputs")
        and not problem.noise_varies
        and problem.noise.shared is None
        and not problem.law.strongly_curved
        and not (conditions.gaps or conditions.known.width)
    )


@dataclass(frozen=True)
class Span:
    """The span of the whitened signals at one alpha and one noise.

    Attributes
    ----------
    whole, some, few : PushForward
        For all d_y observations, for the m in S, and for fewer from which proposals are made.
    noise : Whitening
        The whitening of all observations of the N systems.
    changes, inside : list of NoiseChange
        Changes of the noise in each of its parameters, E, and these in the span, ``Q^T E Q``.
    directions : Tensor of shape (d_y, k)
        Q.
    to_span : Tensor of shape (k, d_y)
        ``Q^T L^{-1}``.
    predictor : Tensor of shape (k, m)
        M.
    offset : Tensor of shape (k,)
        ``Q^T L^{-1} g`` is near ``M g_S + offset``.
    centre : Tensor of shape (d_y,)
        The mean of ``L^{-1} g``.
    entries : Tensor of int, shape (m,)
        S.
    rough : Tensor of shape (k, m')
        M of the few.
    """

    whole: PushForward
    some: PushForward
    few: PushForward
    noise: Whitening
    changes: list[NoiseChange]
    inside: list[NoiseChange]
    directions: torch.Tensor
    to_span: torch.Tensor
    predictor: torch.Tensor
    offset: torch.Tensor
    centre: torch.Tensor
    entries: torch.Tensor
    rough: torch.Tensor

    @classmethod
    def of(
        cls, whole: PushForward, p: np.ndarray, noise: Whitening, changes: list[NoiseChange]
    ) -> Span | None:
        """Return the span at p (n_p,) of a reducible problem.

        None if too many directions are needed.
        """
        problem, cell = whole.problem, _CELL * whole.problem.scale
        others = _signals(whole, "span_check", torch.ones(_DRAWS))
        for place in (cell * np.round(p / cell), p):
            basis = _basis(problem, place)
            if basis is None:
                continue
            span = cls._in(basis, whole, noise, changes)
            predicted = others[:, span.entries] @ span.predictor.T
            signal, one = others @ noise.inverse[0].T, torch.ones(len(others))
            if _mean_square(span._wrong(signal, predicted, one)) <= _CHECKED**2:
                return span
        return None

    @classmethod
    def _in(
        cls, basis: _Basis, whole: PushForward, noise: Whitening, changes: list[NoiseChange]
    ) -> Span:
        """Return the span of signals in a basis."""
        problem, inverse = whole.problem, noise.inverse[0]
        directions, triangle = torch.linalg.qr(inverse @ basis.vectors)
        predictor, centre = triangle @ basis.predictor, inverse @ basis.mean
        entries = basis.entries

        def some(chosen: torch.Tensor) -> PushForward:
            simulate = problem.simulate.of_outputs(chosen.numpy())  # type: ignore[attr-defined]
            return replace(whole, problem=replace(problem, simulate=simulate))

        return cls(
            whole,
            some(entries),
            some(basis.few),
            noise,
            changes,
            [_in_span(change, directions) for change in changes],
            directions,
            directions.T @ inverse,
            predictor,
            directions.T @ centre - predictor @ basis.mean[entries],
            centre,
            entries,
            triangle @ basis.rough,
        )

    def integrals(self, rows: torch.Tensor, numbers: np.ndarray, data: torch.Tensor) -> Integrals:
        """Return the integrals of some systems, in which their modes are found.

        Parameters
        ----------
        rows : Tensor of int, shape (n,)
            The systems.
        numbers : ndarray of int, shape (n,)
            Their numbers.
        data : Tensor of shape (n, d_y)
            Their observations.
        """
        own = self.noise.rows(rows)
        size = torch.tensor([len(self.predictor)])
        noise = replace(own, inverse=self.predictor[None], entries=size, diagonal=None)
        whitened = (data @ self.to_span.T - self.offset) / own.scale[:, None]
        density = NormalDensity(noise, whitened, [])
        return Integrals(self.some.problem, self.some, density, numbers)

    def about(
        self, block: Integrals, modes: Modes, rows: torch.Tensor, data: torch.Tensor
    ) -> tuple[Integrals, torch.Tensor]:
        """Return integrals that are exact at their modes, and which systems they serve, (n,).

        Parameters
        ----------
        block : Integrals
            From :meth:`integrals`, whose other arguments are ``rows`` and ``data``.
        modes : Modes
            Of the systems of the block.
        """
        own, Q = self.noise.rows(rows), self.directions
        signal = own.apply(self.whole(modes.omega))
        residual = own.apply(data) - signal
        inside = residual @ Q
        outside = residual - inside @ Q.T
        assert isinstance(block.density, NormalDensity)
        in_span = block.density.noise
        predicted = in_span.apply(modes.signal)
        square = self._wrong(signal, predicted, own.scale)
        constant = own.constant - 0.5 * (outside**2).sum(dim=1)
        exact = replace(
            block,
            density=NormalDensity(
                replace(in_span, constant=constant),
                inside + predicted,
                self._changes(outside, own.pattern),
            ),
            at_modes=AtModes(
                self.whole,
                own.transpose(residual),
                self.few,
                replace(in_span, inverse=self.rough[None], diagonal=None),
            ),
        )
        return exact, square <= _FAR_OUT**2

    def _wrong(
        self, signal: torch.Tensor, predicted: torch.Tensor, scale: torch.Tensor
    ) -> torch.Tensor:
        """Return ``|delta|^2`` of whitened signals (n, d_y) and their predictions (n, k), (n,)."""
        inside = signal @ self.directions - predicted - self.offset / scale[:, None]
        beyond = signal - self.centre / scale[:, None]
        beyond = beyond - (beyond @ self.directions) @ self.directions.T
        return (inside**2).sum(dim=1) + (beyond**2).sum(dim=1)

    def _changes(self, outside: torch.Tensor, pattern: torch.Tensor) -> list[NoiseChange]:
        """Return the changes of noise in the span, for residuals (n, d_y) outside of it."""
        found = []
        for change, inside in zip(self.changes, self.inside, strict=True):
            along = change.times(outside, pattern)
            rest = Outside(along @ self.directions, (along * outside).sum(dim=1))
            found.append(replace(inside, outside=rest))
        return found


@dataclass(frozen=True)
class _Basis:
    """Signals are near ``mean + vectors predictor (g_S - mean_S)``.

    Attributes
    ----------
    mean : Tensor of shape (d_y,)
    vectors : Tensor of shape (d_y, k)
        L Q, at the place of the basis.
    entries : Tensor of int, shape (m,)
        S.
    predictor : Tensor of shape (k, m)
    few : Tensor of int, shape (m',)
        Fewer entries, for proposals.
    rough : Tensor of shape (k, m')
        Their predictor.
    """

    mean: torch.Tensor
    vectors: torch.Tensor
    entries: torch.Tensor
    predictor: torch.Tensor
    few: torch.Tensor
    rough: torch.Tensor


def _basis(problem: Problem, p: np.ndarray) -> _Basis | None:
    """Return the basis at p (n_p,), or None if it has too many vectors."""
    alpha, gamma = problem.tensors(p)
    try:
        covariance = problem.noise.covariance(gamma)
        inverse = whitening(covariance, Conditions.stated((1, len(covariance)))).inverse[0]
    except DivergenceError:
        return None
    whole, spread = PushForward(problem, alpha), torch.ones(2 * _DRAWS)
    spread[_DRAWS:] = _WIDER
    signals = _signals(whole, "span", spread)
    checks = _signals(whole, "span_check", spread[:_DRAWS])
    if min(len(signals), len(checks)) < _DRAWS // 2:
        return None
    whitened = signals @ inverse.T
    weights = _weights(whitened)
    mean, centre = weights**2 @ signals, weights**2 @ whitened
    signals, whitened = (weights[:, None] * each for each in (signals - mean, whitened - centre))
    right = torch.linalg.svd(whitened, full_matrices=False)[2]
    count = _directions(right, checks @ inverse.T - centre)
    if count > _MOST_DIRECTIONS * len(mean):
        return None
    directions = right[:count].T.contiguous()
    entries = _entries(directions, _ENTRIES * count + _MORE_ENTRIES)
    few = _entries(directions, min(len(entries), _FEW_ENTRIES))
    predictor, rough = (
        torch.linalg.lstsq(
            signals[:, each], whitened @ directions, rcond=_ROUNDING, driver="gelsd"
        ).solution.T
        for each in (entries, few)
    )
    vectors = torch.linalg.solve_triangular(inverse, directions, upper=False)
    return _Basis(mean, vectors, entries, predictor, few, rough)


def _signals(whole: PushForward, stage: str, spread: torch.Tensor) -> torch.Tensor:
    """Return the signals of draws of the law with these factors that can be simulated."""
    problem = whole.problem
    rng = generator(problem.seed, f"{problem.stage}/{stage}")
    omega = torch.from_numpy(rng.standard_normal((len(spread), problem.law.d_omega)))
    signals = whole(spread[:, None] * omega)
    return signals[torch.isfinite(signals).all(dim=1)]


def _weights(whitened: torch.Tensor) -> torch.Tensor:
    """Return the root of the weight of each draw (n, d_y); the weights have sum 1."""
    sizes = (whitened - whitened.median(dim=0).values).norm(dim=1)
    weights = 1 / (sizes / (_LARGE * sizes.median())).clamp(min=1.0)
    return weights / weights.norm()


def _directions(vectors: torch.Tensor, checks: torch.Tensor) -> int:
    """Return how many of the vectors (r, d_y), in order, leave little of the checks (n, d_y).

    The result exceeds r if all vectors leave too much.
    """
    along = checks @ vectors.T
    beyond = ((checks - along @ vectors) ** 2).sum(dim=1)
    squares = torch.cat([along**2, beyond[:, None]], dim=1)
    left = squares.flip(1).cumsum(dim=1).flip(1)
    enough = torch.nonzero(_mean_square(left[:, 1:]) <= _LEFT_OUT**2)
    return int(enough[0]) + 1 if len(enough) else len(vectors) + 1


def _mean_square(squares: torch.Tensor) -> torch.Tensor:
    """Return the mean over systems of squared errors, limited for systems with whole signals."""
    return squares.clamp(max=_FAR_OUT**2).mean(dim=0)


def _entries(directions: torch.Tensor, count: int) -> torch.Tensor:
    """Return ``count`` rows of Q (d_y, k) as pivots, in increasing order."""
    rows, rest = directions.numpy(), np.arange(len(directions))
    chosen: list[np.ndarray] = []
    while count:
        pivots = scipy.linalg.qr(rows[rest].T, mode="r", pivoting=True)[1]
        pivots = pivots[: min(count, rows.shape[1])]
        chosen.append(rest[pivots])
        rest, count = np.delete(rest, pivots), count - len(pivots)
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def _in_span(change: NoiseChange, directions: torch.Tensor) -> NoiseChange:
    """Return the change ``Q^T E Q`` with the trace of E."""
    one = torch.zeros(1, dtype=torch.long)
    across = change.times(directions.T[None], one)
    return replace(NoiseChange.of(across @ directions), trace=change.trace)
