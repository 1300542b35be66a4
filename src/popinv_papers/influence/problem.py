"""The test problem as a whole: its parts, and their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.methods.metrics import flatten
from popinv.store.variables import variable
from popinv_papers.influence import costs, exactness, fine_tuning, language, mixture
from popinv_papers.influence.costs import Timing
from popinv_papers.influence.fine_tuning import FineTuning
from popinv_papers.influence.language import Language
from popinv_papers.influence.mixture import Mixture
from popinv_papers.influence.pretraining import PretrainingCorpus, with_weights
from popinv_papers.kit.kept import kept_numbers

# Networks with few weights, for which the second-order term is formed.
CURVED = ("softmax_regression", "perceptron")
PARTS = ("exactness", "mixture", "language", "fine_tuning", "timing")


@dataclass(frozen=True)
class InfluenceSize:
    """The sizes of the parts, and their numbers of draws.

    There are ``draws`` of the selections and ``few`` of the other parts. The first part's pool has
    ``exact_pool`` samples.
    """

    draws: int
    few: int
    exact_pool: int
    mixture: Mixture
    language: Language
    fine_tuning: FineTuning
    timing: Timing


_WORKSTATION = InfluenceSize(8, 5, 60, Mixture(), Language(), FineTuning(), Timing())
SIZES = {
    "workstation": _WORKSTATION,
    # The paper's models have a thousand times more weights and are trained on a cluster; this is
    # the same problem with larger pools, more landmarks and more draws.
    "paper": InfluenceSize(
        16,
        5,
        60,
        replace(_WORKSTATION.mixture, pool=20_000, selected=1000, landmarks=(64, 256, 1024, 4096)),
        replace(
            _WORKSTATION.language,
            model=replace(_WORKSTATION.language.model, width=256, layers=8, steps=20_000),
            pool=8000,
            selected=800,
            landmarks=(64, 256, 1024, 4096),
            steps=50,
        ),
        replace(
            _WORKSTATION.fine_tuning,
            bank_of_others=9000,
            pool=8000,
            selected=800,
            landmarks=(64, 256, 1024, 4096),
            steps=100,
        ),
        _WORKSTATION.timing,
    ),
}


def run(
    size: InfluenceSize,
    corpus: PretrainingCorpus,
    pretrained: xr.Dataset,
    archives: tuple[Path, Path, Path],
    seed: int,
) -> xr.Dataset:
    """Run the parts; half an hour in workstation size.

    The pretrained model is from :func:`popinv_papers.influence.pretraining.pretrain`. The archives
    hold the Brown corpus, the letters and the encoder.

    Returns
    -------
    Dataset
        ``exactness``, ``mixture``, ``language``, ``fine_tuning`` and ``timing``, each along a name
        and its draws.
    """
    model = with_weights(pretrained, size.language.model, corpus.vocabulary)
    pairs = pretrained["pairs"].values
    bank, block = fine_tuning.encoded(archives, size.fine_tuning, seed)
    told = partial(language.compare, corpus, model, pairs, size.language, seed)
    tuned = partial(fine_tuning.compare, bank, block, size.fine_tuning, seed)
    lead_to = "what selections {} lead to".format
    parts: dict[str, tuple[Callable[[int], Mapping[str, float]], int, str]] = {
        "exactness": (partial(_exactness, size, seed), size.few, "errors of the formulas"),
        "mixture": (
            partial(mixture.compare, size.mixture, seed),
            size.draws,
            lead_to("from a mixture of domains"),
        ),
        "language": (told, size.draws, lead_to("for a language model")),
        "fine_tuning": (tuned, size.draws, lead_to("for a pretrained encoder")),
        "timing": (lambda _: costs.measure(size.timing, seed), size.few, "times and their ratios"),
    }
    return xr.merge(
        [
            _named(part, each_draw(part, measure, count), text)
            for part, (measure, count, text) in parts.items()
        ]
    )


def each_draw(
    part: str, measure: Callable[[int], Mapping[str, float]], count: int
) -> list[dict[str, float]]:
    """Return what is measured of each draw; each is a part of the test problem that is kept."""
    bar = tqdm(range(count), desc=part.replace("_", " "), unit="draw", disable=None)
    return [kept_numbers(f"{part} {number}", partial(measure, number)) for number in bar]


def _exactness(size: InfluenceSize, seed: int, number: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for case in exactness.cases(seed, number, size.exact_pool):
        found |= exactness.error_orders(case, seed)
        if case.name in CURVED:
            found |= exactness.second_order(case, seed)
    return found


def _named(part: str, draws: Sequence[Mapping[str, float]], text: str) -> xr.Dataset:
    names = list(draws[0])
    values = [[float(draw[name]) for draw in draws] for name in names]
    coordinate = variable(f"{part}_name", np.array(names, dtype=np.str_), "what is measured")
    return xr.Dataset(
        {part: variable((f"{part}_name", f"{part}_draw"), values, text)},
        coords={f"{part}_name": coordinate},
    )


def metrics(result: xr.Dataset) -> dict[str, Any]:
    """Return every number of the parts: means over draws and, with ``_sd``, deviations."""
    measured: dict[str, float] = {}
    for part in PARTS:
        draw = f"{part}_draw"
        measured |= flatten(result[part].mean(draw), f"{part}_{{{part}_name}}")
        measured |= flatten(result[part].std(draw, ddof=1), f"{part}_{{{part}_name}}_sd")
    # The measured cost of one tangent in passes forward.
    passes = measured["timing_tangent_passes"]
    counts: dict[str, float] = {}
    for model in costs.MODELS:
        counted = costs.costs(model)
        name = model.name.lower().replace(".", "_").replace("-", "_")
        for part in ("influence", "representations", "gradients"):
            counts[f"teraflops_{name}_{part}"] = counted[part]
        counts[f"speed_up_{name}"] = costs.speed_up(counted)
        as_measured = costs.costs(model, tangent_passes=passes)
        counts[f"speed_up_{name}_with_measured_tangents"] = costs.speed_up(as_measured)
    return {**measured, **counts, "draws": result.sizes["mixture_draw"]}
