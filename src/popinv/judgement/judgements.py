"""The checks of a study's answer, in words: the reliability of the answer.

Each check reads the record of the answer. A check without a comparison is neutral, or is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from popinv.judgement.answer import StudyAnswer, finite
from popinv.judgement.levels import LEVEL, levels

# A study of some tens of replications can require a coverage of 95 % intervals within this band.
COVERAGE_WANTED = (0.85, 0.99)

_ADJUSTED = (
    "Each test checks with all systems whether a larger model describes them better. The p-value "
    "is the chance that a right model shows as large a difference in any of the tests of law, "
    "noise and simulator."
)
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
# If standard error over bound exceeds this, the data contain more information.
_INEFFICIENT = 1.5
# What so many systems would determine is not a fault of the model.
_ENOUGH = 100
# Standard errors of fewer systems are too uncertain for their ratio to be judged.
_FEWEST_FOR_ERRORS = 50
POSTERIOR_BELOW = 24
"""With fewer systems the posterior of the law is recommended.

Of 200 data sets of a one-way layout (docs/tables/data/few_systems.csv), the intervals of the
likelihood hold a standard deviation in 89 % with 6 systems, in 91 % with 12 and in 94 % with 24.
The posterior's intervals hold it in 97, 96 and 94 %, and are narrower. It is not made by default:
it needs the extra ``bayes``, and takes some minutes.
"""
# Largest number of named mistakes that would hardly be seen.
_NAMED = 3
# A smaller error of the log likelihood is not shown.
_EXACT = 0.005
HELD_OUT, AGREEMENT = "Held-out systems", "Agreement"
DISCREPANCY = "Error of the simulator"
UNJUDGED = "A test without a result is evidence neither for the answer nor against it."


# An error of the simulator is seen if the log evidence rises by more than this (a ratio of 20).
_GAIN = 3.0


@dataclass(frozen=True)
class Judgement:
    """The result of one check of the answer.

    Attributes
    ----------
    name : str
        Name of the check.
    verdict : {"good", "doubt", "neutral"}
        Good, or a reason for doubt; neutral if there is nothing to compare with.
    short : str
        The result in a few words.
    finding : str
        The result in a sentence.
    meaning : str
        The meaning of the result.
    """

    name: str
    verdict: Literal["good", "doubt", "neutral"]
    short: str
    finding: str
    meaning: str


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
        _estimator(answer),
        _convergence(answer),
        _arrival(answer),
        _agreement(answer),
        _efficiency(answer),
        _standard_errors(answer),
        _likelihood(answer),
        _prior(answer),
        _few_systems(answer),
        _boundaries(answer),
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
    return tuple(judgement for part in parts for judgement in part)


def _levels(answer: StudyAnswer) -> dict[str, float]:
    """Return the level of each test of the answer, by the name of its judgement."""
    p_values = {sentence(test.part): test.p_value for test in answer.tests}
    p_values[AGREEMENT] = answer.choice.agreement_p_value
    p_values[HELD_OUT] = None if answer.heldout is None else answer.heldout.p_value
    known = {name: finite(p) for name, p in p_values.items()}
    return levels({name: p for name, p in known.items() if p is not None})


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
        yield Judgement("Against the truth", "neutral", short, text, meaning)
        return
    text += f" {sum(known)} of {len(known)} intervals (of 95 %) hold the true value."
    short += f"; {sum(known)} of {len(known)} intervals hold the truth"
    missed = len(known) - sum(known)
    # One in twenty 95 % intervals misses the truth by chance. Many at once do not.
    doubtful = missed > max(1, 0.2 * len(known))
    yield Judgement(
        "Against the truth",
        "doubt" if doubtful else "good",
        short,
        text,
        "One interval in twenty misses the truth by chance. The parameters are not independent.",
    )


def _heldout(answer: StudyAnswer) -> Iterator[Judgement]:
    if (heldout := answer.heldout) is None:
        return
    p = finite(heldout.p_value)
    if p is None:
        yield Judgement(HELD_OUT, "neutral", "not judged", "The test has no result.", UNJUDGED)
        return
    differ = p < _levels(answer)[HELD_OUT]
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
            level = _levels(answer)[title]
            doubt = p is not None and p < level
            chance = "" if doubt else f"; its level beside the other tests is {level:.2g}"
            short = f"{test.finding.split(' (')[0]} (p = {p:.2g}{chance})"
            text = f"{sentence(test.finding)} (p = {p:.2g}{chance})."
            yield Judgement(title, "doubt" if doubt else "neutral", short, text, _ADJUSTED)
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
    )


def _surrogate(answer: StudyAnswer) -> Iterator[Judgement]:
    if (found := answer.surrogate) is None:
        return
    if not math.isfinite(found.rmse):
        text = "No fresh solve succeeded, so the surrogate could not be judged."
        yield Judgement("Surrogate", "doubt", "not judged", text, _SURROGATE)
        return
    error, done = found.rmse, found.treatment
    if done == "unmeasured":
        yield Judgement(
            "Surrogate",
            "good" if found.good_enough else "doubt",
            f"systematic error of the learned mean of {error:.2g} standard deviations",
            f"On fresh solves the systematic error of the learned mean is {error:.3g} standard "
            "deviations of intrinsic variation and noise. The study requires less than "
            f"{found.threshold:g}. {found.statement}",
            "More solves make the surrogate of a random simulator more accurate: "
            "active_learning.solves_per_round.",
        )
        return
    told = {"corrected": ", subtracted", "included": ", in the intervals", "unused": ", not used"}
    yield Judgement(
        "Surrogate",
        # The error of what the answer does not use is no doubt of the answer.
        "good" if found.good_enough else "neutral" if done == "unused" else "doubt",
        f"error of {error:.2g} noise standard deviations; it changes the answer by "
        f"{found.push:.2g} standard errors{told.get(done, '')}",
        f"{found.statement} On fresh solves the surrogate's error is {error:.3g} noise standard "
        f"deviations. The study requires less than {found.threshold:g} noise standard deviations, "
        f"and less than {found.push_threshold:g} standard errors.",
        _SURROGATE,
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
    if skewed:
        short += ", whose answers are not normal"
        text += (
            " Given its parameters, the simulator's answer is skewed, as counts of a few are: the "
            f"normal density that stands for it loses {found.lost:.0%} of the information of an "
            "observation, and the likelihood and its intervals are wrong by an unknown amount. "
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
    )


# --- estimators --------------------------------------------------------------------------------


def _estimator(answer: StudyAnswer) -> Iterator[Judgement]:
    choice = answer.choice
    name, why = readable(choice.estimator), choice.reason
    through = "the forward model itself" if choice.through == "solver" else "the surrogate"
    yield Judgement(
        "Estimator",
        "neutral",
        f"{name}, through {through}",
        f"The estimator of the answer is the {name}, through {through}: {why}.",
        "The likelihood has the smallest standard errors if the model is right. The "
        "pseudo-likelihood needs only means and covariances. The distance needs no density.",
    )


def _arrival(answer: StudyAnswer) -> Iterator[Judgement]:
    # The remaining distance of the descent does not concern an answer of another estimator.
    if (descent := answer.descent) is None or answer.choice.estimator != "distance":
        return
    arrived = descent.arrived
    yield Judgement(
        "Descent",
        "good" if arrived else "doubt",
        f"has {'' if arrived else 'not '}converged",
        f"The descent has {'' if arrived else 'not '}converged: the parameter furthest from "
        f"convergence is {descent.remaining:.2g} standard errors away.",
        "The remaining distance follows from the mean of the last gradients and their noise.",
    )


def _convergence(answer: StudyAnswer) -> Iterator[Judgement]:
    """Yield the judgement of the convergence of an answer that is not the descent's own."""
    if answer.choice.estimator == "distance":
        return
    arrived, name = answer.choice.arrived, readable(answer.choice.estimator)
    found = f"has {'' if arrived else 'not '}converged"
    yield Judgement(
        "Convergence",
        "good" if arrived else "doubt",
        f"the search of the {name} {found}",
        f"The search for the maximum of the {name} {found}.",
        "A search that stops before its end gives an answer that depends on its start.",
    )
    if answer.choice.doubt:
        yield Judgement(
            "Maximum",
            "doubt",
            f"the search of the {name} has not ended at a maximum that is told from others",
            f"{sentence(answer.choice.doubt)}.",
            "State what is known of these parameters ('prior' of law and noise), hold one of them "
            "('law.fixed'), or look at the posterior of the law (method law_posterior).",
        )


