"""The advice: train on several machines or not, and how; from predicted times, before the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from popinv_papers.birch.candidates import Candidate

# Several machines are advised if the prediction gains by more than it may be wrong.
_WORTH = 1.15


def advised(
    ways: Sequence[Candidate],
    predicted: Mapping[str, np.ndarray],
    measured: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Return times, speed-ups and the advice, flat.

    Parameters
    ----------
    ways : sequence of Candidate
        Speed-ups are over the first.
    predicted, measured : mapping of str to ndarray of shape (repeats,)
        Seconds to the target by name; NaN for a run that missed it.

    Returns
    -------
    dict
        ``advice`` is the name of a candidate: the fastest of several workers if its predicted
        speed-up over the fastest single worker is at least 1.15, else that single worker.
        ``several_machines`` says which of both it is.
    """
    first = ways[0].name
    # Both means are over the same runs.
    both = {
        way.name: ~np.isnan(predicted[way.name]) & ~np.isnan(measured[way.name]) for way in ways
    }
    mean = {
        clock: {name: float(of[name][met].mean()) for name, met in both.items()}
        for clock, of in (("predicted", predicted), ("measured", measured))
    }
    numbers: dict[str, Any] = {}
    for way in ways:
        name = way.name
        ratios = measured[name] / predicted[name]
        numbers |= {
            f"{name}_predicted_seconds": mean["predicted"][name],
            f"{name}_measured_seconds": mean["measured"][name],
            f"{name}_measured_over_predicted": mean["measured"][name] / mean["predicted"][name],
            f"{name}_measured_over_predicted_least": float(np.nanmin(ratios)),
            f"{name}_measured_over_predicted_most": float(np.nanmax(ratios)),
            f"{name}_missed": int(np.isnan(measured[name]).sum()),
        }
        for clock, times in mean.items():
            numbers[f"{name}_{clock}_speed_up"] = times[first] / times[name]
    by_time = sorted(ways, key=lambda way: mean["predicted"][way.name])
    alone = next(way for way in by_time if way.alone)
    several = next(way for way in by_time if not way.alone)
    gain = mean["predicted"][alone.name] / mean["predicted"][several.name]
    worth = gain >= _WORTH
    chosen = several if worth else alone
    fastest = min(ways, key=lambda way: mean["measured"][way.name])
    errors = [abs(numbers[f"{way.name}_measured_over_predicted"] - 1) for way in ways]
    wrong = [
        abs(numbers[f"{w.name}_measured_speed_up"] / numbers[f"{w.name}_predicted_speed_up"] - 1)
        for w in ways
    ]
    return numbers | {
        "advice": chosen.name,
        "several_machines": worth,
        "predicted_gain_over_one_worker": gain,
        "measured_gain_over_one_worker": mean["measured"][alone.name]
        / mean["measured"][several.name],
        "fastest_measured": fastest.name,
        "advice_measured_over_fastest": mean["measured"][chosen.name]
        / mean["measured"][fastest.name],
        "largest_error_of_seconds": max(errors),
        "largest_error_of_speed_up": max(wrong),
        "statement": _statement(chosen, alone, several, gain, mean),
    }


def _statement(
    chosen: Candidate,
    alone: Candidate,
    several: Candidate,
    gain: float,
    mean: Mapping[str, Mapping[str, float]],
) -> str:
    def both(way: Candidate) -> str:
        return (
            f"{mean['predicted'][way.name]:.3g} s predicted, "
            f"{mean['measured'][way.name]:.3g} s measured"
        )

    advice = f"train on {'one machine' if chosen.alone else 'several machines'}: {chosen.title}"
    other = alone if chosen is several else several
    return (
        f"{advice} ({both(chosen)}); {other.title} takes {both(other)}; several machines are "
        f"predicted to be {gain:.3g} times as fast as the fastest single one"
    )
