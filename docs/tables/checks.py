"""Tables of the test problems beside their claims."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from popinv_papers.birch.catalogue import METHODS
from tables.cells import number, table
from tables.kept import check

__all__ = ["TABLES"]


def birch_variation() -> Iterator[str]:
    """Yield times over the fastest by the variation of the times of gradients."""
    one = check("birch")
    shown = ("async_local", "ringmaster", "local", "rennala", "minibatch")
    start = "slowest_over_fastest_at_variation_"
    levels = sorted((n.removeprefix(start) for n in one.metrics if n.startswith(start)), key=float)
    rows = []
    for level in levels:
        # The classical regime has the variation that stands in none of the names.
        regime = f"classical_{level}"
        regime = regime if f"{regime}_fastest" in one.metrics else "classical"
        cells = [f"{one.metrics[f'{regime}_{name}_over_fastest']:.2f}" for name in shown]
        rows.append([level, *cells])
    titles = [METHODS[name].title for name in shown]
    yield from table(["coefficient of variation", *titles], rows)
    yield from ("", one.told)


def bigram_worst() -> Iterator[str]:
    """Yield the exponent of most steps, and the share of them that exponent 1 takes."""
    one, rows = check("bigram"), []
    pattern = re.compile(r"worst_exponent_(target_(.+)_size_(.+))")
    places = [m.groups() for n in one.metrics if (m := pattern.fullmatch(n))]
    places.sort(key=lambda place: float(place[2]))
    for target in sorted({target for _, target, _ in places}, key=float, reverse=True):
        cells = [
            f"{one.metrics[f'worst_exponent_{place}']:.3f}, "
            f"{number(one.metrics[f'share_of_worst_steps_at_exponent_1_{place}'])}"
            for place, own, _ in places
            if own == target
        ]
        rows.append([f"{float(target):.0%} of the loss", *cells])
    sizes = dict.fromkeys(size for _, _, size in places)
    yield from table(["to", *(f"{float(size):.0e} symbols" for size in sizes)], rows)
    yield from ("", one.told)


def certified_epochs() -> Iterator[str]:
    """Yield the epochs of all requests by method."""
    one = check("certified_unlearning")
    words = {
        "full": "full batch",
        "b512": "512",
        "b256": "256",
        "b128": "128",
        "b32": "32",
        "langevin": "Langevin, ten at a time",
        "delete": "descent to delete",
    }
    shown = {name: text for name, text in words.items() if f"epochs_{name}" in one.metrics}
    cells = [number(one.metrics[f"epochs_{name}"]) for name in shown]
    yield from table(["", *shown.values()], [["epochs", *cells]])
    yield from ("", one.told)


def certified_accuracy() -> Iterator[str]:
    """Yield accuracies after one request by epsilon."""
    one = check("certified_unlearning")
    names = {
        "b128": "noisy steps, batches of 128",
        "full": "noisy steps, full batch",
        "langevin": "Langevin unlearning",
        "delete_1": "descent to delete, 1 step",
        "delete_5": "descent to delete, 5 steps",
    }
    pattern = re.compile(r"accuracy_b128_epsilon_([\d.]+)")
    epsilons = sorted((m[1] for n in one.metrics if (m := pattern.fullmatch(n))), key=float)
    rows = [
        [text, *(f"{one.metrics[f'accuracy_{name}_epsilon_{e}']:.3f}" for e in epsilons)]
        for name, text in names.items()
    ]
    yield from table(["epsilon", *epsilons], rows)
    yield from ("", one.told)


def certified_requests() -> Iterator[str]:
    """Yield accuracies after all requests, and of learning anew."""
    one = check("certified_unlearning")
    words = {"full": "full batch", "b128": "batches of 128", "b32": "batches of 32"}

    def cell(name: str) -> str:
        error = one.metrics[f"{name}_standard_error"]
        return f"{one.metrics[name]:.3f} ({error:.3f})"

    rows = [
        [text, *(cell(f"accuracy_{when}_{name}") for when in ("learnt", "unlearnt", "retrained"))]
        for name, text in words.items()
        if f"accuracy_learnt_{name}" in one.metrics
    ]
    yield from table(["", "learnt", "unlearnt", "learnt anew"], rows)
    yield from ("", one.told)


def influence_means() -> Iterator[str]:
    """Yield the mean losses and accuracies by what the models are trained on."""
    one = check("influence")
    parts = {
        "mixture_accuracy": ("",),
        "language_loss": ("official", "learned", "romance"),
        "fine_tuning_accuracy": ("press", "instruction", "letters"),
    }
    words = {
        "before": "the model as it is",
        "random": "random",
        "all": "whole pool, same steps",
        "full": "whole pool, several passes",
        "landmarks_hidden": "landmarks over hidden states",
        "landmarks_hidden_and_label": "landmarks over hidden states and label",
        "landmarks_last_state": "landmarks over the last state",
        "landmarks_mean_state": "landmarks over the mean state",
        "landmarks_mean_state_and_label": "landmarks over the mean state and label",
        "landmarks_equal_seconds": "landmarks at equal seconds",
        "landmarks_dealt": "landmarks with embeddings dealt to other samples",
        "representations": "representations",
        "exact": "exact scores, in turns",
        "target": "the target's own samples",
        "bigram": "a table of pairs of tokens",
        "largest_class": "the target's largest class",
    }
    rows = []
    for name, text in words.items():
        cells = [_mean(one.metrics, part, name) for part in parts]
        if any(cells):
            rows.append([text, *cells])
    heads = ["trained on", "mixture: accuracy", "language model: loss", "encoder: accuracy"]
    yield from table(heads, rows)
    yield from ("", one.told)


def _mean(metrics: Mapping[str, Any], part: str, name: str) -> str:
    """Return the mean over the targets of a part, or an empty cell."""
    pattern = re.compile(rf"{part}_(?:\w+_)?{re.escape(name)}")
    known = {n: v for n, v in metrics.items() if n.startswith(f"{part}_") and pattern.fullmatch(n)}
    own = [v for n, v in known.items() if _name_of(n, part) == name]
    return f"{sum(own) / len(own):.3f}" if own else ""


def _name_of(metric: str, part: str) -> str:
    """Return the selection that a metric is about, without the target."""
    rest = metric.removeprefix(f"{part}_")
    if part == "mixture_accuracy":
        return rest
    return rest.partition("_")[2]


def mwgrad_images_accuracy() -> Iterator[str]:
    """Yield the accuracies of ensembles on unseen pairs, by method and kind of pairs."""
    one = check("mwgrad_images")
    kinds = {
        "multi_mnist": "Multi-MNIST",
        "multi_fashion": "Multi-Fashion",
        "multi_fashion_and_mnist": "Multi-Fashion+MNIST",
    }
    methods = {
        "neural": "MWGraD, neural velocity",
        "equal": "equal weights",
        "gfsd": "MWGraD, GFSD",
        "mgda": "MGDA",
        "moo_svgd": "MOO-SVGD",
        "svgd": "MWGraD, SVGD",
        "mt_sgd": "MT-SGD",
    }
    rows = []
    for method, words in methods.items():
        cells = []
        for kind in kinds:
            name = f"{kind}_own_{method}"
            mean, spread, rate = (
                one.metrics[f"{what}_{name}"]
                for what in ("accuracy_unseen", "accuracy_unseen_deviation", "rate")
            )
            cells.append(f"{mean:.1f} ({spread:.1f}), {rate:.3f}")
        rows.append([words, *cells])
    yield from table(["method", *kinds.values()], rows)
    yield from ("", one.told)


def sgd_escapes() -> Iterator[str]:
    """Yield escape probabilities by the stable limit and by the recursion."""
    one = check("sgd_dynamics")
    pattern = re.compile(r"escape_index_(.+)_rate_(.+)")
    places = [m.groups() for n in one.metrics if (m := pattern.fullmatch(n))]
    rates = sorted({rate for _, rate in places}, key=float, reverse=True)
    rows = []
    for index in sorted({index for index, _ in places}, key=float):
        cells = []
        for rate in rates:
            at = f"index_{index}_rate_{rate}"
            limit, exact = (one.metrics[f"{name}_{at}"] for name in ("escape_limit", "escape"))
            term = number(one.metrics[f"finite_rate_term_{at}"])
            cells.append(f"{limit:.3f}, {exact:.3f} ({term})")
        rows.append([index, *cells])
    yield from table(["tail index", *(f"rate {rate}" for rate in rates)], rows)
    yield from ("", one.told)


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    function.__name__: function
    for function in (
        bigram_worst,
        birch_variation,
        certified_accuracy,
        certified_epochs,
        certified_requests,
        influence_means,
        mwgrad_images_accuracy,
        sgd_escapes,
    )
}
"""The tables by the names that the pages use."""
