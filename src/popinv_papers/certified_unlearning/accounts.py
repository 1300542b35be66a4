"""Epochs that a hundred requests take by several methods, on the constants of threes and eights.

All numbers follow from constants alone and have no chance in them.
"""

from __future__ import annotations

import numpy as np

from popinv.methods.certificate.accountant import Form, Setting, sequential_epochs
from popinv_papers.certified_unlearning.baselines import DescentToDelete, Langevin
from popinv_papers.certified_unlearning.digits import RADIUS

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

    Langevin unlearning removes ten records at a time: its epochs are those of every tenth request.
    """
    found = {name_of(batch): _noisy(constants(batch)) for batch in BATCHES}
    for ending, setting in (("", constants(RECORDS)), ("_other_smoothness", OTHER)):
        rivals = _rivals(setting, DIMENSION)
        found |= {f"{name}{ending}": epochs for name, epochs in rivals.items()}
    return found


def epochs_of_second() -> dict[str, np.ndarray]:
    """Return the same on the constants of the second data, for fewer batches."""
    n = SECOND_RECORDS
    found = {name: _noisy(constants(batch, n)) for name, batch in (("full", n), ("b128", 128))}
    return found | _rivals(constants(n, n), SECOND_DIMENSION)


def _noisy(setting: Setting) -> np.ndarray:
    gaps = [setting.gap()] * REQUESTS
    return np.array(sequential_epochs(setting, EPSILON, 1 / setting.n, SIGMA, gaps)[0])


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

    By default the forms are those of the authors' code: the paper's for the first request, and the
    exact one for all others.
    """
    others: Form = form or "exact"
    forms: list[Form] = [form or "paper", *[others] * (REQUESTS - 1)]
    epochs = []
    for sigma in MORE_NOISES:
        for batch in NOISE_BATCHES:
            setting = constants(batch)
            gaps = [setting.gap()] * REQUESTS
            epochs.append(sequential_epochs(setting, 0.01, 1 / RECORDS, sigma, gaps, forms)[0])
    return np.array(epochs).reshape(len(MORE_NOISES), len(NOISE_BATCHES), REQUESTS)


def epochs_without_convexity(
    batch: int, epsilon: float, sigma: float, n: int = RECORDS
) -> np.ndarray:
    """Return the epochs (requests,) with a regulariser that the accountant does not use.

    Without strong convexity the gap grows with the epochs of learning (Corollary 3.10).
    """
    with_it = constants(batch, n)
    setting = Setting(n, batch, with_it.rate, 0.0, with_it.smooth, 1.0, RADIUS)
    gaps = [setting.gap(epochs=_LEARNT[batch])] * REQUESTS
    return np.array(sequential_epochs(setting, epsilon, 1 / n, sigma, gaps)[0])
