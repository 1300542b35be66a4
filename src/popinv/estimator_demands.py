"""What the estimators of law and noise need: passes through the surrogate, and arrays.

Their time is that of the passes. One takes a system through the surrogate; with the gradient it
counts for three, and along a tangent for two. How many there are follows from how the estimators
go (:mod:`popinv.inference.likelihood`, :mod:`popinv.inference.resampling`);
``tests/test_estimator_demands.py`` counts those that are really made.
"""

from __future__ import annotations

import math
from dataclasses import replace

from popinv.study_sizes import FLOPS, WITH_TORCH_MB, Demand, Sizes, megabytes

__all__ = [
    "activations",
    "descents",
    "estimating",
    "estimating_passes",
    "likelihoods",
    "multiply_adds",
    "pseudo_likelihood",
    "resampling",
    "resampling_passes",
]

_GRADIENT, _TANGENT = 3.0, 2.0
# Draws of the pseudo-likelihood's moments: for each system, at least and at most, and those that
# come close to the answer.
_DRAWS_PER_SYSTEM, _FEWEST_DRAWS, _MOST_DRAWS, _FIRST_DRAWS = 16, 16_000, 400_000, 4000
# Evaluations of the pseudo-likelihood, with few draws and with all: of an estimate from the study's
# start, and of a resample from the answer.
_PSEUDO, _PSEUDO_AGAIN = (30, 8), (6, 5)
# The same of the likelihood: however many systems there are, and by how many more the fewer there
# are, as the likelihood is then less of a parabola. Steps to the modes come before them.
_MARGINAL, _MARGINAL_AGAIN = (6, 3000), (4, 1200)
_FIRST_MODE_STEPS, _FIRST_MODE_STEPS_AGAIN, _MODE_STEPS = 30, 8, 1
# One system in twenty has its draws corrected along all tangents, twice.
_CORRECTIONS = 0.05 * 2
# Systems whose scores tell the curvature, each at two points for every parameter.
_CURVATURE_SYSTEMS = 400
# Fresh solves are observed twice through solver and surrogate, and that is done so often.
_PUSHES, _PUSHED = 3, 4
# Samples that a step of a descent takes through the surrogate, its curvature included.
_PER_SAMPLE = 4.0
# Steps of a resample's descent, and where the noise is unrestricted.
_DESCENT_AGAIN, _DESCENT_AGAIN_FULL = 12, 80
# Seconds that an estimate takes whatever its size.
_ESTIMATE_SECONDS, _RESAMPLE_SECONDS = 30.0, 1.0


def multiply_adds(of: Sizes) -> float:
    """Products that one pass forward through the surrogate sums up, per system."""
    network = of.study["surrogate"]
    width = network["width"]
    if network["network"] == "fno":
        return (
            of.cost.cells * network["fourier_layers"] * width * (width + 4 * math.log2(2 + width))
        )
    return width * (of.row + network["depth"] * width)


def activations(of: Sizes) -> float:
    """Numbers per system that a pass keeps for the gradient."""
    network = of.study["surrogate"]
    if network["network"] == "fno":
        return 4.0 * of.cost.cells * network["fourier_layers"] * network["width"]
    return 2.0 * network["depth"] * network["width"] + of.row


def _seconds(of: Sizes, passes: float) -> float:
    return passes * 2 * multiply_adds(of) / FLOPS


def descents(of: Sizes, systems: int, count: float = 1, iterations: int | None = None) -> Demand:
    """One descent after the other: memory of one, time of all."""
    asked = of.study["descent"]
    samples, directions = asked["model_samples"], asked["directions"]
    data = min(systems, asked["batch_size"] or systems)
    # Covariances and their factors, besides the samples.
    numbers = 3 * (systems + samples) * of.row + 8 * of.observed**2
    numbers += 10 * (data + samples) * directions + 3 * samples * activations(of)
    if of.study["noise"]["kind"] == "full":
        numbers += 4 * (of.observed * (of.observed + 1) / 2) ** 2
    of_step = _seconds(of, _PER_SAMPLE * samples) + 1e-7 * (data + samples) * directions + 5e-3
    steps = (asked["iterations"] if iterations is None else iterations) * count
    return Demand(WITH_TORCH_MB + megabytes(numbers), steps * of_step)


# --- passes --------------------------------------------------------------------------------------


def _pseudo_passes(of: Sizes, evaluations: tuple[int, int]) -> float:
    few, all_draws = evaluations
    draws = min(max(_FEWEST_DRAWS, _DRAWS_PER_SYSTEM * of.systems), _MOST_DRAWS)
    # Derivatives in the law are central differences, or tangents, which cost as much.
    return (few * _FIRST_DRAWS + all_draws * draws) * (1 + 2 * of.laws)


def _marginal_passes(
    of: Sizes, evaluations: tuple[int, int], first_steps: int, others: float = 0.0
) -> float:
    """Return passes of evaluations for all systems, and of one evaluation for ``others`` more."""
    least, falling = evaluations
    count, numbers = least + falling / of.systems, of.row - of.observed
    along_all = _TANGENT * numbers
    of_draws = of.study["polish"]["draws"] * (_GRADIENT + _CORRECTIONS * along_all)
    of_modes = (first_steps + _MODE_STEPS * count) * (1 + along_all)
    later = others * (of_draws + _MODE_STEPS * (1 + along_all))
    return of.systems * (count * of_draws + of_modes) + later


