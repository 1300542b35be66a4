"""What the tests of the pages share: the configuration and the files of a small study."""

from __future__ import annotations

import base64
import copy
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from tiny_study import TINY

from popinv.config.loading import load
from popinv.config.study import Study
from popinv_papers.kit.claims import Rows, above, within

sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))
import studies

# One grey pixel.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
CLAIMS = [
    Rows("headline", "paper", "abstract").row(
        "accelerated descent is ahead <in bits>",
        "positive",
        [1.0, 1.1, 0.9, 1.2, 0.8],
        above(),
        ("no acceleration", [-0.9, -1.1, -1.0, -0.9, -1.1]),
    ),
    Rows("reconstruction", "reconstruction").row(
        "escape probability", 0.5, 0.75, within(0.5, bound=0.1)
    ),
]


# Numbers of the evidence that the study asks for.
EVIDENCE: dict[str, dict[str, Any]] = {
    "calibration": {"calibration_replications": 20, "coverage_mean": 0.9},
    "designs": {
        "design_error": 0.03,
        "design_calls_active": 200,
        "design_calls_fixed": "> 800",
        "design_calls_ratio": "> 4.0",
    },
    "error_against_systems": {
        f"{name}_{key}": value
        for name in ("law_error", "noise_error")
        for key, value in (("slope", -0.5), ("slope_standard_error", 0.04), ("intercept", 0.1))
    },
}
COMPARISON = {
    "blind": {
        "systems": 60,
        "alpha_relative_error_rms": 0.1,
        "noise_covariance_relative_frobenius_error": None,
        "seconds": 12.0,
        "note": "",
    }
}


def configuration(**downstream: Any) -> Study:
    """Return the section of the study: that of the tiny one, with all that may be asked for."""
    config = copy.deepcopy(TINY)
    study = config["studies"]["tiny"]
    study["downstream"] = downstream
    study["assessment"]["baselines"] = ["plain"]
    study["evidence"] = {
        "system_counts": [10, 20, 40],
        "design_counts": [40, 80],
        "calibration": 20,
    }
    return load(config).studies["tiny"]


def evidence() -> dict[str, xr.Dataset]:
    """Return what the charts of the evidence are drawn from."""
    sizes, names = np.array([10.0, 20.0, 40.0]), ["mean", "length"]
    told = {"long_name": "relative error"}
    errors = {
        name: xr.Dataset(
            {name: ("data_set", sizes**-0.5, told), f"{name}_rms": ("size", sizes**-0.5)}
        )
        for name in ("law_error", "noise_error")
    }
    systems = xr.Dataset({"systems": ("data_set", sizes), "size_systems": ("size", sizes)})
    share = np.array([0.9, 0.95])
    return {
        "error_against_systems": xr.merge([systems, *errors.values()]),
        "designs": xr.Dataset(
            {
                f"{design}_{key}": (design, values)
                for design in ("active", "fixed")
                for key, values in (("calls", [100, 200]), ("error", [0.1, 0.03]))
            }
        ),
        "calibration": xr.Dataset(
            {
                f"law_coverage{end}": ("law_parameter", share + shift)
                for end, shift in (("", 0.0), ("_lower", -0.1), ("_upper", 0.04))
            },
            coords={"law_parameter": names},
        ),
    }


@dataclass(frozen=True)
class Results:
    """A folder of results, and the configuration of its study."""

    folder: Path
    section: Study
    study: studies.Study

    @property
    def tiny(self) -> Path:
        return self.folder / "tiny"

    def stores(self) -> list[Path]:
        return sorted(self.tiny.glob("*.zarr.zip"))


def numbers_of(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())
