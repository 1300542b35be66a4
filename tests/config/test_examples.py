"""Every configuration that is shipped passes the checks that are made before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from popinv.config.data_files import check_data_files
from popinv.config.loading import load_file

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "config").rglob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_configuration_is_valid(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    check_data_files(load_file(file))


def test_a_full_size_version_goes_with_each_workstation_version() -> None:
    full = ROOT / "config/examples/full_size"
    assert len(list(full.glob("*.yaml"))) == 7
    for file in full.glob("*.yaml"):
        small = load_file(full.parent / file.name)
        assert set(load_file(file).studies) == {f"{name}_full" for name in small.studies}
