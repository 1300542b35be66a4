"""Claims on the selection of training samples by influence.

Leads are differences within draws: two selections of a draw have the same data, the same warmed-up
network and the same batches. The control of a lead has embeddings that were dealt to other samples,
so that scores and selection say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import xarray as xr

from popinv.downstream.claims import (
    Claim,
    Control,
    Part,
    Source,
    above,
    judged,
    measured,
    unsettled,
    within,
)
from popinv.downstream.influence.exactness import CURVED_RATES, KEPT
from popinv.downstream.influence.problem import CURVED

__all__ = ["BETTER_THAN_PAIRS", "claims"]

BETTER_THAN_PAIRS = 0.3
"""Nats per token that a language model must be better than a table of pairs of tokens."""

# Standard errors of a gain over random samples.
_BEYOND = 5.0
_DEALT = "landmarks with embeddings dealt to other samples"


def claims(result: xr.Dataset) -> list[Claim]:
    """Return the table, from the result of ``problem``."""
    return [
        *_mixture(result),
        *_language(result),
        *_recovery(result, "mixture", "hidden"),
        *_cost(result),
        *_second_order(result),
        *_orders(result),
        unsettled(
            "headline",
            "accuracy matches or beats other selections on most of six tasks, for models of 1.5 to "
            "7 billion weights and 200,000 instructions",
            *("quoted by others", "Table 1", "on par or better"),
            "not run",
            "Models, data and targets of this size are out of a workstation's reach.",
        ),
    ]


def _values(result: xr.Dataset, part: str, name: str) -> np.ndarray:
    return np.asarray(result[part].sel({f"{part}_name": name}).values)


def _lead(result: xr.Dataset, part: str, better: str, worse: str) -> np.ndarray:
    """Return the lead in each draw. Losses are good when small."""
    lead = _values(result, part, better) - _values(result, part, worse)
    return -lead if better.startswith("loss") else lead


def _words(name: str) -> str:
    return name.replace("_", " ")


def _mixture(result: xr.Dataset) -> Iterator[Claim]:
    def lead(better: str, worse: str) -> np.ndarray:
        return _lead(result, "mixture", f"accuracy_{better}", f"accuracy_{worse}")

    def in_errors(values: np.ndarray) -> float:
        return float(values.mean() / (values.std(ddof=1) / math.sqrt(len(values))))

    for kind in ("hidden", "hidden_and_label"):
        yield judged(
            "headline",
            f"mixture of domains, gain in accuracy over random samples: landmarks {_words(kind)}, "
            f"in standard errors over {result.sizes['mixture_draw']} draws",
            *("paper", "abstract", "beyond chance"),
            measured(in_errors(lead(f"landmarks_{kind}", "random"))),
            above(_BEYOND),
            Control(_DEALT, measured(in_errors(lead("landmarks_dealt", "random")))),
        )
    pairs: tuple[tuple[Part, str, str, Source], ...] = (
        ("headline", "landmarks_hidden", "representations", "paper"),
        ("headline", "landmarks_hidden_and_label", "representations", "paper"),
        ("headline", "landmarks_hidden_and_label", "full", "paper"),
        ("headline", "mean_gradient_adam", "mean_gradient_adam_weighted", "quoted by others"),
        ("reconstruction", "exact", "landmarks_hidden_and_label", "reconstruction"),
        ("reconstruction", "exact", "mean_gradient_adam", "reconstruction"),
    )
    for part, better, worse, source in pairs:
        yield judged(
            part,
            f"mixture of domains, lead in accuracy: {_words(better)} over {_words(worse)}",
            *(source, "", "positive"),
            measured(lead(better, worse)),
            above(),
            Control(f"{_DEALT}, in place of the first", measured(lead("landmarks_dealt", worse))),
        )


def _language(result: xr.Dataset) -> Iterator[Claim]:
    """Yield the rows of the language model, which must be better than a table of pairs."""
    margin = measured(_lead(result, "language", "loss_random", "loss_bigram"))
    pairs: tuple[tuple[Part, str, str, Source], ...] = (
        ("headline", "landmarks_last_state", "random", "paper"),
        ("headline", "landmarks_last_state", "representations", "paper"),
        ("headline", "landmarks_last_state", "full_same_steps", "paper"),
        ("reconstruction", "exact", "landmarks_last_state", "reconstruction"),
        ("reconstruction", "exact", "mean_gradient", "reconstruction"),
    )
    told = above(BETTER_THAN_PAIRS).holds(margin)
    rows = [
        (
            part,
            f"language model, lead in loss: {_words(better)} over {_words(worse)}",
            source,
            _lead(result, "language", f"loss_{better}", f"loss_{worse}"),
            _lead(result, "language", "loss_landmarks_dealt", f"loss_{worse}"),
        )
        for part, better, worse, source in pairs
    ]
    for part, words, source, lead, control in rows:
        if told:
            yield judged(
                part,
                words,
                *(source, "", "positive"),
                measured(lead),
                above(),
                Control(f"{_DEALT}, in place of the first", measured(control)),
            )
            continue
        yield unsettled(
            part,
            words,
            *(source, "", "positive"),
            "not comparable",
            f"The model's loss, trained on random samples, is {-margin.mean:.2f} nats "
            f"{'above' if margin.mean < 0 else 'below (negative)'} that of a table of pairs of "
            f"tokens; it must be {BETTER_THAN_PAIRS:g} below.",
            measured(lead),
        )
    if told:
        yield from _recovery(result, "language", "last_state")


def _recovery(result: xr.Dataset, part: str, kind: str) -> Iterator[Claim]:
    """Yield the rows on scores that were spread from landmarks."""
    names = [str(name) for name in result[f"{part}_name"].values]
    counts = sorted({int(n.rsplit("_", 1)[1]) for n in names if n.startswith("correlation")})

    def gain(embedding: str) -> np.ndarray:
        ends = (f"correlation_{embedding}_kernel_{n}" for n in (counts[-1], counts[0]))
        return _lead(result, part, *ends)

    yield judged(
        "headline",
        f"{part}: correlation of spread scores with the exact ones, {counts[-1]} landmarks less "
        f"{counts[0]}",
        *("quoted by others", "Figure 3, left", "positive"),
        measured(gain(kind)),
        above(),
        Control("embeddings dealt to other samples", measured(gain("dealt"))),
    )
    most = f"kernel_{counts[-1]}"
    yield judged(
        "headline",
        f"{part}: tangents recover scores better than the states themselves (lead in correlation, "
        f"{counts[-1]} landmarks)",
        *("quoted by others", "Table 3", "positive"),
        measured(_lead(result, part, f"correlation_{kind}_{most}", f"correlation_states_{most}")),
        above(),
        Control(
            "embeddings dealt to other samples",
            measured(
                _lead(result, part, f"correlation_dealt_{most}", f"correlation_states_{most}")
            ),
        ),
    )


def _cost(result: xr.Dataset) -> Iterator[Claim]:
    ratio = _values(result, "timing", "ratio_measured")
    yield judged(
        "headline",
        "processor time of a comparison of representations over that of influence, on a "
        "transformer as deep as the published model",
        *("paper", "abstract", "up to 3.5"),
        measured(ratio),
        above(3.0),
        Control(
            "gradients of all samples, no landmarks",
            measured(1 / _values(result, "timing", "gradient_passes")),
        ),
        why="The published ratio counts operations and charges a tangent as one pass forward. "
        "Forward mode takes at least two and a half, whichever way it is arranged."
        if not above(3.0).holds(measured(ratio))
        else "",
    )
    passes = measured(_values(result, "timing", "tangent_passes"))
    yield judged(
        "reconstruction",
        "cost of a tangent, in passes forward through the same blocks",
        *("reconstruction", "count of operations", 1.0),
        passes,
        within(1.0, share=0.2),
        why="Two tangents share the pass without a tangent; each needs two products of matrices "
        "where a pass forward has one."
        if not within(1.0, share=0.2).holds(passes)
        else "",
    )


def _second_order(result: xr.Dataset) -> Iterator[Claim]:
    practical, large = CURVED_RATES
    for case in CURVED:
        for kind, words in (("gradient", "gradient descent"), ("adam", "Adam")):
            for share in KEPT:
                name = f"{case}_second_order_overlap_{kind}_{share:g}"
                yield judged(
                    "headline",
                    f"{_words(case)}, {words}: share of the selection of {share:.0%} of the pool "
                    f"that the second-order term leaves, learning rate {practical:g}",
                    *("quoted by others", "Section 4", 1.0),
                    measured(_values(result, "exactness", f"{name}_{practical:g}")),
                    above(0.9),
                    Control(
                        f"learning rate {large:g}",
                        measured(_values(result, "exactness", f"{name}_{large:g}")),
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
                yield judged(
                    "reconstruction",
                    f"{_words(case)}, {name}: power of the learning rate in the error of the "
                    f"{order}-order change of the target's loss",
                    *("reconstruction", "", power),
                    measured(slope),
                    within(power, bound=0.1),
                    Control(taken_away, measured(without)),
                )
