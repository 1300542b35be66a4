"""Claims on the selection of training samples by influence.

Leads are differences within draws: two selections of a draw have the same data, the same warmed-up
network and the same batches. Losses and accuracies of several targets are averaged in each draw.
The control of a lead has embeddings that were dealt to other samples, so that scores and selection
say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from popinv_papers.influence.exactness import CURVED_RATES, KEPT
from popinv_papers.influence.fine_tuning import TARGETS
from popinv_papers.influence.pretraining import LanguageModel
from popinv_papers.influence.problem import CURVED
from popinv_papers.kit.claims import Claim, Part, Rows, Source, above, measured, within

BETTER_THAN_PAIRS = 0.3
"""Nats per token that a language model must be better than a table of pairs of tokens."""
BETTER_THAN_ONE_CLASS = 0.05
"""Accuracy that the whole pool must teach beyond naming the target's largest class."""

WORDS = {
    "mixture": "mixture of domains",
    "language": "language model",
    "fine_tuning": "pretrained encoder",
}
MERITS = {"mixture": "accuracy", "language": "loss", "fine_tuning": "accuracy"}
_TARGETS: dict[str, tuple[str, ...]] = {
    "mixture": (),
    "language": LanguageModel().targets,
    "fine_tuning": tuple(TARGETS),
}

# The body of the paper was not available.
_SOURCE: Source = "a reconstruction of the paper"
_DEALT = "landmarks with embeddings dealt to other samples"


def claims(result: xr.Dataset) -> list[Claim]:
    """Return the table, from the result of ``problem``."""
    return [
        *_selections(result, "mixture"),
        *_selections(result, "language"),
        *_selections(result, "fine_tuning"),
        *_recovery(result, "mixture", "hidden"),
        *_recovery(result, "language", "last_state"),
        *_recovery(result, "fine_tuning", "mean_state"),
        *_cost(result),
        *_second_order(result),
        *_orders(result),
        Rows("headline", "quoted by others", "Table 1").unsettled(
            "accuracy matches or beats other selections on most of six tasks, for models of 1.5 to "
            "7 billion weights and 200,000 instructions",
            "on par or better",
            "not run",
            "Models, data and targets of this size are out of a workstation's reach.",
        ),
    ]


def _values(result: xr.Dataset, part: str, name: str) -> np.ndarray:
    return np.asarray(result[part].sel({f"{part}_name": name}).values)


def merit(result: xr.Dataset, part: str, method: str) -> np.ndarray:
    """Return a selection's loss or accuracy in each draw, the mean over the part's targets."""
    kind = MERITS[part]
    places = [f"{target}_{method}" for target in _TARGETS[part]] or [method]
    return np.mean([_values(result, part, f"{kind}_{place}") for place in places], axis=0)


def _lead(result: xr.Dataset, part: str, better: str, worse: str) -> np.ndarray:
    """Return the lead in each draw. Losses are good when small."""
    lead = merit(result, part, better) - merit(result, part, worse)
    return -lead if MERITS[part] == "loss" else lead


def _words(name: str) -> str:
    return name.replace("_", " ")


# Each selection that is compared with another: part of the table, the two, and the source.
_PAIRS: dict[str, tuple[tuple[Part, str, str, Source], ...]] = {
    "mixture": (
        ("headline", "landmarks_hidden", "representations", _SOURCE),
        ("headline", "landmarks_hidden_and_label", "representations", _SOURCE),
        ("headline", "landmarks_hidden_and_label", "full", _SOURCE),
        ("headline", "mean_gradient_adam", "mean_gradient_adam_weighted", "quoted by others"),
        ("reconstruction", "exact", "landmarks_hidden_and_label", "reconstruction"),
        ("reconstruction", "exact", "mean_gradient_adam", "reconstruction"),
    ),
    "language": (
        ("headline", "landmarks_last_state", "representations", _SOURCE),
        ("headline", "landmarks_equal_seconds", "representations", _SOURCE),
        ("headline", "landmarks_last_state", "all", _SOURCE),
        ("reconstruction", "exact", "landmarks_last_state", "reconstruction"),
        ("reconstruction", "exact", "representations", "reconstruction"),
    ),
    "fine_tuning": (
        ("headline", "landmarks_mean_state", "representations", _SOURCE),
        ("headline", "landmarks_mean_state_and_label", "representations", _SOURCE),
        ("headline", "landmarks_equal_seconds", "representations", _SOURCE),
        ("headline", "landmarks_mean_state_and_label", "all", _SOURCE),
        ("reconstruction", "exact", "landmarks_mean_state_and_label", "reconstruction"),
        ("reconstruction", "exact", "representations", "reconstruction"),
    ),
}
_GAINS = {
    "mixture": ("landmarks_hidden", "landmarks_hidden_and_label"),
    "language": ("landmarks_last_state",),
    "fine_tuning": ("landmarks_mean_state", "landmarks_mean_state_and_label"),
}


def _gate(result: xr.Dataset, part: str) -> str:
    """Return why the part's rows do not count, or nothing.

    A language model must be better than a table of pairs of tokens, and the whole pool must teach a
    classifier more than to name the target's largest class.
    """
    if part == "language":
        found = measured(_lead(result, part, "random", "bigram"))
        if above(BETTER_THAN_PAIRS).holds(found):
            return ""
        return (
            f"The model's loss, trained on random samples, is {found.mean:.2f} nats below "
            f"a table of pairs of tokens; it must be {BETTER_THAN_PAIRS:g} below."
        )
    found = measured(_lead(result, part, "full", "largest_class"))
    if above(BETTER_THAN_ONE_CLASS).holds(found):
        return ""
    return (
        f"Training on the whole pool leads to an accuracy {found.mean:.3f} above the share of the "
        f"target's largest class; it must be {BETTER_THAN_ONE_CLASS:g} above."
    )


