"""The table of the twelve people of theophylline: posteriors beside the estimates of nlme.

    .venv/bin/python docs/tables/theophylline.py results/theophylline

``theophylline.R`` makes the file of nlme's estimates.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent / "data/studies"
UNITS = {"ka": "1/h", "V": "L", "CL": "L/h"}


def table(results: Path) -> pd.DataFrame:
    """Return medians, 95 % intervals and nlme's estimates, a row for each person."""
    found = pd.read_csv(results / "downstream/posterior/systems.csv", index_col="system")
    peer = pd.read_csv(FOLDER / "theophylline_nlme.csv", index_col="system")
    columns = {}
    for name, unit in UNITS.items():
        low, median, high = (
            found[f"{name} {what} [{unit}]"] for what in ("2.5 %", "median", "97.5 %")
        )
        columns[f"{name}, {unit}"] = [
            f"{m:.3g} ({a:.3g} to {b:.3g})" for m, a, b in zip(median, low, high, strict=True)
        ]
        columns[f"{name} by nlme"] = [f"{peer.loc[system, name]:.3g}" for system in found.index]
    return pd.DataFrame(columns, index=found.index.rename("person")).sort_index()


if __name__ == "__main__":
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True
    )
    table(Path(sys.argv[1])).to_csv(FOLDER / "theophylline.csv")
    said = f"The results are those of commit {commit.stdout.strip()}.\n"
    (FOLDER / "theophylline_commit.txt").write_text(said)