def _agreement(answer: StudyAnswer) -> Iterator[Judgement]:
    text, p = answer.choice.agreement, answer.choice.agreement_p_value
    if p is None:
        yield Judgement(AGREEMENT, "neutral", text, f"{sentence(text)}.", UNJUDGED)
        return
    agree = p >= _levels(answer)[AGREEMENT]
    told = f"estimators {'agree' if agree else 'differ by more than chance'}"
    yield Judgement(
        AGREEMENT,
        "good" if agree else "doubt",
        f"{told} (p = {p:.2g})",
        f"{sentence(told if agree and p < LEVEL else text)} (p = {p:.2g}).",
        "If the model is right, the estimators differ only by chance. A wrong model can affect "
        "them differently (Hausman's test).",
    )


def _efficiency(answer: StudyAnswer) -> Iterator[Judgement]:
    """Yield the judgement of the standard errors and their bound."""
    efficiencies = {each.label: finite(each.efficiency) for each in answer.estimates}
    ratios = {name: ratio for name, ratio in efficiencies.items() if ratio is not None}
    if not ratios:
        return
    choice, systems = answer.choice, answer.sizes.systems
    counted = answer.sizes.systems_counted
    if choice.undetermined:
        unknown = readable(", ".join(choice.undetermined))
        yield Judgement(
            "Efficiency",
            "neutral",
            "not judged: some parameters are not determined",
            f"The standard errors are not compared with their bound, since {unknown} are not "
            "determined.",
            UNJUDGED,
        )
        return
    worst = max(ratios, key=ratios.__getitem__)
    largest, bounding = ratios[worst], readable(choice.bound)
    if systems < _FEWEST_FOR_ERRORS:
        yield Judgement(
            "Efficiency",
            "neutral",
            f"not judged: {counted} {'is' if systems == 1 else 'are'} too few",
            f"The standard errors are at most {largest:.2f} times the bound by the {bounding} "
            f"({readable(worst)}), but with {counted} both are uncertain themselves, by "
            f"about {100 / math.sqrt(2 * systems):.0f} %.",
            f"The ratio is judged with at least {_FEWEST_FOR_ERRORS} systems.",
        )
        return
    fine, own = largest <= _INEFFICIENT, choice.estimator == "likelihood"
    short = f"standard errors at most {largest:.2f} times the bound"
    # The likelihood uses all information; the ratio then compares two uncertain errors.
    yield Judgement(
        "Efficiency",
        "good" if fine else "neutral" if own else "doubt",
        short,
        f"The standard errors are at most {largest:.2f} times the bound by the {bounding} "
        f"({readable(worst)}).",
        f"Above {_INEFFICIENT:g} the data contain more information than an answer by another "
        "estimator than the likelihood uses.",
    )


