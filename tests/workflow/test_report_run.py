"""The pages as Snakemake has them written."""

from __future__ import annotations

import re
import zipfile

import pytest

pytestmark = pytest.mark.firedrake


def test_the_report_is_written_from_a_finished_study(finished, tiny):
    finished.configure(tiny)
    printed = finished.printed("report")
    for untouched in ("solving", "recovering", "assessing", "drawing"):
        assert untouched not in printed
    folder = finished.folder / "results" / "report"
    index = (folder / "index.html").read_text()
    links = re.findall(r'href="((?:studies|methods)/[^"]+)"', index)
    assert "studies/tiny.html" in links
    for link in links:
        assert (folder / link).is_file()
    page = (folder / "studies/tiny.html").read_text()
    assert "popinv run tiny.yaml" in page
    assert "surrogate training" in page
    for store in ("observations.zarr.zip", "population.zarr.zip", "rounds/1/surrogate.zarr.zip"):
        assert f"<code>{store}</code>" in page


@pytest.mark.full
def test_a_report_stays_and_that_of_snakemake_is_still_to_be_had(finished, tiny):
    finished.configure(tiny)
    again = finished.run("--dry-run", "report").stdout
    assert "Nothing to be done" in again
    archive = finished.folder / "report.zip"
    finished.printed("--report", str(archive))
    with zipfile.ZipFile(archive) as opened:
        assert any(name.endswith("report.html") for name in opened.namelist())
    archive.unlink()
