"""The example studies, copied into a folder of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from popinv.cli.example_studies import copy_example, example_studies
from popinv.config.data_files import check_data_files
from popinv.config.loading import load_file
from popinv.errors import ConfigError


@pytest.mark.parametrize("name", sorted(example_studies()))
def test_a_copy_passes_the_checks(name, in_folder):
    written = copy_example(name)
    assert all(path.exists() for path in written)
    check_data_files(load_file(written[0]))


def test_what_each_is_about_is_one_short_sentence():
    for name, text in example_studies().items():
        assert 5 < len(text) < 110, name
        assert "\n" not in text


def test_nothing_is_overwritten(in_folder):
    copy_example("rails")
    own = Path("config/examples/real_data/Rail.csv")
    own.write_text("mine")
    with pytest.raises(ConfigError, match="is not overwritten"):
        copy_example("rails")
    # Another example that shares the folder keeps what is there.
    copy_example("boys_heights")
    assert own.read_text() == "mine"


def test_a_misspelt_name_is_told():
    with pytest.raises(ConfigError, match="Did you mean 'rails'"):
        copy_example("rail")
