r"""What a number of epochs of projected noisy SGD is worth, and what a guarantee costs.

Two runs of the same iterations, on data that differ, are driven by the same noise: then they stay
within a gap Z that the strong convexity shrinks by c = 1 - eta m in every iteration. Later noise
hides that gap (privacy amplification by iteration), so that after K epochs of n/b iterations the
Rényi divergence of order a is at most

.. math:: a A, \quad A = \frac{Z^2}{2 \eta \sigma^2} \rho, \quad \rho = c^{2 K n / b}.

Forms of the guarantee:

``paper``  rho as above for c < 1, and 1/(K n/b) for c = 1.
``exact``  rho = c^{2N} (1 - c^2)/(1 - c^{2N}), N = K n/b: the shift divided among the iterations
           in the best way. Equal to ``paper`` at N = 1, and 1/N in the limit of c = 1.
``tight``  as ``exact``, and half of it: each iteration adds noise of the variance 2 eta sigma^2,
           for which the lemma gives Z^2/(4 eta sigma^2). Nothing is left to gain for quadratic
           losses, where all laws are normal.

Source: Chien, Wang, Chen and Li (arXiv 2403.17105): Lemmas 2.6, 3.3 and 3.4, Theorems 3.2 and
3.11, Corollaries 3.7, 3.8, 3.10 and J.1. ``exact`` is what their code uses from the second request
on; ``tight`` and the closed forms for sigma and the epochs are derived here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import logsumexp

from popinv.downstream.certified_unlearning import conversion
from popinv.errors import ConfigError, nearest

__all__ = ["FORMS", "Form", "Setting", "sequential_epochs", "worst_counts"]

Form = Literal["paper", "exact", "tight"]
FORMS: tuple[Form, ...] = ("paper", "exact", "tight")
# Relative size of rounding that may not decide whether one more epoch is needed.
_ROUNDING = 1e-12
_LEAST = 1e-280


@dataclass(frozen=True)
class Setting:
    """What the assumptions of the guarantee are about.

    Attributes
    ----------
    n, batch : int
        Records, and records in each batch of the fixed partition; batch divides n.
    rate : float
        Learning rate eta, at most 1/L.
    strong, smooth : float
        m and L: each record's loss is m-strongly convex (0: convex) and L-smooth.
    lipschitz : float
        M. Gradients of two records differ by at most 2 M at every place.
    radius : float
        R of the ball that parameters are projected on; infinite without projection.
    emptied : bool
        Whether a removed record leaves an empty place, whose loss is the regulariser alone,
        instead of being replaced by another record: then gradients differ by M only.

    Raises
    ------
    ConfigError
        If no guarantee follows from such constants.
    """

    n: int
    batch: int
    rate: float
    strong: float
    smooth: float
    lipschitz: float
    radius: float = math.inf
    emptied: bool = False

    def __post_init__(self) -> None:
        if self.n < 1 or self.batch < 1 or self.n % self.batch:
            raise ConfigError(
                f"{self.n} records cannot be divided into batches of {self.batch}: the number of "
                "records must be a multiple of it"
            )
        if not 0 <= self.strong <= self.smooth < math.inf or self.smooth == 0:
            raise ConfigError(
                f"strong convexity {self.strong:g} and smoothness {self.smooth:g}: must be "
                "0 <= m <= L, L positive"
            )
        if not 0 < self.rate <= (1 + _ROUNDING) / self.smooth:
            raise ConfigError(
                f"the learning rate is {self.rate:g}, must be positive and at most 1/L = "
                f"{1 / self.smooth:g}, or a gradient step need not be a contraction"
            )
        if not 0 < self.lipschitz < math.inf:
            raise ConfigError(
                f"the bound on gradients is {self.lipschitz:g}, must be positive and finite: clip "
                "the gradients"
            )
        if not self.radius > 0:
            raise ConfigError(f"the radius is {self.radius:g}, must be positive")

    @property
    def batches(self) -> int:
        """Iterations of an epoch, n/b."""
        return self.n // self.batch

    @property
    def contraction(self) -> float:
        """The factor c = 1 - eta m by which an iteration brings two runs closer."""
        return 1 - self.rate * self.strong

    @property
    def _log_c(self) -> float:
        shrink = self.rate * self.strong
        return math.log1p(-shrink) if shrink < 1 else -math.inf

    # --- gaps -------------------------------------------------------------------------------------

    def geometric(self, epochs: float = math.inf) -> float:
        """Return (1 - c^{T n/b})/(1 - c^{n/b}), or T for c = 1: the sum over T epochs' shares."""
        if self._log_c == 0:
            return epochs
        past = math.expm1(epochs * self.batches * self._log_c) if epochs < math.inf else -1.0
        return past / math.expm1(self.batches * self._log_c)

    def gap_of(self, counts: Sequence[int] | np.ndarray, epochs: float = math.inf) -> float:
        """Return W_inf between T epochs on data that differ, by batch (Lemma 3.3, Corollary J.1).

        Parameters
        ----------
        counts : array_like of int, shape (n/b,)
            Records that differ in each batch.
        epochs : float
            T, infinite for the stationary laws.

        Raises
        ------
        ConfigError
            If there are not as many counts as batches, or a batch has fewer records than that.
        """
        given = np.asarray(counts)
        if given.shape != (self.batches,) or given.min() < 0 or given.max() > self.batch:
            raise ConfigError(
                f"records that differ must be counted for {self.batches} batches, each from 0 to "
                f"{self.batch}"
            )
        touched = np.flatnonzero(given)
        # 0 * -inf is not a number; c^0 = 1 also for c = 0.
        later = self.batches - 1 - touched
        shrunk = np.where(later > 0, np.exp(np.maximum(later, 1) * self._log_c), 1.0)
        return self._bounded(epochs, float(shrunk @ given[touched]))

    def gap(self, records: int = 1, epochs: float = math.inf) -> float:
        """Return that gap in the worst case, of so many records wherever they are.

        Z_B for one record and infinitely many epochs.
        """
        if records == 1:
            return self._bounded(epochs, 1.0)
        return self.gap_of(worst_counts(self, records), epochs)

    def _bounded(self, epochs: float, weight: float) -> float:
        if weight == 0:
            return 0.0
        differ = self.lipschitz if self.emptied else 2 * self.lipschitz
        return min(self.geometric(epochs) * weight * self.rate * differ / self.batch, self.widest)

    @property
    def widest(self) -> float:
        """The diameter 2 R: no gap is larger."""
        return 2 * self.radius

    def shrunk(self, gap: float, epochs: float) -> float:
        """Return c^{K n/b} times a gap: what is left of it after K epochs on equal data."""
        return gap * (math.exp(epochs * self.batches * self._log_c) if epochs else 1.0)

    # --- guarantees -------------------------------------------------------------------------------

    def decay(self, epochs: int, form: Form = "paper") -> float:
        """Return rho of K epochs, see above; of ``tight`` with its half."""
        _check_form(form)
        if epochs < 1:
            raise ConfigError(f"{epochs} epochs give no guarantee, at least 1 does")
        steps = epochs * self.batches
        if self._log_c == 0:
            value = 1 / steps
        else:
            value = math.exp(2 * steps * self._log_c)
            if form != "paper":
                value *= math.expm1(2 * self._log_c) / math.expm1(2 * steps * self._log_c)
        return value / 2 if form == "tight" else value

    def coefficient(self, gap: float, sigma: float, epochs: int, form: Form = "paper") -> float:
        """Return A: K epochs after a gap Z the divergence of order a is at most A a."""
        if not sigma > 0:
            raise ConfigError(f"sigma is {sigma:g}, must be positive: noise is what hides a record")
        return gap**2 * self.decay(epochs, form) / (2 * self.rate * sigma**2)

    def epsilon(
        self, delta: float, gap: float, sigma: float, epochs: int, form: Form = "paper"
    ) -> float:
        """Return epsilon after K epochs from a gap (Corollaries 3.7 and 3.10)."""
        return conversion.epsilon(self.coefficient(gap, sigma, epochs, form), delta)

    def sigma_for(
        self, epsilon: float, delta: float, gap: float, epochs: int, form: Form = "paper"
    ) -> float:
        """Return the smallest sigma with which K epochs from a gap give (epsilon, delta)."""
        wanted = conversion.coefficient(epsilon, delta)
        return gap * math.sqrt(self.decay(epochs, form) / (2 * self.rate * wanted))

    def epochs_for(
        self, epsilon: float, delta: float, gap: float, sigma: float, form: Form = "paper"
    ) -> int:
        """Return the fewest epochs, at least 1, that give (epsilon, delta) from a gap."""
        wanted = conversion.coefficient(epsilon, delta)
        return self._epochs(wanted, gap, sigma, form)

    def _epochs(self, wanted: float, gap: float, sigma: float, form: Form) -> int:
        """Return the fewest K with coefficient(K) <= wanted, by the inverse of rho."""
        if gap == 0 or self.coefficient(gap, sigma, 1, form) <= wanted:
            return 1
        rho = 2 * self.rate * sigma**2 * wanted / gap**2
        if form == "tight":
            rho *= 2
        if rho < _LEAST:
            raise ConfigError("epsilon, or sigma, is smaller than numbers can tell")
        if self._log_c == 0:
            steps = 1 / rho
        elif form == "paper":
            steps = math.log(rho) / (2 * self._log_c)
        else:
            steps = math.log1p(-math.expm1(2 * self._log_c) / rho) / (-2 * self._log_c)
        epochs = max(1, math.ceil(steps / self.batches * (1 - _ROUNDING)))
        # Rounding may be off by one at whole numbers.
        if epochs > 1 and self.coefficient(gap, sigma, epochs - 1, form) <= wanted:
            epochs -= 1
        while self.coefficient(gap, sigma, epochs, form) > wanted * (1 + _ROUNDING):
            epochs += 1
        return epochs

    # --- before convergence -----------------------------------------------------------------------

    def gap_before(self, learnt: int, records: int = 1) -> float:
        """Return the Z of Theorem 3.2: from T epochs on all data to the stationary law without."""
        if self.radius == math.inf:
            raise ConfigError("how far learning is from its end needs a ball: give a radius")
        return self.shrunk(self.widest, learnt) + self.gap(records, learnt)

    def coefficient_before(
        self, learnt: int, sigma: float, epochs: int, form: Form = "paper", records: int = 1
    ) -> float:
        """Return the sum of the two A that are joined after learning for only T epochs."""
        retrained = self.coefficient(self.widest, sigma, learnt, form)
        gap = self.gap_before(learnt, records)
        return retrained + self.coefficient(gap, sigma, epochs, form)

    def epsilon_before(
        self,
        delta: float,
        learnt: int,
        sigma: float,
        epochs: int,
        form: Form = "paper",
        records: int = 1,
    ) -> float:
        """Return epsilon against retraining for the same T epochs, before it converges (3.2)."""
        total = self.coefficient_before(learnt, sigma, epochs, form, records)
        return conversion.epsilon_joined(total, delta)

    def sigma_before(
        self,
        epsilon: float,
        delta: float,
        learnt: int,
        epochs: int,
        form: Form = "paper",
        records: int = 1,
    ) -> float:
        """Return the smallest sigma for (epsilon, delta) by Theorem 3.2."""
        wanted = conversion.joined_coefficient(epsilon, delta)
        return math.sqrt(self.coefficient_before(learnt, 1.0, epochs, form, records) / wanted)

    def epochs_before(
        self,
        epsilon: float,
        delta: float,
        learnt: int,
        sigma: float,
        form: Form = "paper",
        records: int = 1,
    ) -> int:
        """Return the fewest epochs for (epsilon, delta) by Theorem 3.2.

        Raises
        ------
        ConfigError
            If learning stopped too early for any number of epochs.
        """
        wanted = conversion.joined_coefficient(epsilon, delta)
        left = wanted - self.coefficient(self.widest, sigma, learnt, form)
        if left <= 0:
            raise ConfigError(
                f"{learnt} epochs of learning are too few for epsilon = {epsilon:g} with sigma = "
                f"{sigma:g}, whatever follows: learn longer, or add more noise"
            )
        return self._epochs(left, self.gap_before(learnt, records), sigma, form)

    # --- over the partition -----------------------------------------------------------------------

    def epsilon_random(
        self, delta: float, sigma: float, epochs: int, form: Form = "paper"
    ) -> float:
        r"""Return epsilon averaged over the random partition (Corollary 3.8).

        .. math:: \frac{1}{a - 1} \log E_j \exp(a (a - 1) A_j),

        j the batch of the removed record, uniform. Requests must not depend on the parameters that
        were published: those tell of the partition.
        """
        log_c = max(self._log_c, -1e300)
        later = range(self.batches)
        gaps = np.array([self._bounded(math.inf, math.exp(j * log_c)) for j in later])
        coefficients = gaps**2 * self.decay(epochs, form) / (2 * self.rate * sigma**2)

        def divergence(order: float) -> float:
            exponents = order * (order - 1) * coefficients
            return float(logsumexp(exponents) - math.log(self.batches)) / (order - 1)

        return conversion.least_epsilon(divergence, delta)


