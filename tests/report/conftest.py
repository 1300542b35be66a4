"""A small finished study on disk, its pages, and a browser to look at them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import small_results
from answers import write
from browsing import Visit, visit, with_few_charts

from popinv.inference.answer.assessment import answer_tests, assess
from popinv.methods.metrics import write_metrics
from popinv.report.folder import ASSETS, library, library_name
from popinv.report.gathering import gather_listed, gather_method, gather_study
from popinv.report.pages import index_page, method_page
from popinv.report.study_page import page_of
from popinv.store import storage
from popinv.surrogate.collect import Thresholds
from popinv_papers.kit.claims import claim_cells, write_claims

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# What the tiny study asks of its surrogate.
THRESHOLDS = Thresholds(error=0.1, push=0.25)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> small_results.Results:
    """Return results as the workflow leaves them, of a study that has no solver behind it."""
    folder = tmp_path_factory.mktemp("report") / "results"
    study, section = small_results.studies.line_study(), small_results.configuration(mwgrad={})
    tiny = folder / "tiny"
    for name in ("observations", "truth", "population"):
        keys = {"config": {}, "seed": 3, "created_by": f"make_{name}"}
        storage.save(study.loaded[name], tiny / f"{name}.zarr.zip", **keys)
    answer = assess(
        study.problem, study.loaded, null_resamples=20, thresholds=THRESHOLDS, tests=answer_tests
    )
    write(tiny, answer)
    benchmarks = tiny / "benchmarks"
    benchmarks.mkdir()
    for name, seconds, megabytes in (
        ("solve_chunk.0.0", 12.0, "400.0"),
        ("solve_chunk.0.1", 30.0, "300.0"),
        ("deconvolve", 61.0, "NA"),
        # Left by a configuration with more rounds, more chunks, another method, or by nobody.
        ("solve_chunk.7.0", 1000.0, "1.0"),
        ("solve_chunk.0.9", 1000.0, "1.0"),
        ("use_posterior", 1000.0, "1.0"),
        ("somebody_elses", 1000.0, "1.0"),
        ("write_study_page", 1000.0, "1.0"),
    ):
        row = f"{seconds}\t0\t{megabytes}\t0\t0\t0\t0\t0\t0\t{seconds / 2}\n"
        (benchmarks / f"{name}.tsv").write_text(small_results.HEADER + row)
    for place in (tiny / "downstream/mwgrad", folder / "downstream/mwgrad"):
        write_metrics(
            {"regret_max": 0.123456789012, "particles": 60, "said": "<b>"}, place / "metrics.json"
        )
        (place / "figures").mkdir()
        (place / "figures" / "group.png").write_bytes(small_results.PIXEL)
    write_claims(small_results.CLAIMS, folder / "downstream/mwgrad/claims.csv")
    for name, numbers in small_results.EVIDENCE.items():
        write_metrics(numbers, tiny / "evidence" / f"{name}.json")
    (tiny / "baselines").mkdir()
    (tiny / "baselines" / "comparison.json").write_text(json.dumps(small_results.COMPARISON))
    return small_results.Results(folder, section, study)


@pytest.fixture(scope="session")
def pages(results: small_results.Results) -> dict[str, Path]:
    """Return the files of the sorts of pages, of one with few charts, and of the library."""
    folder = results.folder / "report"
    study = gather_study(results.tiny / "answer.json", results.section, results.stores())
    method = gather_method(
        "mwgrad",
        results.folder,
        {"tiny": results.section},
        "# Several objectives\n\nFirst `x`.\n",
        benchmarks={"tiny": results.tiny / "benchmarks/deconvolve.tsv"},
        cells=claim_cells,
    )
    loaded = results.study.loaded | small_results.evidence()
    written = {
        "study": (folder / "studies/tiny.html", page_of(study, results.study.problem, loaded)),
        "method": (folder / "methods/mwgrad.html", method_page(method)),
        "index": (
            folder / "index.html",
            index_page([gather_listed(results.folder, "tiny", results.section)], [method]),
        ),
    }
    path, text = written["study"]
    # Beside the others, so that it is no study of the report.
    written["short"] = (folder / "few" / path.name, with_few_charts(text))
    written["library"] = (folder / ASSETS / library_name(), library())
    for path, content in written.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return {name: path for name, (path, _) in written.items()}


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Return what opens a file at a width and in a scheme of colours, until the end of a test."""
    opened = []

    def made(file: Path, width: int, scheme: str) -> Visit:
        opened.append(visit(browser, file, width, scheme))
        return opened[-1]

    yield made
    for each in opened:
        each.page.context.close()


@pytest.fixture(scope="module")
def wide(browser: Browser, pages: dict[str, Path]) -> Iterator[Visit]:
    """Return the study's page on a light screen of 1440 pixels."""
    opened = visit(browser, pages["study"], 1440, "light")
    yield opened
    opened.page.context.close()
