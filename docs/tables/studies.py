"""The tables of a study's page, from its results.

    .venv/bin/python docs/tables/studies.py results/theophylline results/porous_samples_1 ...

For each folder of results, in a checkout of the commit that made them, they are written to
``docs/tables/data/studies``: the answer, the parameters of the systems (of theophylline each
person), what is left of the answer without each of the checked systems, and the calibration. Of a
folder ``results/comparisons/NAME`` they are the compared models.

A file ``NAME_peers.csv`` has columns that stand beside them. ``peers.R`` makes those of rails and
boys, and ``theophylline.R`` nlme's estimates of each person. Others are of programs of our own, of
what is published, or the truth of a simulated study.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import xarray as xr
from zarr.storage import ZipStore

import popinv
from popinv.judgement.comparison import rows_of
from popinv.judgement.files import read_answer, read_metrics
from popinv.population.observe import system_names

FOLDER = Path(__file__).parent / "data/studies"
UNITS = {"ka": "1/h", "V": "L", "CL": "L/h"}


def answer(results: Path) -> pd.DataFrame:
    """Return the estimates and intervals in the scale of the search, beside those of others."""
    found = (each.own for each in read_answer(results).estimates)
    rows = {
        p.name if p.kind == "law" else f"noise_{p.name}": {
            "estimate": f"{p.value:.4g}",
            "95 % interval": f"{p.lower:.4g} to {p.upper:.4g}",
            **({} if p.true is None else {"truth": f"{p.true:g}"}),
        }
        for p in found
        if p.lower is not None and p.upper is not None
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")
    return beside_peers(table, results)


def persons(results: Path) -> pd.DataFrame:
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


def fields(results: Path) -> pd.DataFrame:
    """Return medians and 95 % intervals of a field in the first systems, and their coverage."""
    folder = results / "downstream/posterior"
    found = pd.read_csv(folder / "systems.csv", index_col="system").head(5)
    metrics = json.loads((folder / "metrics.json").read_text())
    columns = {}
    for name in (c.removesuffix(" median") for c in found if c.endswith(" median")):
        low, median, high = (found[f"{name} {what}"] for what in ("2.5 %", "median", "97.5 %"))
        columns[name] = [
            *(f"{m:.2f} ({a:.2f} to {b:.2f})" for m, a, b in zip(median, low, high, strict=True)),
            f"{metrics['coverage_' + name.replace(' ', '_')]:.1%}",
        ]
    index = [*(f"sample {system}" for system in found.index), "coverage of all"]
    return pd.DataFrame(columns, index=pd.Index(index, name=""))


def left_out(results: Path) -> pd.DataFrame:
    """Return the shifts of the answer without each checked system, in standard errors.

    The answer is fitted anew; the last column is the largest shift that one step predicts.
    """
    folder = results / "downstream/withdrawal"
    with ZipStore(folder / "result.zarr.zip", mode="r") as store:
        found = xr.open_zarr(store, consolidated=False).load()
    labels = system_names(popinv.load(results).artefacts["observations"])
    errors, checked = found["standard_error"].values, found["checked"].values
    refitted = found["checked_shift"].values / errors
    predicted = found["shift"].values[checked]
    index = checked if labels is None else [int(labels[i]) for i in checked]
    table = pd.DataFrame(refitted, index, found["fitted"].values).map("{:+.2f}".format)
    each = [row[abs(row).argmax()] for row in predicted / errors]
    table["largest, by one step"] = [f"{x:+.2f}" for x in each]
    return table.rename_axis("without").sort_index()


def calibration(results: Path) -> pd.DataFrame:
    """Return the coverage of the intervals, and errors over the bound, of new data sets."""
    found = json.loads((results / "evidence/calibration.json").read_text())
    ends = [k.removesuffix("_lower") for k in found if k.endswith("_lower")]
    rows = {}
    for key in ends:
        name = key.removeprefix("coverage_").removeprefix("alpha_")
        # A name that law and noise share has its part before it.
        short = name.removeprefix("noise_")
        label = next(x for x in (short, name, f"law_{short}") if f"efficiency_{x}" in found)
        low, high = found[f"{key}_lower"], found[f"{key}_upper"]
        rows[name] = {
            "coverage of 95 % intervals": f"{found[key]:.1%} ({low:.0%} to {high:.0%})",
            "error over bound": f"{found[f'efficiency_{label}']:.2f}",
            "p of ranks": f"{found[f'rank_p_value_{label}']:.2g}",
        }
    count = int(found["calibration_replications"])
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis(f"parameter, {count} data sets")


def comparison(results: Path) -> pd.DataFrame:
    """Return the table of compared models that popinv prints, beside the numbers of others."""
    headings, *rows = rows_of(read_metrics(results / "comparison.json"))
    # The last column has no heading in the terminal.
    table = pd.DataFrame(rows, columns=[name or "verdict" for name in headings]).set_index("model")
    return beside_peers(table.drop(columns=["law", "noise"]), results)


def beside_peers(table: pd.DataFrame, results: Path) -> pd.DataFrame:
    """Return a table with the columns of other programs, if there is a file of them."""
    peers = FOLDER / f"{results.name}_peers.csv"
    return table.join(pd.read_csv(peers, index_col=table.index.name)) if peers.exists() else table


TABLES = {
    "comparison": ("comparison.json", comparison),
    "answer": ("answer.json", answer),
    "persons": ("downstream/posterior/systems.csv", persons),
    "fields": ("downstream/posterior/systems.csv", fields),
    "left_out": ("downstream/withdrawal/result.zarr.zip", left_out),
    "calibration": ("evidence/calibration.json", calibration),
}


def main() -> None:
    """Write the tables of each folder of results."""
    describe = ["git", "describe", "--always", "--dirty"]
    for results in map(Path, sys.argv[1:]):
        told = subprocess.run(describe, cwd=results, capture_output=True, text=True, check=True)
        for name, (needed, table) in TABLES.items():
            of_persons = results.name == "theophylline"
            if (results / needed).exists() and name != ("fields" if of_persons else "persons"):
                table(results).to_csv(FOLDER / f"{results.name}_{name}.csv")
        said = f"The results are those of commit {told.stdout.strip()}.\n"
        (FOLDER / f"{results.name}_commit.txt").write_text(said)


if __name__ == "__main__":
    main()
