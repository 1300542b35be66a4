r"""The answer from clipped contributions under noise, with a guarantee for each system.

With the expected information J of one system at p, :math:`J = L L^T`, each system contributes
:math:`t_n = L^{-1} s_n`, shortened to the length C. The server receives

.. math:: m = \sum_n t_n + \sigma_r C\, \xi, \qquad \xi \sim N(0, I),

and steps by the information N J. The server knows J without observations: for the pseudo-likelihood
J is a function of the model, and for the likelihood J is a mean over systems that the server
simulates.

*Guarantee.* Without a system the sum changes by at most C. Round r is a Gaussian mechanism, whose
Rényi divergence of order a is :math:`a / (2 \sigma_r^2)`, and rounds add up (Mironov, Rényi
differential privacy, CSF 2017). :mod:`popinv.methods.privacy` converts the divergence to (epsilon,
delta). The last of R rounds has half of the divergence, as its noise stays in the answer:

.. math:: \sigma_R^2 = \frac{1}{A}, \qquad \sigma_r^2 = \frac{R - 1}{A} \text{ before.}

The rounds use the pseudo-likelihood; the last round uses the likelihood if the study's answer does.
One step is as efficient as the maximum (Le Cam's one-step estimator).

With masks each site adds its share of the noise, so that only the sum has all of it. Without masks
each message has all of it, and the sum has the noise of every site.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import scipy.linalg

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import restricted_inverse
from popinv.inference.estimators.scoring import Point, limited_step
from popinv.inference.integrate.penalty import penalty_at
from popinv.late import torch
from popinv.methods import privacy
from popinv.methods.federated.channel import Channel, Message
from popinv.methods.federated.server import FederatedAnswer
from popinv.methods.federated.site import Estimator, Site
from popinv.methods.privacy import clipped
from popinv.seeds import generator

# Systems that the server simulates for the information of the likelihood.
_SIMULATED = 1000


@dataclass(frozen=True)
class Guarantee:
    """The (epsilon, delta) of a system, and the noise that gives it.

    ``early`` and ``last`` are the standard deviations of the noise in the sum, before the last
    round and in it, in units of the clipping length.
    """

    epsilon: float
    delta: float
    rounds: int
    early: float
    last: float

    def sigma(self, index: int) -> float:
        """Return the noise's standard deviation in a round; rounds count from 0."""
        return self.last if index == self.rounds - 1 else self.early

    @property
    def reached(self) -> float:
        """The epsilon that the noise of all rounds gives, computed again."""
        total = sum(0.5 / self.sigma(index) ** 2 for index in range(self.rounds))
        return privacy.epsilon(total, self.delta)


def guarantee(epsilon: float, delta: float, rounds: int) -> Guarantee:
    """Return the noise of some rounds for a guarantee.

    Examples
    --------
    >>> round(guarantee(1.0, 0.001, 5).reached, 6)
    1.0
    """
    total = privacy.coefficient(epsilon, delta)
    if rounds == 1:
        return Guarantee(epsilon, delta, 1, 0.0, math.sqrt(0.5 / total))
    early, last = math.sqrt((rounds - 1) / total), math.sqrt(1 / total)
    return Guarantee(epsilon, delta, rounds, early, last)


@dataclass(frozen=True)
class NoisyRound:
    """A round at p (n_p,).

    The whitening (k, n_p) maps a score to t. It is L^-1, and zero in the columns of parameters that
    are held. ``deviation`` is the noise's standard deviation in the sum of all sites, and
    ``longest`` is C.
    """

    p: np.ndarray
    whitening: np.ndarray
    deviation: float
    longest: float
    estimator: Estimator


