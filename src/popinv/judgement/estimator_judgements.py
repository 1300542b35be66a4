"""The checks of the estimator of a study's answer, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

from popinv.judgement.answer import StudyAnswer, finite
from popinv.judgement.verdict import (
    AGREEMENT,
    LEVEL,
    UNJUDGED,
    Judgement,
    levels_of,
    readable,
    sentence,
)

# If standard error over bound exceeds this, the data contain more information.
_INEFFICIENT = 1.5
# Standard errors of fewer systems are too uncertain for their ratio to be judged.
_FEWEST_FOR_ERRORS = 50
POSTERIOR_BELOW = 24
"""With fewer systems the posterior of the law is recommended.

Of 200 data sets of a one-way layout (docs/tables/data/few_systems.csv), the intervals of the
likelihood hold a standard deviation in 89 % with 6 systems, in 91 % with 12 and in 94 % with 24.
The posterior's intervals hold it in 97, 96 and 94 %, and are narrower. It is not made by default:
it needs the extra ``bayes``, and takes some minutes.
"""
# A smaller error of the log likelihood is not shown.
_EXACT = 0.005


def estimator_judgements(answer: StudyAnswer) -> Iterator[Judgement]:
    """Yield the checks of the estimator, its search, its standard errors and its likelihood."""
    yield from _estimator(answer)
    yield from _convergence(answer)
    yield from _arrival(answer)
    yield from _agreement(answer)
    yield from _efficiency(answer)
    yield from _standard_errors(answer)
    yield from _likelihood(answer)
    yield from _prior(answer)
    yield from _few_systems(answer)
    yield from _boundaries(answer)


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
        f"A parameter may be off by {descent.remaining:.2g} standard errors.",
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
    agree = p >= levels_of(answer)[AGREEMENT]
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
        f"The intervals are up to {largest:.2f} times as wide as necessary.",
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
        end = "lower" if where in ("zero", "minus one") else "upper"
        yield Judgement(
            "Boundary",
            "neutral",
            f"{told} is not distinguished from {where}",
            f"The data do not distinguish {told} from {where}; the {end} end of its "
            "interval was not found.",
            "Its value is fixed there, and the other parameters are estimated with it.",
        )