def _parameters(of: Sizes) -> float:
    """Parameters of law and noise, about."""
    least = {"isotropic": 1, "kernel": 3, "full": of.observed * (of.observed + 1) / 2}
    return of.laws + least.get(of.study["noise"]["kind"], of.observed)


def estimating_passes(of: Sizes) -> dict[str, float]:
    """Return the passes of one estimate from the study's start, by estimator.

    Those of the likelihood are beside those of the pseudo-likelihood, from whose end it begins, and
    a descent is one leg.
    """
    fresh = of.study["assessment"]["surrogate_check"]
    others = 2 * _parameters(of) * min(_CURVATURE_SYSTEMS, of.systems) + _PUSHES * _PUSHED * fresh
    asked = of.study["descent"]
    return {
        "pseudo_likelihood": _pseudo_passes(of, _PSEUDO),
        "likelihood": _marginal_passes(of, _MARGINAL, _FIRST_MODE_STEPS, others),
        "distance": _PER_SAMPLE * asked["model_samples"] * asked["iterations"],
    }


def resampling_passes(of: Sizes) -> dict[str, float]:
    """Return the passes of one resample, from the answer, by the estimator that gave it."""
    return {
        "pseudo_likelihood": _pseudo_passes(of, _PSEUDO_AGAIN),
        "likelihood": _marginal_passes(of, _MARGINAL_AGAIN, _FIRST_MODE_STEPS_AGAIN),
        "distance": _PER_SAMPLE * of.study["descent"]["model_samples"] * _steps_again(of),
    }


def _steps_again(of: Sizes) -> int:
    return _DESCENT_AGAIN_FULL if of.study["noise"]["kind"] == "full" else _DESCENT_AGAIN


# --- demands -------------------------------------------------------------------------------------


def pseudo_likelihood(of: Sizes) -> Demand:
    """Return what an estimate by pseudo-likelihood through the surrogate needs."""
    numbers = 3.0 * (of.systems + 20_000) * of.row + 8 * of.observed**2
    numbers += 20_000 * activations(of)
    seconds = _pseudo_seconds(of, estimating_passes(of)["pseudo_likelihood"])
    return Demand(WITH_TORCH_MB + megabytes(numbers), _ESTIMATE_SECONDS + seconds)


def likelihoods(of: Sizes, marginal: bool = True) -> Demand:
    """Return what the pseudo-likelihood needs, and where it is asked for the marginal one.

    Both may go through the solver, which takes its seconds besides.
    """
    first, budget = pseudo_likelihood(of), of.study["polish"]["solver_seconds"]
    needed = Demand(first.megabytes + of.cost.megabytes, first.seconds + budget)
    if not marginal:
        return needed
    return Demand(
        needed.megabytes + megabytes(_of_blocks(of)),
        needed.seconds + budget + _seconds(of, estimating_passes(of)["likelihood"]),
    )


def estimating(of: Sizes, systems: int | None = None) -> Demand:
    """Return what one estimate needs, by the estimator that the study asks for.

    Parameters
    ----------
    of : Sizes
    systems : int, optional
        How many there are; by default all of the study.
    """
    of = of if systems is None else replace(of, systems=systems)
    wanted, legs = of.study["estimator"], of.study["descent"]["legs"]
    if wanted == "distance":
        return descents(of, of.systems, legs)
    needed = likelihoods(of, wanted != "pseudo_likelihood")
    # Where neither likelihood passes, the distance has to do; it mostly arrives in one leg.
    leg = descents(of, of.systems)
    after = leg.seconds if wanted == "auto" else 0.0
    return Demand(max(needed.megabytes, leg.megabytes), needed.seconds + after)


def resampling(of: Sizes, resamples: int) -> Demand:
    """Return what so many estimates from resampled systems need, and the one on the systems.

    Which estimator has given the answer is not known before: with ``auto`` it is taken to be the
    one that takes longest.
    """
    count, passes = resamples + 1, resampling_passes(of)
    distance = descents(of, of.systems, count, iterations=_steps_again(of))
    seconds = {
        "pseudo_likelihood": _RESAMPLE_SECONDS + _pseudo_seconds(of, passes["pseudo_likelihood"]),
        "likelihood": _RESAMPLE_SECONDS + _seconds(of, passes["likelihood"]),
        "distance": distance.seconds / count,
    }
    each = seconds.get(of.study["estimator"], max(seconds.values()))
    memory = pseudo_likelihood(of).megabytes + megabytes(_of_blocks(of))
    return Demand(max(memory, distance.megabytes), count * each)


def _of_blocks(of: Sizes) -> float:
    # A block of systems of the marginal likelihood is cut to about so many numbers.
    return 20 * 2**23 + 8.0 * of.systems * of.row


def _pseudo_seconds(of: Sizes, passes: float) -> float:
    # Besides the passes there are products of each observation with itself.
    return _seconds(of, passes) + 1e-9 * passes * of.observed**2
