"""What rounding and interpolation in time do to the observations of the first solves."""

from __future__ import annotations

import numpy as np

from popinv.config.study import Study
from popinv.forward.external.section import ExternalSection
from popinv.observation_files.table import ObservationTable, described_rounding, moved_by_rounding

# Observations may be moved by this share of the noise, which then grows by 2 %.
_MUCH = 0.2
# The error of interpolation is estimated from the error for half of the times.
_FEWEST_TIMES = 5


def rounded_in_time(study: Study, table: ObservationTable, y: np.ndarray) -> list[str]:
    """Return what the rounding of times does to the observations y (n, d_y), beside the noise."""
    told = described_rounding(table)
    times = np.unique(study.forward.observed(study.seed or 0).coordinates[:, -1])
    if not told or not len(y) or len(times) < 2:
        return [told] if told else []
    moved = moved_by_rounding(table, y, times)
    lines = [told, f"that moves the observations of the systems tried by {moved:.2g}"]
    return lines + _beside_noise(
        study,
        moved,
        "take more times (forward.observations.times), or interpolate between them "
        "(forward.observations.simulated_times)",
    )


def interpolated_in_time(study: Study, z: np.ndarray) -> list[str]:
    """Return the error of interpolating the systems z (n, d_z) in time, where this is done."""
    section = study.forward
    if not isinstance(section, ExternalSection) or section.observations.simulated_times is None:
        return []
    simulated = section.observations.asked_times() or []
    if len(simulated) < _FEWEST_TIMES or not len(z):
        return []
    from popinv.forward.external.observations import interpolation_error

    given = section.model_dump(by_alias=True)
    given["observations"] |= {"times": simulated, "simulated_times": None, "logarithm": False}
    y = type(section).model_validate(given).model(study.seed or 0).solve(z).observations
    curves = y[np.isfinite(y).all(axis=1)].reshape(-1, len(simulated))
    error = interpolation_error(curves, simulated, section.observations.interpolation)
    lines = [
        f"their observations are interpolated between {len(simulated)} times, with an error of up "
        f"to about {error:.1g} {_unit(section)}"
    ]
    if section.observations.logarithm:
        return lines
    return lines + _beside_noise(
        study, error, "take more times (forward.observations.simulated_times)"
    )


def _unit(section: ExternalSection) -> str:
    units = section.observations.units
    return "" if units == "1" else units


def _beside_noise(study: Study, moved: float, advice: str) -> list[str]:
    noise = getattr(study.noise.start, "standard_deviation", None)
    if not isinstance(noise, float) or moved <= _MUCH * noise:
        return []
    return [
        f"this is more than {_MUCH:g} of the noise at its start ({noise:g}), and will count as "
        f"noise; {advice}"
    ]
