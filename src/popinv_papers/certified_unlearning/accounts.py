r"""Epochs that a hundred requests take by several methods, on the constants of threes and eights.

All numbers follow from constants alone and have no chance in them. Two methods are compared with
noisy steps, for the same guarantee. Descent to delete (Neel, Roth and Sharifi-Malvajerdi 2021) is
full gradient descent with the step 2/(L + m), which contracts by gamma = (L - m)/(L + m), and noise
on the published parameters. Langevin unlearning (Chien, Wang, Chen and Li 2024) is full noisy
gradient descent, with a guarantee from a logarithmic Sobolev inequality. The formulas are as
restated and applied in the paper. The guarantee of descent to delete holds for records that are
added or removed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from popinv.errors import ConfigError
from popinv.methods.certificate.accountant import Form, Setting
from popinv_papers.certified_unlearning.digits import RADIUS
from popinv_papers.certified_unlearning.guarantees import sequential_epochs

# Orders minus 1 of the grid on which the guarantee of Langevin unlearning is minimised, before the
# best is refined. Each request doubles the order of the request before.
_ORDERS = np.geomspace(1e-3, 1e5, 200)


@dataclass(frozen=True)
class DescentToDelete:
    """Descent to delete for m-strongly convex losses.

    Attributes
    ----------
    setting : Setting
        Its rate and batch are not used.
    """

    setting: Setting
    dimension: int

    def __post_init__(self) -> None:
        if not 0 < self.setting.strong < self.setting.smooth:
            raise ConfigError("descent to delete needs strong convexity, and less than smoothness")

    @property
    def contraction(self) -> float:
        """The contraction factor gamma of a step."""
        setting = self.setting
        return (setting.smooth - setting.strong) / (setting.smooth + setting.strong)

    def sigma_secret(self, epsilon: float, delta: float, steps: int) -> float:
        """Return the noise if the state without noise is kept secret (Theorem 9)."""
        ell = math.log(1 / delta)
        root = math.sqrt(ell + epsilon) - math.sqrt(ell)
        return 4 * math.sqrt(2) * self._reached(steps) / root

    def sigma(self, epsilon: float, delta: float, steps: int) -> float:
        """Return the noise if only the published parameters are kept (Theorem 28)."""
        ell = 2 * math.log(2 / delta)
        return (
            8 * self._reached(steps) / (math.sqrt(ell + 3 * epsilon) - math.sqrt(ell + 2 * epsilon))
        )

    def _reached(self, steps: int) -> float:
        """M gamma^I / (m n (1 - gamma^I)): the effect of a removed record after I steps."""
        setting, power = self.setting, self.contraction**steps
        return setting.lipschitz * power / (setting.strong * setting.n * (1 - power))

    def steps(self, epsilon: float, delta: float, sigma: float, requests: int) -> list[int]:
        """Return the steps of each request without a secret state (Theorem 28).

        Request i takes I + log(log(4 d i/delta))/log(1/gamma) steps, with both terms rounded up.
        The noise follows from the rounded number, as in the authors' code.
        """
        ell = 2 * math.log(2 / delta)
        rate = -math.log(self.contraction)
        root = math.sqrt(ell + epsilon) - math.sqrt(ell)
        least = math.log(math.sqrt(2 * self.dimension) / ((1 - self.contraction) * root)) / rate
        steps_by_request = []
        for i in range(1, requests + 1):
            extra = math.ceil(math.log(math.log(4 * self.dimension * i / delta)) / rate)
            steps = max(1, math.ceil(least)) + extra
            while self.sigma(epsilon, delta, steps) > sigma:
                steps += 1
            steps_by_request.append(steps)
        return steps_by_request


@dataclass(frozen=True)
class Langevin:
    """Langevin unlearning with full gradients and strongly convex losses, after convergence.

    Attributes
    ----------
    setting : Setting
        Its batch is not used.
    records : int
        S, the number of records removed at each request.
    """

    setting: Setting
    records: int = 1

    def __post_init__(self) -> None:
        if not self.setting.strong > 0:
            raise ConfigError("Langevin unlearning is implemented for strongly convex losses")

    def divergence(self, order: float, sigma: float, epochs: list[int]) -> float:
        r"""Return the bound on the divergence of an order after the last of many requests.

        With E(a) = 4 a S^2 M^2/(m sigma^2 n^2), the first request leaves exp(-m eta K/a) E(a), and
        each further one

        .. math:: e^{-m \eta K_s/a} \frac{a - 1/2}{a - 1} [E(2a) + \epsilon_{s-1}(2a)].
        """
        setting = self.setting
        shrink = setting.strong * setting.rate
        scale = setting.lipschitz * self.records / (sigma * setting.n)
        unit = 4 * scale**2 / setting.strong
        orders = [order * 2**i for i in range(len(epochs))]
        value = math.exp(-shrink * epochs[0] / orders[-1]) * unit * orders[-1]
        for a, steps in zip(reversed(orders[:-1]), epochs[1:], strict=True):
            joined = (a - 0.5) / (a - 1) * (unit * 2 * a + value)
            value = math.exp(-shrink * steps / a) * joined
        return value

    def epsilon(self, delta: float, sigma: float, epochs: list[int]) -> float:
        """Return the smallest epsilon over orders, after the last request."""
        ell = math.log(1 / delta)

        def at(log_u: float) -> float:
            u = math.exp(log_u)
            return self.divergence(1 + u, sigma, epochs) + ell / u

        grid = np.log(_ORDERS)
        values = [at(x) for x in grid]
        best = int(np.argmin(values))
        ends = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
        minimum = minimize_scalar(at, bounds=ends, method="bounded", options={"xatol": 1e-9})
        return min(float(minimum.fun), values[best])

    def epochs(self, epsilon: float, delta: float, sigma: float, requests: int) -> list[int]:
        """Return the smallest number of epochs of each request, one after the other."""
        epochs_by_request: list[int] = []
        for _ in range(requests):
            low, high = 0, 1
            while self.epsilon(delta, sigma, [*epochs_by_request, high]) > epsilon:
                low, high = high, 2 * high
            while high - low > 1:
                middle = (low + high) // 2
                if self.epsilon(delta, sigma, [*epochs_by_request, middle]) > epsilon:
                    low = middle
                else:
                    high = middle
            epochs_by_request.append(high)
        return epochs_by_request

    def sigma_for(self, epsilon: float, delta: float, epochs: int) -> float:
        """Return the smallest noise for (epsilon, delta) after the first request."""

        def excess(log_sigma: float) -> float:
            return self.epsilon(delta, math.exp(log_sigma), [epochs]) - epsilon

        return math.exp(float(brentq(excess, math.log(1e-9), math.log(1e6), xtol=1e-10)))


RECORDS = 11_264
DIMENSION = 784
# The paper's second data: cats and ships of CIFAR-10, as 512 features of a pretrained network.
SECOND_RECORDS, SECOND_DIMENSION = 9728, 512
REQUESTS = 100
EPSILON, SIGMA = 1.0, 0.03
BATCHES = (32, 128, 256, 512, RECORDS)
NOISES = (0.05, 0.1, 0.2, 0.5, 1.0)
MORE_NOISES = (0.01, *NOISES)
NOISE_BATCHES = (32, 128, 512, RECORDS)
# Epochs of learning by batch, as the paper's text has them.
_LEARNT = {32: 10, 128: 20, 512: 50, RECORDS: 1000}


def constants(batch: int, n: int = RECORDS, smooth: float | None = None) -> Setting:
    """Return the paper's constants: m = 1e-6 n, L = 1/4 + m, M = 1, the rate 1/L, R = 100."""
    strong = 1e-6 * n
    smooth = smooth or 0.25 + strong
    return Setting(n, batch, 1 / smooth, strong, smooth, 1.0, RADIUS)


