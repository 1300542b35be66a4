"""All systems in one table, for a spreadsheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

_COLUMNS = {
    "mean": "mean",
    "deviation": "standard deviation",
    "lower": "2.5 %",
    "median": "median",
    "upper": "97.5 %",
}


def systems_table(posterior: xr.Dataset, units: list[str], own: np.ndarray) -> pd.DataFrame:
    """Return one row for each system, with units in the names of the columns.

    Parameters
    ----------
    posterior : Dataset
        From :func:`popinv.methods.posterior.study.posterior_dataset`, with
        ``surprise_p_value`` (system,), and ``system_id`` (system,) if the user named the systems.
        Without it, they have numbers from 0.
    units : list of str
        Of what is told, "1" if it has none.
    own : ndarray of bool, shape (k,)
        What differs between systems; the smallest effective size is among these.
    """
    names = [str(name) for name in posterior["parameter"].values]
    count = posterior.sizes["system"]
    ids = posterior["system_id"].values if "system_id" in posterior.coords else np.arange(count)
    columns: dict[str, np.ndarray] = {"system": ids}
    for i, (name, unit) in enumerate(zip(names, units, strict=True)):
        ending = "" if unit in ("", "1") else f" [{unit}]"
        for key, told in _COLUMNS.items():
            columns[f"{name} {told}{ending}"] = posterior[key].values[:, i]
    columns["surprise p-value"] = posterior["surprise_p_value"].values
    columns["smallest effective sample size"] = posterior["effective"].values[:, own].min(axis=1)
    columns["largest R-hat"] = posterior["r_hat"].values[:, own].max(axis=1)
    return pd.DataFrame(columns)


def write_systems(table: pd.DataFrame, path: Path) -> None:
    """Write the table with six digits, which is more than the draws determine."""
    table.to_csv(path, index=False, float_format="%.6g", encoding="utf-8")
