"""What each estimator answered to the observations of misspecified.yaml, and which judgement spoke.

    python config/examples/misspecified/tabulate.py [results/misspecified]

Prints two tables in Markdown.
"""

import sys
from pathlib import Path

from popinv import storage
from popinv.judgement import judgements
from popinv.metrics import parameters_in, read_metrics

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


def row(*cells: str) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def estimates(folder: Path) -> list[str]:
    """Return a row for each estimator of a study."""
    lines = []
    for name, store in ESTIMATORS.items():
        found = storage.load(folder / f"{store}.zarr")
        shown = "none"
        if "law" in found:
            values = [*found["law"].values, *found["noise"].values]
            shown = ", ".join(f"{value:.3g}" for value in values)
        passes = "yes" if found.attrs["passes"] else f"no: {found.attrs['reason']}"
        lines.append(row(folder.name.replace("_", " "), name, shown, passes))
    return lines


def doubts(folder: Path) -> str:
    """Return the row of the judgements of a study that are reasons for doubt."""
    metrics = read_metrics(folder / "metrics.json")
    found = judgements(metrics, parameters_in(metrics))
    said = [f"{j.name.lower()}: {j.short}" for j in found if j.verdict == "doubt"]
    answer = str(metrics["estimator"]).replace("_", "-")
    return row(folder.name.replace("_", " "), answer, "; ".join(said) or "none")


if __name__ == "__main__":
    results = Path(sys.argv[1] if len(sys.argv) > 1 else "results/misspecified")
    folders = [results / case for case in CASES]
    print(row("case", "estimator", "law, then noise", "passes"))
    print(row("---", "---", "---", "---"))
    print("\n".join(line for folder in folders for line in estimates(folder)))
    print()
    print(row("case", "answered by", "reasons for doubt"))
    print(row("---", "---", "---"))
    print("\n".join(map(doubts, folders)))