class NoisyServer:
    """The server of sites that clip the contributions of their systems and add noise.

    ``clipping`` is C in units of the square root of the number of parameters, the root mean square
    length of a contribution. The seed determines the noise.
    """

    def __init__(
        self, sites: Sequence[Site], channel: Channel, wanted: Guarantee, clipping: float, seed: int
    ) -> None:
        self.sites, self.channel, self.wanted = sites, channel, wanted
        self.clipping, self.seed = clipping, seed
        self.problem: Problem = sites[0].of_all
        self.count = sites[0].systems
        self.steps: list[NoisyRound] = []

    def answer(self, start: np.ndarray, estimator: Estimator) -> FederatedAnswer:
        """Return the answer from a start (n_p,) that depends on no observation.

        The covariance follows from the model, with the noise of the last round.
        """
        p, wanted = np.array(start, dtype=float), self.wanted
        for index in range(wanted.rounds):
            last = index == wanted.rounds - 1
            used: Estimator = estimator if last else "pseudo_likelihood"
            p, covariance = self._step(p, index, used)
        return FederatedAnswer(p, covariance, math.nan, True)

    def _step(self, p: np.ndarray, index: int, used: Estimator) -> tuple[np.ndarray, np.ndarray]:
        """Return the parameters after a round, and their covariance by the model."""
        problem = self.problem if used == "likelihood" else self.problem.of_moments
        each = self._information(p, used)
        free = problem.free & (np.diag(each) > 0)
        inner = np.flatnonzero(free)
        lower = np.linalg.cholesky(each[np.ix_(inner, inner)])
        whitening = np.zeros((len(inner), len(p)))
        whitening[:, inner] = scipy.linalg.solve_triangular(lower, np.eye(len(inner)), lower=True)
        longest = self.clipping * math.sqrt(len(inner))
        share = len(self.sites) if self.channel.secure else 1
        own = self.wanted.sigma(index) * longest / math.sqrt(share)
        whole = own * math.sqrt(len(self.sites))
        now = NoisyRound(p, whitening, whole, longest, used)
        answers = [partial(self._told, site, now, own, index) for site in self.sites]
        sent = np.concatenate([p, whitening[:, inner].ravel()])
        told = self.channel.ask("contributions", sent, answers, {"sum": np.array(1.0)})
        self.steps.append(now)
        score = np.zeros(len(p))
        score[inner] = lower @ told["sum"]
        penalty = penalty_at(problem, p)
        information = self.count * each + penalty.curvature
        point = Point(p, 0.0, score - penalty.gradient, information)
        change = limited_step(point, replace(problem, fixed=tuple(np.flatnonzero(~free))))
        bread = restricted_inverse(information, free)
        noise = whole**2 * each
        return p + change, bread @ (information + noise) @ bread

    def _told(self, site: Site, now: NoisyRound, deviation: float, index: int) -> Message:
        """Return a site's message: the sum of its clipped contributions, under noise."""
        each = clipped(site.scores(now.estimator, now.p) @ now.whitening.T, now.longest)
        rng = generator(self.seed, f"federated/noise/{site.name}", index)
        return {"sum": each.sum(axis=0) + deviation * rng.standard_normal(each.shape[1])}

    def _information(self, p: np.ndarray, used: Estimator) -> np.ndarray:
        """Return the expected information of a system at p, from the model alone."""
        if used == "pseudo_likelihood":
            # The expected information does not depend on the observations.
            empty = replace(self.problem, data=self.problem.data[:2])
            return replace(self.sites[0], problem=empty).pseudo(p).information / 2
        rng = generator(self.problem.seed, "federated/simulated")
        problem = self.problem
        omega = rng.standard_normal((_SIMULATED, problem.law.d_omega))
        e = rng.standard_normal((_SIMULATED, problem.data.shape[1]))
        with torch.no_grad():
            parameters = torch.from_numpy(p.copy())
            y = problem.model(parameters, torch.from_numpy(omega), torch.from_numpy(e))
        simulated = replace(problem, data=y.numpy())
        numbers = self.count + np.arange(_SIMULATED)
        server = replace(self.sites[0], name="server", problem=simulated, numbers=numbers)
        scores = server.scores(used, p)
        return np.asarray(scores.T @ scores) / _SIMULATED
