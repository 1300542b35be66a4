"""`popinv new-study` proposes levels, and the study that it writes passes the checks."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import new_study, written_study

from popinv.config.data_files import check_data_files
from popinv.config.loading import load_file

DATA = Path(__file__).parents[1] / "api" / "data"
pytestmark = pytest.mark.usefixtures("in_folder")


def new(name: str, *options: str) -> str:
    return new_study(*options, file=str(DATA / f"{name}.csv"))


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
    assert not written_study().law.level_names()


@pytest.mark.parametrize(
    "options",
    [
        ("--time", "day"),
        ("--value", "pixel"),
        ("--layout", "long"),
        ("--system", "Dog", "--time", "day", "--value", "pixel"),
    ],
)
def test_options_that_go_with_the_levels_keep_them(options):
    said = new("Pixel", *options)
    law = written_study().law
    assert law.level_names() == ("Dog", "Side")
    for option in options[::2]:
        assert option == "--layout" or f"as {option} says" in said


def test_a_column_that_counts_the_rows_leaves_the_levels():
    lines = (DATA / "Pixel.csv").read_text().splitlines()
    counted = [f"{i},{line}" for i, line in enumerate(lines)]
    counted[0] = "," + lines[0]
    Path("counted.csv").write_text("\n".join(counted) + "\n")
    new(str(Path("counted").absolute()))
    law = written_study().law
    assert law.level_names() == ("Dog", "Side")


def test_few_labels_are_counted_in_place_of_groups():
    assert "6 labels of a crossed level are few for a law of 6 parameters" in new("Penicillin")


def test_few_systems_are_told_of_the_posterior():
    new("Pixel")
    path = Path("mine.yaml")
    text, key = path.read_text(), "downstream: {law_posterior: {}}"
    assert f"# {key}" in text
    path.write_text(text.replace(f"# {key}", key))
    assert "law_posterior" in load_file(path).studies["mine"].downstream.asked()
    path.unlink()
    Path("mine/simulator.py").unlink()
    # All crossed plates and samples are one system.
    new("Penicillin")
    assert key not in path.read_text()