# The constants behind the authors' stored results of the other methods: all images, and a
# smoothness that was taken from the data, smaller than the bound that the noisy steps are held to.
OTHER = constants(11_982, 11_982, 0.1947006)


def name_of(batch: int) -> str:
    """Return "b128", or "full" for a single batch."""
    return f"b{batch}" if batch in BATCHES[:-1] else "full"


def epochs_of_methods() -> dict[str, np.ndarray]:
    """Return the epochs (requests,) of a hundred requests by method, one L for all.

    Langevin unlearning removes ten records at a time: its epochs belong to every tenth request.
    """
    found = {name_of(batch): np.array(_noisy(constants(batch))) for batch in BATCHES}
    for ending, setting in (("", constants(RECORDS)), ("_other_smoothness", OTHER)):
        rivals = _rivals(setting, DIMENSION)
        found |= {f"{name}{ending}": epochs for name, epochs in rivals.items()}
    return found


def epochs_of_second() -> dict[str, np.ndarray]:
    """Return the same on the constants of the second data, for fewer batches."""
    n = SECOND_RECORDS
    found = {
        name: np.array(_noisy(constants(batch, n))) for name, batch in (("full", n), ("b128", 128))
    }
    return found | _rivals(constants(n, n), SECOND_DIMENSION)


def _noisy(
    setting: Setting,
    epsilon: float = EPSILON,
    sigma: float = SIGMA,
    learnt: float = math.inf,
    forms: Form | Sequence[Form] = "exact",
) -> list[int]:
    """Return the epochs of each request by noisy steps, after ``learnt`` epochs of learning."""
    gaps = [setting.gap(epochs=learnt)] * REQUESTS
    return sequential_epochs(setting, epsilon, 1 / setting.n, sigma, gaps, forms)[0]


def _rivals(setting: Setting, dimension: int) -> dict[str, np.ndarray]:
    """Return the epochs of descent to delete and of Langevin unlearning, by name."""
    delta, together = 1 / setting.n, 10
    deletion = DescentToDelete(setting, dimension).steps(EPSILON, delta, SIGMA, REQUESTS)
    at_once = Langevin(setting, together).epochs(EPSILON, delta, SIGMA, REQUESTS // together)
    langevin = np.zeros(REQUESTS, dtype=int)
    langevin[together - 1 :: together] = at_once
    return {"delete": np.array(deletion), "langevin": langevin}


def epochs_by_noise(form: Form | None = None) -> np.ndarray:
    """Return the epochs (noises, batches, requests) at epsilon = 0.01.

    By default the forms are as in the authors' code: the paper's for the first request, and the
    exact one for all others.
    """
    others: Form = form or "exact"
    forms: list[Form] = [form or "paper", *[others] * (REQUESTS - 1)]
    return np.array(
        [
            [_noisy(constants(batch), 0.01, sigma, forms=forms) for batch in NOISE_BATCHES]
            for sigma in MORE_NOISES
        ]
    )


def epochs_without_convexity(
    batch: int, epsilon: float, sigma: float, n: int = RECORDS
) -> np.ndarray:
    """Return the epochs (requests,) with a regulariser that the accountant does not use.

    Without strong convexity the gap grows with the epochs of learning (Corollary 3.10).
    """
    with_it = constants(batch, n)
    setting = Setting(n, batch, with_it.rate, 0.0, with_it.smooth, 1.0, RADIUS)
    return np.array(_noisy(setting, epsilon, sigma, _LEARNT[batch]))