def _likelihood(answer: StudyAnswer) -> Iterator[Judgement]:
    """Yield the log likelihood at its maximum, and the criteria by which models are compared."""
    found = answer.likelihood
    if found is None or found.error is None:
        return
    value, criteria = found.value, f"AIC {found.aic:.2f}, BIC {found.bic:.2f}"
    where, meaning = "its maximum", ""
    if answer.prior:
        where = "the posterior mode, without the density of the prior,"
        meaning = " AIC and BIC count all parameters, as if there were no prior."
    exact = "" if found.error < _EXACT else f" (error of its draws {found.error:.2g})"
    name = "restricted log likelihood" if found.restricted else "log likelihood"
    only = (
        " Restricted likelihoods (REML) compare only models with equal means of the law."
        if found.restricted
        else ""
    )
    yield Judgement(
        "Log likelihood",
        "neutral",
        f"{value:.2f}; {criteria}",
        f"The {name} at {where} is {value:.2f}{exact}. {criteria}.",
        "Models of the same observations are compared by AIC or BIC: the smaller, the better. BIC "
        f"counts the systems as the independent observations.{meaning}{only}",
    )


def _prior(answer: StudyAnswer) -> Iterator[Judgement]:
    """Yield the priors that the study states, and what they make of the answer."""
    if not answer.prior:
        return
    count = len(answer.prior)
    yield Judgement(
        "Prior",
        "neutral",
        f"{count} stated prior{'s' if count > 1 else ''}",
        "The answer is the posterior mode, and its intervals are posterior intervals, with these "
        f"priors: {'; '.join(answer.prior)}.",
        "A prior adds its curvature to the information of the data. Its effect falls as 1 / N with "
        "the number N of systems. An answer that a prior moves by much rests on the prior.",
    )


