"""What the rounding of times to those of the forward model does to the observations."""

from __future__ import annotations

import numpy as np

from popinv.observation_files.table import ObservationTable


def moved_by_rounding(table: ObservationTable, y: np.ndarray, times: np.ndarray) -> float:
    r"""Return by how much rounding moves the observations, as a root mean square.

    To first order an observation at t + d instead of t is moved by ``d dG/dt``. The slopes are
    those of the noise-free curves y, by differences between the times of the forward model.

    Parameters
    ----------
    table : ObservationTable
        With ``time_shifts``.
    y : ndarray of shape (m, d_y)
        Noise-free observations of some systems, place-major, time fastest.
    times : ndarray of shape (n_t,)
        At least two.
    """
    assert table.time_shifts is not None
    curves = y.reshape(len(y), -1, len(times))
    slopes = np.gradient(curves, times, axis=2)
    square = (slopes**2).mean(axis=0).ravel()
    shifts = table.time_shifts.reshape(-1, len(square))
    return float(np.sqrt(np.nanmean(shifts**2 * square)))


def described_rounding(table: ObservationTable) -> str:
    """Return the size of the rounding in words, or "" if no time was rounded."""
    if table.time_shifts is None or not np.nanmax(np.abs(table.time_shifts)) > 0:
        return ""
    largest = float(np.nanmax(np.abs(table.time_shifts)))
    typical = float(np.sqrt(np.nanmean(table.time_shifts**2)))
    return (
        f"times are rounded to the nearest of the forward model, by at most {largest:.3g} "
        f"({typical:.3g} as a root mean square)"
    )