def worst_counts(setting: Setting, records: int) -> np.ndarray:
    """Return the worst division of removed records: the last batch full, then the one before.

    Raises
    ------
    ConfigError
        If there are not so many records.
    """
    if not 0 < records <= setting.n:
        raise ConfigError(f"{records} of {setting.n} records cannot be removed")
    counts = np.zeros(setting.batches, dtype=int)
    full, rest = divmod(records, setting.batch)
    counts[setting.batches - full :] = setting.batch
    if rest:
        counts[setting.batches - full - 1] = rest
    return counts


def sequential_epochs(
    setting: Setting,
    epsilon: float,
    delta: float,
    sigma: float,
    gaps: Sequence[float],
    forms: Form | Sequence[Form] = "exact",
) -> tuple[list[int], list[float]]:
    r"""Return the fewest epochs of each of many requests, one after the other (Theorem 3.11).

    .. math:: Z_1 = g_1, \quad Z_{s+1} = \min(c^{K_s n/b} Z_s + g_{s+1}, 2 R)

    with g_s the gap that the records of request s alone would open.

    Parameters
    ----------
    gaps : sequence of float
        Of each request.
    forms : str, or a sequence of them
        Of all requests, or of each.

    Returns
    -------
    epochs : list of int
    carried : list of float
        Z of each request, before its epochs.
    """
    of_each = [forms] * len(gaps) if isinstance(forms, str) else list(forms)
    if len(of_each) != len(gaps):
        raise ConfigError(f"{len(of_each)} forms for {len(gaps)} requests")
    epochs: list[int] = []
    carried: list[float] = []
    left = 0.0
    for gap, form in zip(gaps, of_each, strict=True):
        whole = min(left + gap, setting.widest)
        epochs.append(setting.epochs_for(epsilon, delta, whole, sigma, form))
        carried.append(whole)
        left = setting.shrunk(whole, epochs[-1])
    return epochs, carried


def _check_form(form: str) -> None:
    if form not in FORMS:
        raise ConfigError(
            f"form of the guarantee '{form}' is not known, allowed: {', '.join(FORMS)}."
            + nearest(form, FORMS)
        )