def _selections(result: xr.Dataset, part: str) -> Iterator[Claim]:
    """Yield the rows on what the selections of a part lead to."""
    words, kind = WORDS[part], MERITS[part]
    why_not = _gate(result, part)

    def dealt(worse: str) -> np.ndarray:
        return _lead(result, part, "landmarks_dealt", worse)

    for method in _GAINS[part]:
        yield Rows("headline", _SOURCE).row(
            f"{words}, gain in {kind} over random samples: {_words(method)}",
            "positive",
            _lead(result, part, method, "random"),
            above(),
            (_DEALT, dealt("random")),
            too_far=why_not,
        )
    for place, better, worse, source in _PAIRS[part]:
        yield Rows(place, source).row(
            f"{words}, lead in {kind}: {_words(better)} over {_words(worse)}",
            "positive",
            _lead(result, part, better, worse),
            above(),
            (f"{_DEALT}, in place of the first", dealt(worse)),
            too_far=why_not,
        )


def _recovery(result: xr.Dataset, part: str, kind: str) -> Iterator[Claim]:
    """Yield the rows on scores that were spread from landmarks."""
    names = [str(name) for name in result[f"{part}_name"].values]
    counts = sorted({int(n.rsplit("_", 1)[1]) for n in names if n.startswith("correlation")})

    def beyond(name: str, other: str) -> np.ndarray:
        first, second = (f"correlation_{key}" for key in (name, other))
        return _values(result, part, first) - _values(result, part, second)

    def gain(embedding: str) -> np.ndarray:
        return beyond(*(f"{embedding}_kernel_{n}" for n in (counts[-1], counts[0])))

    yield Rows("headline", "quoted by others", "Figure 3, left").row(
        f"{WORDS[part]}: correlation of spread scores with the exact ones, {counts[-1]} landmarks "
        f"less {counts[0]}",
        "positive",
        gain(kind),
        above(),
        ("embeddings dealt to other samples", gain("dealt")),
    )
    most = f"kernel_{counts[-1]}"
    yield Rows("headline", "quoted by others", "Table 3").row(
        f"{WORDS[part]}: tangents recover scores better than the states themselves (lead in "
        f"correlation, {counts[-1]} landmarks)",
        "positive",
        beyond(f"{kind}_{most}", f"states_{most}"),
        above(),
        ("embeddings dealt to other samples", beyond(f"dealt_{most}", f"states_{most}")),
    )


def _cost(result: xr.Dataset) -> Iterator[Claim]:
    yield Rows("headline", _SOURCE, "abstract").row(
        "processor time of a comparison of representations over that of influence, on a "
        "transformer as deep as the published model",
        "up to 3.5",
        _values(result, "timing", "ratio_measured"),
        above(3.0),
        (
            "gradients of all samples, no landmarks",
            1 / _values(result, "timing", "gradient_passes"),
        ),
        missed="The published ratio counts operations and charges a tangent as one pass forward. "
        "Forward mode takes at least two and a half, whichever way it is arranged.",
    )
    yield Rows("reconstruction", "reconstruction", "count of operations").row(
        "cost of a tangent, in passes forward through the same blocks",
        1.0,
        _values(result, "timing", "tangent_passes"),
        within(1.0, share=0.2),
        missed="Two tangents share the pass without a tangent; each needs two products of matrices "
        "where a pass forward has one.",
    )


def _second_order(result: xr.Dataset) -> Iterator[Claim]:
    practical, large = CURVED_RATES
    for case in CURVED:
        for kind, words in (("gradient", "gradient descent"), ("adam", "Adam")):
            for share in KEPT:
                name = f"{case}_second_order_overlap_{kind}_{share:g}"
                yield Rows("headline", "quoted by others", "Section 4").row(
                    f"{_words(case)}, {words}: share of the selection of {share:.0%} of the pool "
                    f"that the second-order term leaves, learning rate {practical:g}",
                    1.0,
                    _values(result, "exactness", f"{name}_{practical:g}"),
                    above(0.9),
                    (
                        f"learning rate {large:g}",
                        _values(result, "exactness", f"{name}_{large:g}"),
                    ),
                )


def _orders(result: xr.Dataset) -> Iterator[Claim]:
    for case in ("softmax_regression", "perceptron", "transformer"):
        for kind, name in (
            ("gradient", "gradient descent"),
            ("adam", "Adam, second moment frozen"),
        ):
            for order, less, power, taken_away in (
                ("first", "no", 2.0, "no change is predicted"),
                ("second", "first", 3.0, "the second-order term is left out"),
            ):
                start = f"{case}_{kind}"
                slope, without = (
                    _values(result, "exactness", f"{start}_{which}_order_error_slope")
                    for which in (order, less)
                )
                yield Rows("reconstruction", "reconstruction").row(
                    f"{_words(case)}, {name}: power of the learning rate in the error of the "
                    f"{order}-order change of the target's loss",
                    power,
                    slope,
                    within(power, bound=0.1),
                    (taken_away, without),
                )