def _few_systems(answer: StudyAnswer) -> Iterator[Judgement]:
    """Yield the recommendation of the posterior of the law for few systems."""
    systems = answer.sizes.systems
    if systems >= POSTERIOR_BELOW:
        return
    counted = answer.sizes.systems_counted
    yield Judgement(
        "Few systems",
        "neutral",
        f"{counted}: the posterior of the law is recommended",
        f"With {counted} the intervals of standard deviations hold the truth in less than "
        "95 of 100 cases. The posterior of the law has better ones: 'downstream: {law_posterior: "
        "{}}', or posterior_of_law() of the result in Python.",
        f"It is recommended with fewer than {POSTERIOR_BELOW} systems. It takes some minutes, "
        "and seconds if the simulator is linear in its parameters.",
    )


def _standard_errors(answer: StudyAnswer) -> Iterator[Judgement]:
    """Yield the kind of the standard errors, and how they compare with the other kind."""
    ratios = {}
    for each in answer.estimates:
        model, robust = finite(each.model_error), finite(each.robust_error)
        if model is not None and robust is not None and model > 0:
            ratios[each.label] = robust / model
    if not ratios:
        return
    low, high = (pick(ratios, key=ratios.__getitem__) for pick in (min, max))
    by_model = answer.choice.errors_by == "model"
    used, other = ("by the model", "robust") if by_model else ("robust", "by the model")
    compared = (
        f"robust ones are {ratios[low]:.2f} ({readable(low)}) to {ratios[high]:.2f} "
        f"({readable(high)}) times those by the model"
    )
    yield Judgement(
        "Standard errors",
        "neutral",
        f"{used}; {compared}",
        f"The standard errors are {used}. The {compared}.",
        "With few systems, use those by the model: the robust ones rest on the scores of as many "
        "systems, and are too small. With many systems, the robust ones hold even if the model is "
        f"wrong. metrics.json and summary() have those that are {other}, too.",
    )


def _boundaries(answer: StudyAnswer) -> Iterator[Judgement]:
    for each in answer.estimates:
        if not (where := each.boundary):
            continue
        told = readable(each.label)
        end = "lower" if where == "zero" else "upper"
        yield Judgement(
            "Boundary",
            "neutral",
            f"{told} is not distinguished from {where}",
            f"The data do not distinguish {told} from {where}; the {end} end of its "
            "interval was not found.",
            "Its value is fixed there, and the other parameters are estimated with it.",
        )


def readable(name: str) -> str:
    """Return a name in words."""
    return name.replace("_", " ")


def sentence(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]
