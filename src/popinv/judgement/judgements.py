"""The checks of a study's answer, in words: the reliability of the answer.

Each check reads the record of the answer. A check without a comparison is neutral, or is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from popinv.judgement.answer import StudyAnswer, finite
from popinv.judgement.estimator_judgements import estimator_judgements
from popinv.judgement.verdict import (
    HELD_OUT,
    UNJUDGED,
    Judgement,
    levels_of,
    readable,
    sentence,
)

# A study of some tens of replications can require a coverage of 95 % intervals within this band.
COVERAGE_WANTED = (0.85, 0.99)

_ADJUSTED = (
    "Each test checks with all systems whether a larger model describes them better. The p-value "
    "is the chance that a right model shows as large a difference in any of the tests of law, "
    "noise and simulator."
)
_EFFECTS = {
    "law": "The recovered law is the closest one of its kind: its parameters describe the "
    "population only as far as its shape does.",
    "noise": "What the noise does not describe may count as spread of the law, and intervals may "
    "be too narrow.",
    "simulator": "The law takes up a part of the simulator's error: its parameters may be wrong by "
    "more than their intervals say.",
}
_SURROGATE = "The surrogate's error biases the law and the noise, unless it is corrected."
# Noise below this share of the observations' spread has collapsed, or is very precise.
_COLLAPSED = 1e-3
# Share of the information that a normal density loses by the shape of a random simulator's answer.
# Counts of 20 cells that divide lose 0.03, of four cells 0.19, and Poisson counts of six with
# noise of 0.5 lose 0.06.
_LOST = 0.05
# Below this share of noise and discrepancy of each system together, the discrepancy has taken the
# noise of the measurement.
_TAKEN = 0.1
# What so many systems would determine is not a fault of the model.
_ENOUGH = 100
# Largest number of named mistakes that would hardly be seen.
_NAMED = 3
DISCREPANCY, AGAINST_TRUTH = "Error of the simulator", "Against the truth"
# An error of the simulator is seen if the log evidence rises by more than this (a ratio of 20).
_GAIN = 3.0


def judgements(
    answer: StudyAnswer, calibration: Mapping[str, Any] | None = None
) -> tuple[Judgement, ...]:
    """Return the checks of the answer and their results.

    Parameters
    ----------
    calibration : mapping, optional
        ``evidence/calibration.json``.
    """
    parts = (
        _truth(answer),
        estimator_judgements(answer),
        _specification(answer),
        _heldout(answer),
        _noise_size(answer),
        _discrepancy(answer),
        _identifiability(answer),
        _surrogate(answer),
        _sampling_error(answer),
        _intrinsic(answer),
        _solver(answer),
        _calibration(calibration),
    )
    found = (judgement for part in parts for judgement in part)
    return tuple(each if each.verdict == "doubt" else replace(each, effect="") for each in found)


def _truth(answer: StudyAnswer) -> Iterator[Judgement]:
    if (errors := answer.truth) is None:
        return
    law, noise = f"{errors.law_largest:.3f}", f"{errors.noise:.3f}"
    short = f"largest error {law} (law), {noise} (noise)"
    text = (
        f"The largest relative error of the law is {law} (absolute if the truth is below 0.1). The "
        f"relative error of the noise covariance is {noise}."
    )
    for to_oracle, part, told in (
        (errors.law_to_oracle, "law", "noise"),
        (errors.noise_to_oracle, "noise", "law"),
    ):
        if to_oracle is not None:
            short += f"; {part} {to_oracle:.2f} times its oracle's"
            text += (
                f" The root mean square error of the {part} is {to_oracle:.2f} times the error of "
                f"an estimate that knows the {told}."
            )
    known = [p.holds for p in answer.parameters if p.determined and p.holds is not None]
    if not known:
        meaning = "There are no intervals to compare with the truth."
        yield Judgement(AGAINST_TRUTH, "neutral", short, text, meaning)
        return
    text += f" {sum(known)} of {len(known)} intervals (of 95 %) hold the true value."
    short += f"; {sum(known)} of {len(known)} intervals hold the truth"
    missed = len(known) - sum(known)
    outside = [p.name for p in answer.parameters if p.determined and p.holds is False]
    # One in twenty 95 % intervals misses the truth by chance. Many at once do not.
    doubtful = missed > max(1, 0.2 * len(known))
    yield Judgement(
        AGAINST_TRUTH,
        "doubt" if doubtful else "good",
        short,
        text,
        "One interval in twenty misses the truth by chance. The parameters are not independent.",
        f"The intervals of {', '.join(map(readable, outside))} do not hold the truth.",
    )


def _heldout(answer: StudyAnswer) -> Iterator[Judgement]:
    if (heldout := answer.heldout) is None:
        return
    p = finite(heldout.p_value)
    if p is None:
        yield Judgement(HELD_OUT, "neutral", "not judged", "The test has no result.", UNJUDGED)
        return
    differ = p < levels_of(answer)[HELD_OUT]
    verb = "do not look" if differ else "look"
    yield Judgement(
        HELD_OUT,
        "doubt" if differ else "good",
        f"{verb} like draws of the fitted model (p = {p:.2g})",
        f"Systems that were kept aside {verb} like draws of the fitted model. Their energy "
        f"distance is {heldout.distance:.3g}; for draws of the model it is below "
        f"{heldout.null_95:.3g} in 95 of 100 cases (p = {p:.2g}).",
        "A small p-value means that law, noise and surrogate together do not describe the data.",
    )


def _specification(answer: StudyAnswer) -> Iterator[Judgement]:
    """Yield whether the law, the noise and the simulator describe the data."""
    for test in answer.tests:
        title = sentence(test.part)
        if test.not_judged:
            short = f"not judged: {test.not_judged}"
            yield Judgement(title, "neutral", short, f"{sentence(short)}.", UNJUDGED)
            continue
        p, count, blind = test.p_value, test.tests, len(test.unseen)
        if test.finding:
            level = levels_of(answer)[title]
            doubt = p is not None and p < level
            chance = "" if doubt else f"; its level beside the other tests is {level:.2g}"
            short = f"{test.finding.split(' (')[0]} (p = {p:.2g}{chance})"
            text = f"{sentence(test.finding)} (p = {p:.2g}{chance})."
            verdict: Literal["doubt", "neutral"] = "doubt" if doubt else "neutral"
            yield Judgement(title, verdict, short, text, _ADJUSTED, _EFFECTS[test.part])
            continue
        short = f"no mistake seen in {count} tests (p = {p:.2g})"
        text = f"No mistake of the {test.part} is seen in {count} tests (p = {p:.2g})."
        if blind:
            short += f"; {blind} of these tests would miss even a large mistake"
            unseen = "; ".join(test.unseen[:_NAMED])
            if blind > _NAMED:
                unseen += f"; and {blind - _NAMED} more (metrics.json)"
            text += f" With so few systems, the tests would miss even a large mistake in: {unseen}."
        yield Judgement(title, "neutral" if blind else "good", short, text, _ADJUSTED)


def _noise_size(answer: StudyAnswer) -> Iterator[Judgement]:
    """Yield a doubt if the noise is close to zero, where a likelihood may have no maximum."""
    if (least := answer.least_noise) is None:
        return
    if least.beside_own is not None and least.beside_own < _TAKEN:
        yield Judgement(
            "Size of the noise",
            "doubt",
            "the discrepancy of each system has taken the noise",
            f"The noise of the measurement is {least.beside_own:.1g} of the noise and the "
            "discrepancy of each system together. Without replicates, only the kernel of the "
            "discrepancy tells the two apart, so that noise may count as an error of the "
            "simulator. Only their sum is determined.",
            "Observe systems more than once (replicates), or take a smooth kernel "
            "(noise.discrepancy.own: {kernel: squared_exponential}). If the noise of the "
            "measurement may be correlated, leave noise.discrepancy.own out and state it "
            "(noise.kind: autoregressive, or kernel).",
            "Neither the noise nor the discrepancy is known alone.",
        )
        return
    if not math.isfinite(least.share) or least.share >= _COLLAPSED:
        return
    share, where = least.share, least.observation
    fewest, varying = answer.sizes.fewest_observations, answer.sizes.varying_parameters
    text = (
        f"The recovered noise of {where} is {share:.1g} of the spread of the observations over the "
        "systems."
    )
    if fewest <= varying:
        text += (
            f" Some systems have {fewest} observations and {varying} parameters that vary, so that "
            "the model can pass through all of them without noise: the likelihood then grows "
            "without bound as the noise goes to zero, and this answer is only the point "
            "where the search stopped."
        )
    yield Judgement(
        "Size of the noise",
        "doubt",
        f"{share:.1g} of the spread of the observations",
        text,
        "If the measurements are less precise than this, the noise has collapsed. Do not use law "
        "and intervals. Instead, take one size of noise for all observations (noise.kind: "
        "isotropic), or start it higher (noise.start). Or let fewer parameters vary (law.fixed, "
        "or a standard deviation of 0 in law.start). Or observe each system more often: replicates "
        "determine the noise by themselves.",
        "Law, noise and intervals are wrong if the measurements are less precise than this.",
    )


def _discrepancy(answer: StudyAnswer) -> Iterator[Judgement]:
    """Yield whether an error of the simulator is seen, and what the observations tell of it."""
    if (found := answer.discrepancy) is None:
        return
    units = "" if found.units == "1" else f" {found.units}"
    seen, count = found.seen, len(found.values)
    errs = bool(seen) or (found.gain is not None and found.gain > _GAIN)
    most = max(max(-low, high) for low, high in zip(found.lower, found.upper, strict=True))
    if seen:
        worst = max(seen, key=lambda i: abs(found.values[i]))
        short = (
            f"the simulator errs by up to {found.values[worst]:.3g}{units} ({found.places[worst]})"
        )
        text = (
            f"The simulator errs alike in all systems: by {found.values[worst]:.3g}{units} at "
            f"{found.places[worst]}, and the joint band excludes zero at {len(seen)} of {count} "
            "places."
        )
    elif errs:
        short = "the simulator errs, by less than its joint band at each place"
        text = (
            "The simulator errs alike in all systems, by the evidence. The joint band holds zero "
            "at every place, since a part of the error looks like a change of the law."
        )
    else:
        short = f"no error of the simulator is seen; it is below {most:.2g}{units}"
        text = (
            "The joint band of the simulator's error holds zero at every place. No interval "
            f"reaches beyond {most:.2g}{units}."
        )
    if found.gain is None:
        text += " The distance, which is the answer, holds the amplitude at its start."
    else:
        text += f" The log evidence is {found.gain:.1f} above that of no error."
    if found.size_lower is not None and found.size_upper is not None:
        text += (
            f" Its amplitude is {found.size:.2g}{units} ({found.size_lower:.2g} to "
            f"{found.size_upper:.2g})."
        )
    text += f" The observations remove {found.determined:.0%} of its variance."
    limited = errs and found.length is not None and bool(found.length_limit)
    if limited:
        end, unlike = (
            ("largest", "looks like a change of the law, which it may take up")
            if found.length_limit > 0
            else ("smallest", "is rougher than this kernel")
        )
        text += (
            f" The length of its kernel, {found.length:.3g}, is the {end} that is allowed: the "
            f"error {unlike}, and law and band are wrong. Compare with noise.discrepancy.shared: "
            "free."
        )
        short += f"; the length of its kernel is at its {end}"
    if found.confounded:
        named = ", ".join(
            f"{readable(name)} ({'more than ' if ratio >= 100 else ''}{ratio:.2g} times)"
            for name, ratio in found.confounded.items()
        )
        text = (
            f"A change of these parameters looks like an error of the simulator: {named}. In "
            "brackets is by how much the prior of the error narrows their intervals. These "
            "parameters and the band of the error are wrong if the error is unlike its prior, "
            f"which no test sees. {text}"
        )
        names = ", ".join(map(readable, found.confounded))
        short = f"only its prior tells the simulator's error from {names}; with this prior, {short}"
    yield Judgement(
        DISCREPANCY,
        "good" if not errs else "doubt" if found.confounded or limited else "neutral",
        short,
        text,
        "Law, noise and the simulator's error come from the same data. A Gaussian process is the "
        "prior of the error, and the evidence of the data chooses its size.",
        f"Values and intervals of {', '.join(map(readable, found.confounded))} rest on the prior "
        "of the error."
        if found.confounded
        else "The law and the band of the error are wrong.",
    )


def _identifiability(answer: StudyAnswer) -> Iterator[Judgement]:
    found = answer.weakest
    direction, fine = readable(found.direction).replace("-", "−"), not found.warning
    weakest = (
        f"The weakest combination of parameters, {direction}, has a standard error of "
        f"{found.error:.2g} of the first design's spread."
    )
    text = f"{readable(found.warning) or 'The data determine every parameter'}. {weakest}"
    # The error falls with the root of the number of systems.
    with_more = found.error * min(1.0, math.sqrt(answer.sizes.systems / _ENOUGH))
    if not (fine or answer.choice.undetermined or with_more > 1):
        yield Judgement(
            "Identifiability",
            "neutral",
            f"{answer.sizes.systems_counted} determine a combination of parameters poorly",
            text,
            f"{_ENOUGH} systems would determine it. The intervals say how well it is known now.",
        )
        return
    yield Judgement(
        "Identifiability",
        "good" if fine else "doubt",
        f"the data {'' if fine else 'do not '}determine every parameter",
        text,
        f"The {found.by} allow these standard errors with this number of systems.",
        f"There are no intervals of {', '.join(map(readable, undetermined))}."
        if (undetermined := answer.choice.undetermined)
        else "The intervals of the parameters in this combination are wide.",
    )


def _surrogate(answer: StudyAnswer) -> Iterator[Judgement]:
    if (found := answer.surrogate) is None:
        return
    if not math.isfinite(found.rmse):
        text = "No fresh solve succeeded, so the surrogate could not be judged."
        yield Judgement("Surrogate", "doubt", "not judged", text, _SURROGATE)
        return
    error, done = found.rmse, found.treatment
    if answer.intrinsic is not None:
        limits, told = f"{found.threshold:g} standard deviations", ""
        if done == "runs":
            limits += f", and a change beyond chance below {found.push_threshold:g} standard errors"
            told = "; its effect is subtracted"
        yield Judgement(
            "Surrogate",
            "good" if found.good_enough else "doubt",
            f"systematic error of the learned mean of {error:.2g} standard deviations{told}",
            f"On fresh solves the systematic error of the learned mean is {error:.3g} standard "
            f"deviations of intrinsic variation and noise. The study requires less than {limits}. "
            f"{found.statement}",
            "More solves make the surrogate of a random simulator more accurate: "
            "active_learning.solves_per_round.",
            found.statement,
        )
        return
    ends = {"corrected": ", subtracted", "included": ", in the intervals", "unused": ", not used"}
    yield Judgement(
        "Surrogate",
        # The error of what the answer does not use is no doubt of the answer.
        "good" if found.good_enough else "neutral" if done == "unused" else "doubt",
        f"error of {error:.2g} noise standard deviations; it changes the answer by "
        f"{found.push:.2g} standard errors{ends.get(done, '')}",
        f"{found.statement} On fresh solves the surrogate's error is {error:.3g} noise standard "
        f"deviations. The study requires less than {found.threshold:g} noise standard deviations, "
        f"and less than {found.push_threshold:g} standard errors.",
        _SURROGATE,
        "" if done in ends else "Nothing is subtracted, and the intervals do not include it.",
    )


def _sampling_error(answer: StudyAnswer) -> Iterator[Judgement]:
    if (found := answer.sampling_error) is None:
        return
    share, taken_off = f"{100 * found.share:.2g} %", found.taken_off
    text = (
        f"Averages over a finite time have a sampling error. It is {share} of the variance of "
        "noise and sampling error together, and has been subtracted from the noise."
        if taken_off
        else f"The sampling error of averages over a finite time is {share} of the recovered "
        "noise's variance."
    )
    yield Judgement(
        "Sampling error of the model",
        "neutral",
        f"{share} of the variance beside the signal{', taken off the noise' if taken_off else ''}",
        text,
        "Repeated solves measure this error. The observations alone cannot distinguish it from "
        "noise.",
    )


# A learned variance is wrong if it differs from that of repeated solves by more than three standard
# errors and this share.
_WRONGLY_LEARNED = 0.1


def _intrinsic(answer: StudyAnswer) -> Iterator[Judgement]:
    if (found := answer.intrinsic) is None:
        return
    share, ratio, error = f"{100 * found.share:.2g} %", found.repeated_to_learned, found.ratio_error
    short = f"{share} of the variance beside the signal"
    text = (
        f"The simulator's own variation is {share} of the variance of variation and measurement "
        "noise together."
    )
    wrong = False
    if ratio is not None and error is not None:
        text += (
            f" The variance of repeated solves is {ratio:.3g} ± {error:.1g} times the learned one."
        )
        wrong = abs(ratio - 1) > max(3 * error, _WRONGLY_LEARNED)
    if found.hides_noise:
        short += ", which hides the noise"
        text += (
            f" The noise of an observation has {100 * found.least_noise:.2g} % of the variance of "
            "its variation, which is not known that accurately: this noise is not told apart from "
            "the variation."
        )
    skewed = found.lost is not None and found.lost > _LOST
    # Fresh runs correct an estimate, not its standard errors.
    runs = answer.surrogate is not None and answer.surrogate.treatment == "runs"
    wrongly = "standard errors" if runs else "estimates and intervals"
    effects = []
    if wrong:
        effects.append("The noise takes up what is wrong with the learned variation.")
    if found.hides_noise:
        effects.append("The size of the noise is not known.")
    if skewed:
        effects.append(f"The {wrongly} are wrong by an unknown amount.")
        short += ", whose answers are not normal"
        text += (
            " Given its parameters, the simulator's answer is skewed, as counts of a few are: the "
            f"normal density that stands for it loses {found.lost:.0%} of the information of an "
            f"observation, and the {wrongly} of the likelihood are wrong by an unknown amount. "
            "Mean and covariance do not depend on the shape: compare with estimator: "
            "pseudo_likelihood. Or let simulator and observations be roots of the counts, or sums "
            "of more of them."
        )
    yield Judgement(
        "Intrinsic variation",
        "doubt" if wrong or skewed or found.hides_noise else "good",
        short,
        text,
        "The observations show variation and noise together; the simulator tells them apart. More "
        "solves learn the variation more accurately.",
        " ".join(effects),
    )


def _solver(answer: StudyAnswer) -> Iterator[Judgement]:
    solves = answer.solves
    if not solves.failures:
        return
    yield Judgement(
        "Solver",
        "doubt",
        f"{solves.failures} of {solves.calls} solves failed",
        f"{solves.failures} of {solves.calls} solves failed ({solves.reasons}).",
        "Failures that depend on the parameters bias the law towards parameters with a solution.",
    )


def _calibration(calibration: Mapping[str, Any] | None) -> Iterator[Judgement]:
    if calibration is None:
        return
    share, count = calibration["coverage_mean"], calibration["calibration_replications"]
    low, high = COVERAGE_WANTED
    yield Judgement(
        "Calibration",
        "good" if low <= share <= high else "doubt",
        f"{100 * share:.0f} % of the intervals hold the truth on {count} new data sets",
        f"On {count} new data sets like this one {100 * share:.1f} % of the 95 % intervals hold "
        "the truth.",
        f"The study requires between {100 * low:.0f} and {100 * high:.0f} %.",
        f"The 95 % intervals are too {'narrow' if share < low else 'wide'}.",
    )
