"""The second test problem: what ensembles on pairs of overlapping images say about the claims.

The authors' released script iterates over the pairs that it scores. Whether its logs are accuracies
of training is answered by their update on both splits, beside the logs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from popinv_papers.kit.claims import Claim, Rows, Source, above, within
from popinv_papers.mwgrad.ensemble_runs import EnsembleTraining

# Epochs of the authors' released logs, and the mean accuracies of both tasks in % after them.
_EPOCHS = (0, 1, 2, 5, 10, 15, 30, 99)
_LOGGED = {
    "multi_mnist": {
        "svgd": (68.54, 78.60, 83.01, 88.17, 91.77, 94.27, 95.39, 95.56),
        "gfsd": (77.61, 83.60, 85.53, 88.40, 91.17, 94.99, 97.50, 97.84),
    },
    "multi_fashion": {
        "svgd": (63.07, 69.92, 73.25, 77.54, 78.95, 82.73, 85.22, 85.36),
        "gfsd": (65.37, 70.64, 73.98, 77.40, 81.69, 86.70, 89.90, 90.27),
    },
    "multi_fashion_and_mnist": {
        "svgd": (69.42, 76.48, 80.15, 84.38, 82.86, 88.91, 90.86, 91.01),
        "gfsd": (73.84, 74.61, 76.23, 82.43, 87.41, 91.26, 94.12, 94.50),
    },
}
LOGS = {
    kind: {name: dict(zip(_EPOCHS, values, strict=True)) for name, values in logs.items()}
    for kind, logs in _LOGGED.items()
}
_RIVALS = ("mt_sgd", "moo_svgd", "mgda", "equal")
# Points of accuracy that count as the same; set before the runs.
_NEAR = 2.0
_LAST = 99


def accuracies(
    trained: Mapping[EnsembleTraining, xr.Dataset],
    kind: str,
    recipe: str,
    method: str,
    part: str = "unseen",
) -> np.ndarray:
    """Return accuracies in %, means of both tasks, by seed and epoch, (S, E)."""
    found = [
        100 * result["accuracy"].sel(part=part).mean("task").values
        for run, result in trained.items()
        if (run.kind, run.recipe, run.method) == (kind, recipe, method)
    ]
    return np.array(found)


def metrics(trained: Mapping[EnsembleTraining, xr.Dataset]) -> dict[str, float]:
    """Return means over seeds of the accuracies after the last epoch, and of their extras."""
    numbers: dict[str, float] = {}
    for run in {(run.kind, run.recipe, run.method): None for run in trained}:
        name = "_".join(run)
        for part in ("trained", "unseen"):
            last = accuracies(trained, *run, part)[:, -1]
            numbers[f"accuracy_{part}_{name}"] = float(last.mean())
        numbers[f"accuracy_unseen_deviation_{name}"] = float(last.std(ddof=1))
        own = [one for key, one in trained.items() if (key.kind, key.recipe, key.method) == run]
        for extra, factor in (("network_accuracy", 100), ("log_likelihood", 1)):
            mean = np.mean([one[extra].values.mean() for one in own])
            numbers[f"{extra}_{name}"] = float(factor * mean)
        numbers[f"rate_{name}"] = float(own[0]["rate"])
        ranges = [np.ptp(one["weight"].values) for one in own]
        numbers[f"weight_range_{name}"] = float(np.mean(ranges))
    return numbers


def claims(trained: Mapping[EnsembleTraining, xr.Dataset]) -> list[Claim]:
    """Return the table of claims, for the kinds of pairs that were run."""
    table = []
    for kind in LOGS:
        if not any(run.kind == kind for run in trained):
            continue
        for method in LOGS[kind]:
            table += _against_the_log(trained, kind, method)
        table.append(_lead(trained, kind, "svgd", "authors' code"))
        table += [_lead(trained, kind, other, "this package") for other in _RIVALS]
    return table


def _against_the_log(
    trained: Mapping[EnsembleTraining, xr.Dataset], kind: str, method: str
) -> list[Claim]:
    """Return the rows about a log: its accuracies at our last epoch, and at its end."""
    words, log = f"{kind.replace('_', ' ')}, {method}", LOGS[kind][method]
    theirs = accuracies(trained, kind, "authors_on_test", method, "trained")
    honest = accuracies(trained, kind, "authors", method)
    control = "trained on the training split, scored on test pairs"
    if not honest.size:
        honest = accuracies(trained, kind, "authors_on_test", method)
        control = "the same networks, scored on pairs that they were not trained on"
    file = f"Results_1/{kind}_{'blob' if method == 'gfsd' else method}_.txt"
    of_log = Rows("headline", "authors' code", file)
    if not theirs.size:
        why = "the authors' recipe is trained with this method at the size `paper` alone"
        return [
            of_log.unsettled(f"{words}: accuracies of the authors' log", log[_LAST], "not run", why)
        ]
    last = theirs.shape[1] - 1
    shared = max(epoch for epoch in log if epoch <= last)
    rows = [
        of_log.row(
            f"{words}: the log's accuracy after epoch {shared} is that on the pairs which the "
            "script trains on (in %, mean of both tasks, the authors' update)",
            log[shared],
            theirs[:, shared],
            within(log[shared], bound=_NEAR),
            (control, honest[:, shared]),
        )
    ]
    if last < _LAST:
        why = f"this size trains {last + 1} of 100 epochs"
        rows.append(
            of_log.unsettled(
                f"{words}: the log's accuracy at its end is one of training",
                *(log[_LAST], "not run", why),
            )
        )
    return rows


def _difference(
    trained: Mapping[EnsembleTraining, xr.Dataset], kind: str, method: str, other: str
) -> np.ndarray:
    ours, theirs = (accuracies(trained, kind, "own", name)[:, -1] for name in (method, other))
    return ours - theirs


def _lead(
    trained: Mapping[EnsembleTraining, xr.Dataset], kind: str, other: str, source: Source
) -> Claim:
    """Return the row of GFSD's lead; its control has no repulsion and equal weights."""
    where, log = "", LOGS[kind]
    expected: float | str = "positive"
    if source == "authors' code":
        where, expected = "Results_1", log["gfsd"][_LAST] - log["svgd"][_LAST]
    # Against equal weights, the control is the other method without repulsion.
    plain = "mgda" if other == "equal" else "equal"
    return Rows("headline", source, where).row(
        f"{kind.replace('_', ' ')}: gfsd is ahead of {other.replace('_', '-')} in accuracy on "
        "unseen pairs, in points",
        expected,
        _difference(trained, kind, "gfsd", other),
        above(),
        (f"no repulsion between networks, {plain}", _difference(trained, kind, plain, other)),
    )
