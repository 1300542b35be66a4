"""Diagnostics of the mixing of chains: split R-hat and the effective sample size."""

from __future__ import annotations

import numpy as np

# A smaller range relative to the size is rounding, as of a parameter that does not vary.
_ROUNDING = 1e-12


def _varies(z: np.ndarray) -> np.ndarray:
    """Return whether anything but rounding varies, shape of z without two axes."""
    return np.ptp(z, axis=(0, 1)) > _ROUNDING * np.abs(z).max(axis=(0, 1))


def split_r_hat(z: np.ndarray) -> np.ndarray:
    """Return Gelman and Rubin's statistic of the chains' halves, shape of z without two axes.

    Parameters
    ----------
    z : ndarray of shape (chains, draws, ...)
        The last draw is left out if their number is odd.

    Returns
    -------
    ndarray
        sqrt(((n - 1)/n W + B/n) / W) with the variances W within and B between the halves of n
        draws; 1 if nothing varies.
    """
    half = z.shape[1] // 2
    halves = np.concatenate([z[:, :half], z[:, half : 2 * half]])
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = half * halves.mean(axis=1).var(axis=0, ddof=1)
    total = (half - 1) / half * within + between / half
    varies = _varies(z) & (within > 0)
    return np.sqrt(np.where(varies, total / np.where(varies, within, 1), 1.0))


def effective_sample_size(z: np.ndarray) -> np.ndarray:
    r"""Return the number of equivalent independent draws, shape of z without two axes.

    .. math:: S_e = \frac{c\,n}{1 + 2 \sum_{t \ge 1} \rho_t}, \qquad
        \rho_t = 1 - \frac{W - \bar\gamma_t}{V},

    with c chains of n draws, gamma_t the mean over chains of their autocovariances,
    W = gamma_0 n/(n - 1), and V the variance that also includes the differences between chains, as
    in R-hat. The sum ends with Geyer's initial monotone sequence: sums of neighbouring pairs, while
    they are positive, and none larger than the one before (Statistical Science 7, 1992).

    Parameters
    ----------
    z : ndarray of shape (chains, draws, ...)

    Returns
    -------
    ndarray
        At most c n log10(c n), as is usual for alternating chains; c n if nothing varies.
    """
    chains, n = z.shape[:2]
    centred = z - z.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * n, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, 2 * n, axis=1)[:, :n].mean(axis=0) / n
    within = covariance[0] * n / (n - 1)
    between = z.mean(axis=1).var(axis=0, ddof=1) if chains > 1 else 0.0
    total = (n - 1) / n * within + between
    varies = _varies(z)
    correlation = 1 - (within - covariance) / np.where(varies, total, 1)
    correlation[0] = 1
    pairs = correlation[: n // 2 * 2].reshape(n // 2, 2, *z.shape[2:]).sum(axis=1)
    pairs[np.cumsum(pairs <= 0, axis=0) > 0] = 0
    pairs = np.minimum.accumulate(pairs, axis=0)
    most = np.log10(chains * n)
    sample_sizes = chains * n / np.maximum(2 * pairs.sum(axis=0) - 1, 1 / most)
    return np.where(varies, sample_sizes, float(chains * n))
