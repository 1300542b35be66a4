"""Tables of the estimates from the observations of misspecified.yaml, and of their judgements.

    python config/examples/misspecified/tabulate.py [results/misspecified]

Prints two tables in Markdown.
"""

import argparse
from pathlib import Path

from popinv.judgement.judgements import judgements
from popinv.judgement.metrics import parameters_in, read_metrics
from popinv.store import storage

CASES = (
    "right",
    "correlated_parameters",
    "two_kinds",
    "heavy_tailed_noise",
    "proportional_noise",
    "smooth_noise",
)
ESTIMATORS = {
    "distance": "descent",
    "pseudo-likelihood": "pseudo_likelihood",
    "likelihood": "likelihood",
}


P_VALUES = {
    "agreement": "agreement_p_value",
    "held-out": "heldout_p_value",
    "single": "heldout_calibration_p_value",
    "log score": "heldout_log_score_p_value",
    "second moments": "noise_misfit_p_value",
}


def row(*cells: str) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def estimates(folder: Path) -> list[str]:
    """Return a row for each estimator of a study."""
    lines = []
    for name, store in ESTIMATORS.items():
        found = storage.load(folder / f"{store}.zarr.zip")
        shown = "none"
        if "law" in found:
            values = [*found["law"].values, *found["noise"].values]
            shown = ", ".join(f"{value:.3g}" for value in values)
        passes = "yes" if found.attrs["passes"] else f"no: {found.attrs['reason']}"
        lines.append(row(folder.name.replace("_", " "), name, shown, passes))
    return lines


def judged(folder: Path) -> str:
    """Return the row of a study's p-values, and of its judgements that are reasons for doubt."""
    metrics = read_metrics(folder / "metrics.json")
    found = judgements(metrics, parameters_in(metrics))
    said = [j.name.lower() for j in found if j.verdict == "doubt"]
    values = [f"{metrics[key]:.2g}" if key in metrics else "" for key in P_VALUES.values()]
    answer = str(metrics["estimator"]).replace("_", "-")
    return row(folder.name.replace("_", " "), answer, *values, ", ".join(said) or "none")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=Path("results/misspecified"))
    folders = [parser.parse_args().results / case for case in CASES]
    print(row("case", "estimator", "law, then noise", "passes"))
    print(row("---", "---", "---", "---"))
    print("\n".join(line for folder in folders for line in estimates(folder)))
    print()
    print(row("case", "answered by", *P_VALUES, "reasons for doubt"))
    print(row("---", "---", *("---" for _ in P_VALUES), "---"))
    print("\n".join(map(judged, folders)))
