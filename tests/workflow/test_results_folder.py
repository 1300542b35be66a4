"""The folder of the results is looked at before any work."""

from __future__ import annotations

import os

import pytest

from popinv.errors import ConfigError
from popinv.workflow.preflight import check_results_folder

pytestmark = pytest.mark.usefixtures("in_folder")


def test_a_folder_a_link_to_one_and_one_that_is_to_be_made_pass(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    for name in ("there", "link", "link/deeper", "not/yet", "there/not/yet"):
        check_results_folder(name)
    assert sorted(os.listdir(tmp_path)) == ["link", "there"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("link", "results: link leads nowhere"), ("file/results", "results: file is not a folder")],
)
def test_what_is_in_the_way_is_named(tmp_path, name, message):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=message):
        check_results_folder(name)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="results: results cannot be written to"):
        check_results_folder("results/deeper")
