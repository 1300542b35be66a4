"""A small finished study on disk, its pages, and a browser to look at them."""

from __future__ import annotations

import base64
import copy
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from tiny_study import TINY

from popinv import storage
from popinv.config.loading import as_mapping, load
from popinv.downstream.claims import Claim, write_claims, write_metrics
from popinv.inference.summary import metrics
from popinv.report.gathering import gather_method, gather_study
from popinv.report.pages import index_page, method_page
from popinv.report.writing import page_of

sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))
import studies

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium")
# One grey pixel.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
CLAIMS = [
    Claim("velocities agree <to rounding>", "paper", 0.0, 1e-9, True),
    Claim("weights sum to one", "reconstruction", 1.0, 0.5, False),
]


# Numbers of the evidence that the study asks for.
EVIDENCE: dict[str, dict[str, Any]] = {
    "coverage": {"coverage_replications": 20, "coverage_mean": 0.9},
    "designs": {"design_error": 0.03, "design_calls_active": 200, "design_calls_fixed": "> 800"},
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


def configuration(**downstream: Any) -> dict[str, Any]:
    """Return the section of the study: that of the tiny one, with all that may be asked for."""
    config = copy.deepcopy(TINY)
    study = config["studies"]["tiny"]
    study["downstream"] = downstream
    study["assessment"]["baselines"] = ["plain"]
    study["evidence"] = {
        "system_counts": [10, 20, 40],
        "design_counts": [40, 80],
        "coverage_replications": 20,
    }
    return as_mapping(load(config))["studies"]["tiny"]


def evidence() -> dict[str, xr.Dataset]:
    """Return what the charts of the evidence are drawn from."""
    sizes, names = np.array([10.0, 20.0, 40.0]), ["mean", "length"]
    errors = {
        name: xr.Dataset({name: ("data_set", sizes**-0.5), f"{name}_rms": ("size", sizes**-0.5)})
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
        "coverage": xr.Dataset(
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
    section: dict[str, Any]
    study: studies.Study

    @property
    def tiny(self) -> Path:
        return self.folder / "tiny"

    def stores(self) -> list[Path]:
        return sorted(self.tiny.glob("*.zarr/zarr.json"))


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return results as the workflow leaves them, of a study that has no solver behind it."""
    folder = tmp_path_factory.mktemp("report") / "results"
    study, section = studies.line_study(), configuration(mwgrad={})
    tiny = folder / "tiny"
    for name in ("observations", "truth", "population"):
        storage.save(
            study.loaded[name], tiny / f"{name}.zarr", config={}, seed=3, created_by=f"make_{name}"
        )
    found = metrics(study.problem, study.loaded["population"], study.loaded, {"null_resamples": 20})
    write_metrics(found, tiny / "metrics.json")
    benchmarks = tiny / "benchmarks"
    benchmarks.mkdir()
    for name, seconds, megabytes in (
        ("solve_chunk.0.0", 12.0, "400.0"),
        ("solve_chunk.0.1", 30.0, "300.0"),
        ("deconvolve", 61.0, "NA"),
        # Left by a configuration with more rounds, more chunks, another method, or by nobody.
        ("solve_chunk.7.0", 1000.0, "1.0"),
        ("solve_chunk.0.9", 1000.0, "1.0"),
        ("posterior", 1000.0, "1.0"),
        ("somebody_elses", 1000.0, "1.0"),
        ("write_study_page", 1000.0, "1.0"),
    ):
        row = f"{seconds}\t0\t{megabytes}\t0\t0\t0\t0\t0\t0\t{seconds / 2}\n"
        (benchmarks / f"{name}.tsv").write_text(HEADER + row)
    for place in (tiny / "downstream/mwgrad", folder / "downstream/mwgrad"):
        write_metrics(
            {"regret_max": 0.123456789012, "particles": 60, "said": "<b>"}, place / "metrics.json"
        )
        (place / "figures").mkdir()
        (place / "figures" / "group.png").write_bytes(PIXEL)
    write_claims(CLAIMS, folder / "downstream/mwgrad/claims.csv")
    for name, numbers in EVIDENCE.items():
        write_metrics(numbers, tiny / "evidence" / f"{name}.json")
    (tiny / "baselines").mkdir()
    (tiny / "baselines" / "comparison.json").write_text(json.dumps(COMPARISON))
    (tiny / "figures").mkdir()
    (tiny / "figures" / "examples.png").write_bytes(PIXEL)
    return Results(folder, section, study)


@pytest.fixture(scope="session")
def pages(results: Results) -> dict[str, Path]:
    """Return the files of the three sorts of pages."""
    folder = results.folder / "report"
    study = gather_study(results.tiny / "metrics.json", results.section, results.stores())
    method = gather_method(
        "mwgrad", results.folder, ["tiny"], "# Several objectives\n\nFirst `x`.\n"
    )
    loaded = results.study.loaded | evidence()
    written = {
        "study": (
            folder / "studies/tiny.html",
            page_of(study, results.study.problem, loaded),
        ),
        "method": (folder / "methods/mwgrad.html", method_page(method)),
        "index": (folder / "index.html", index_page([study], [method])),
    }
    for path, text in written.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {name: path for name, (path, _) in written.items()}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return Debian's Chromium, without a window."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    # Its sandbox refuses to run as root, as in a container.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def numbers_of(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())
