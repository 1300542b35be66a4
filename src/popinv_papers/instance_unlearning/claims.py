"""Claims on the difficulty of unlearning points, on exact chains and on images.

Intervals are over trainings from different weights and batches, all with the same images and forget
sets; at equal epsilon over draws of images, and for the chains over their points. A control has the
losses of sets or points dealt to others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from popinv.seeds import generator
from popinv_papers.instance_unlearning.chains import BoundedValue, Chains, largest_share
from popinv_papers.instance_unlearning.difficulty import (
    concordance,
    log_slope,
    mean_over_steps,
    rank_correlation,
)
from popinv_papers.instance_unlearning.equal_epsilon import (
    EPSILONS,
    Curves,
    Rival,
    gains,
    gains_of_other_draws,
)
from popinv_papers.instance_unlearning.experiment import SCORES, TrainingOutcome, group_scores
from popinv_papers.instance_unlearning.recipe import METHODS, RecipeSize
from popinv_papers.kit.claims import Claim, Rows, above, below

CHAINS = 5
"""Number of chains with other points."""

_WORDS = {
    "sgld": "Langevin descent",
    "sgd": "plain descent",
    "l1": "sparse unlearning",
    "gradient_norm": "mean gradient norm",
    "el2n": "EL2N",
    "c_proxy": "C-proxy",
    "memorisation": "memorisation",
}
# The body of the paper was not available.
_ABSTRACT = Rows("headline", "a reconstruction of the paper", "abstract")
_DERIVED = Rows("reconstruction", "reconstruction")
_WELL = 0.5
# A gain of accuracy that somebody would notice.
_NOTICED = 0.01
# Share of sets that may not be reached within fine-tuning.
_MOST_CENSORED = 0.2
_DEALT = "losses dealt to other sets"


def claims(
    cases: Sequence[list[BoundedValue]],
    chains: Sequence[Chains],
    outcomes: dict[str, TrainingOutcome],
    curves: Curves,
    size: RecipeSize,
    seed: int,
) -> list[Claim]:
    """Return the table of claims.

    Parameters
    ----------
    cases, chains : sequence
        From :func:`chains.compare` and :func:`chains.per_instance_steps`, :data:`CHAINS` of each.
    curves : Curves
        From :func:`equal_epsilon.curves`.
    """
    rng = generator(seed, "instance_unlearning/controls")
    table = [_bound(outcomes["sgld"]), *_utility(curves)]
    for method, training in METHODS.items():
        table += [_order(outcomes[training], method, size, rng)]
        table += [_slope(outcomes[training], method, size, rng)]
        table += [_hardest(outcomes[training], method, size)]
    for training, outcome in outcomes.items():
        table += [_measures(outcome, training, rng), *_barriers(outcome, training, rng)]
    return [*table, *_chains(cases, chains, rng)]


def _bound(outcome: TrainingOutcome) -> Claim:
    numbers = outcome.numbers
    return _ABSTRACT.unsettled(
        "the loss of a point bounds its steps of fine-tuning, below the bound by the worst case",
        "a bound of use",
        "not comparable",
        f"The losses are finite: {numbers['privacy_median_sgld']:.3g} for the median point, "
        f"{numbers['privacy_worst_case_sgld']:.3g} for the worst case of clipped gradients. The "
        "steps that they bound follow from the contraction of the chain, which is not known for a "
        "network. The rows on softmax regression have the bounds where it is known.",
    )


def _utility(curves: Curves) -> Iterator[Claim]:
    """Return rows on the accuracy at equal epsilon, by own loss and by the worst case."""
    rivals: tuple[tuple[Rival, str], ...] = (
        ("uniform", "the noise of the worst case in the same formula"),
        ("best", "the noise of the better of two worst cases, one by coupling"),
    )
    for rival, words in rivals:
        for epsilon in EPSILONS:
            yield _ABSTRACT.row(
                f"softmax regression, epsilon {epsilon:g}: accuracy on test images with the noise "
                f"that the loss of the median point asks for, less that with {words} (mean over 0 "
                f"to {curves.at[-1]} steps of unlearning)",
                f"a lead of more than {_NOTICED:g}",
                gains(curves, epsilon, rival),
                above(_NOTICED),
                (
                    "the rival's noise in both, other random numbers",
                    gains_of_other_draws(curves, epsilon, rival),
                ),
            )


Runs = Sequence[tuple[np.ndarray, ...]]
"""What was measured of the sets in each training."""


def _by_rank(outcome: TrainingOutcome, method: str, size: RecipeSize) -> tuple[np.ndarray, Runs]:
    """Return the losses of the sets by rank; and the steps, and whether a set was reached."""
    by_rank = slice(size.quantiles)
    runs = zip(outcome.steps[method][:, by_rank], outcome.reached[method][:, by_rank], strict=True)
    return group_scores(outcome, "privacy")[by_rank], list(runs)


def _of_runs(
    measure: Callable[..., float],
    losses: np.ndarray,
    runs: Runs,
    rng: np.random.Generator | None = None,
) -> list[float]:
    """Return a measure of losses and each run; a generator deals the losses to other sets."""
    return [measure(losses if rng is None else rng.permutation(losses), *run) for run in runs]


def _order(
    outcome: TrainingOutcome, method: str, size: RecipeSize, rng: np.random.Generator
) -> Claim:
    """Return the row on the order of the sets by rank, in every training."""
    losses, runs = _by_rank(outcome, method, size)
    return _ABSTRACT.row(
        f"{_WORDS[method]}: of two of {size.quantiles} sets by rank, that of the larger loss takes "
        "more steps to unlearn (share of the pairs that can be told)",
        "more often than not",
        _of_runs(concordance, losses, runs),
        above(0.5),
        (_DEALT, _of_runs(concordance, losses, runs, rng)),
    )


def _slope(
    outcome: TrainingOutcome, method: str, size: RecipeSize, rng: np.random.Generator
) -> Claim:
    """Return the row on the growth of the steps with the logarithm of the loss."""
    losses, runs = _by_rank(outcome, method, size)
    slopes = _of_runs(log_slope, losses, runs)
    censored = float(1 - np.mean([reached for _, reached in runs]))
    words = (
        f"{_WORDS[method]}: steps by which a set of tenfold loss takes longer (slope of the line "
        "through the sets by rank that were reached)"
    )
    if not np.isfinite(slopes).all():
        why = f"{censored:.0%} of the sets were not reached, and too few are left for a line."
        return _ABSTRACT.unsettled(words, "positive", "not comparable", why)
    return _ABSTRACT.row(
        words,
        "positive",
        slopes,
        above(),
        (_DEALT, _of_runs(log_slope, losses, runs, rng)),
        told="" if censored < _MOST_CENSORED else f"{censored:.0%} of the sets were not reached.",
    )


def _excess(outcome: TrainingOutcome, method: str, name: str) -> np.ndarray:
    """Return the mean difference to models without the set along fine-tuning, shape (runs,).

    No set is censored by it.
    """
    group = outcome.names.index(name)
    curves = outcome.curves[method][:, :, group]
    wanted = outcome.reference[:, group].mean()
    return mean_over_steps(np.abs(curves - wanted), outcome.at)


def _hardest(outcome: TrainingOutcome, method: str, size: RecipeSize) -> Claim:
    others = np.max([_excess(outcome, method, f"hardest_{s}") for s in SCORES[1:]], axis=0)
    return _ABSTRACT.row(
        f"{_WORDS[method]}: the set of largest loss is harder than those that other measures call "
        "hardest (accuracy beyond that of models without the set, mean over fine-tuning, less the "
        "largest of the others)",
        "positive",
        _excess(outcome, method, f"privacy_{size.quantiles}") - others,
        above(),
        ("a random set", _excess(outcome, method, "random") - others),
        missed="The paper's networks, noise and set sizes are unknown to us.",
    )


def _measures(outcome: TrainingOutcome, training: str, rng: np.random.Generator) -> Claim:
    """Return the row on the measure that agrees least, in every training."""

    def least(shuffled: bool) -> list[float]:
        found = []
        for run, losses in enumerate(outcome.by_run["privacy"]):
            dealt = rng.permutation(losses) if shuffled else losses
            found.append(min(rank_correlation(dealt, outcome.by_run[s][run]) for s in SCORES[1:]))
        return found

    others = ", ".join(_WORDS[score] for score in SCORES[1:])
    return _ABSTRACT.row(
        f"{_WORDS[training]}: the loss correlates well with {others} (smallest rank correlation "
        "over points)",
        f"above {_WELL:g}",
        least(False),
        above(_WELL),
        ("losses dealt to other points", least(True)),
    )


def _barriers(outcome: TrainingOutcome, training: str, rng: np.random.Generator) -> Iterator[Claim]:
    losses = group_scores(outcome, "privacy")

    def correlation(name: str, rng: np.random.Generator | None = None) -> list[float]:
        return _of_runs(rank_correlation, losses, [(run,) for run in outcome.barriers[name]], rng)

    without = (
        "half of the difference of the ends, no barrier",
        correlation("trained_half_difference"),
    )
    dealt = (_DEALT, correlation("trained_above_line", rng))
    for against, words, control in (
        ("mean", "mean of both ends", without),
        ("line", "line between both ends", dealt),
    ):
        yield _ABSTRACT.row(
            f"{_WORDS[training]}: the barrier to models without a set rises with its loss (rank "
            f"correlation over {len(outcome.names)} sets, barrier above the {words})",
            "positive",
            correlation(f"trained_above_{against}"),
            above(_WELL),
            control,
            missed="The paper's definition is unknown to us; both usual ones were tried.",
        )


def _chains(
    cases: Sequence[list[BoundedValue]], chains: Sequence[Chains], rng: np.random.Generator
) -> Iterator[Claim]:
    for what, words in (
        ("loss", "composed loss of a point"),
        ("divergence", "bound on the divergence after fine-tuning"),
        ("steps", "bound on the number of steps"),
    ):
        shares = np.array([largest_share(own, what) for own in cases])
        yield _DERIVED.row(
            f"normal chains: largest ratio of the exact value to the {words}",
            "at most 1",
            shares,
            below(1.0),
            ("half of the bound", 2 * shares),
        )
    yield _DERIVED.row(
        "normal chains: rank correlation over points of loss and exact steps",
        "near 1",
        [rank_correlation(losses, exact) for losses, _, exact in chains],
        above(0.9),
        (
            "losses dealt to other points",
            [rank_correlation(rng.permutation(losses), exact) for losses, _, exact in chains],
        ),
    )
