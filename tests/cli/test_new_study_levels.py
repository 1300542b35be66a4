"""`popinv new-study` proposes levels, and the study that it writes passes the checks."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from popinv.cli.commands import popinv
from popinv.config.data_files import check_data_files
from popinv.config.loading import load_file

DATA = Path(__file__).parents[1] / "api" / "data"
pytestmark = pytest.mark.usefixtures("in_folder")


def new(name: str, *options: str) -> str:
    file = str(DATA / f"{name}.csv")
    done = CliRunner().invoke(popinv, ["new-study", "mine", "--observations", file, *options])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    ("name", "levels", "crossed"),
    [
        ("Machines", ("Worker", "Machine"), ()),
        ("Pixel", ("Dog", "Side"), ()),
        ("Oats", ("Block", "Variety"), ()),
        ("Penicillin", ("plate", "sample"), ("plate", "sample")),
    ],
)
def test_the_levels_are_in_the_law(name, levels, crossed):
    said = new(name)
    config = load_file(Path("mine.yaml"))
    check_data_files(config)
    columns = config.studies["mine"].law.level_columns()
    assert (columns.names, columns.crossed) == (levels, crossed)
    assert "# Parameters vary between" in Path("mine.yaml").read_text()
    assert said.count("count as different units") == (not crossed)


def test_large_groups_have_enough_solves_for_the_check_of_the_surrogate():
    new("Penicillin")
    (study,) = load_file(Path("mine.yaml")).studies.values()
    # Eight groups of 144 members.
    assert study.assessment.surrogate_check == 1152
    Path("mine.yaml").unlink()
    Path("mine/simulator.py").unlink()
    new("Machines")
    assert "surrogate_check" not in Path("mine.yaml").read_text()


def test_labels_are_quantities_if_the_user_says_so():
    new("Pixel", "--label", "Side")
    assert not load_file(Path("mine.yaml")).studies["mine"].law.level_names()


def test_few_labels_are_counted_in_place_of_groups():
    assert "6 labels of a crossed level are few for a law of 6 parameters" in new("Penicillin")
