"""The command `popinv run`: what it passes on, and what it says of a missing configuration."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import yaml
from commands import ran

from popinv.cli import new_study, run
from popinv.config.document import schema
from popinv.errors import ConfigError
from popinv.location import project_folder

pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "min.yaml", "-n"),
        ("run", "--cores", "1", "--configfile", "min.yaml"),
        ("run", "--configfile=min.yaml"),
        ("run", "--configfile", "mine.yaml", "min.yaml", "--cores", "1"),
        ("report", "min.yaml"),
        ("report", "--configfile", "min.yaml"),
        ("try", "min.yaml"),
    ],
)
def test_a_missing_configuration_is_one_line_with_the_nearest_name(arguments, monkeypatch):
    Path("mine.yaml").write_text("studies: {}\n")
    monkeypatch.setattr(run.subprocess, "Popen", lambda *a, **k: pytest.fail("it ran"))
    assert ran(*arguments, code=1).splitlines() == [
        "Error: min.yaml: there is no such configuration file. Did you mean 'mine.yaml'?"
    ]


def test_where_nothing_is_near_it_is_said_what_writes_one():
    assert ran("run", "elsewhere/mine.yaml", code=1).splitlines() == [
        "Error: elsewhere/mine.yaml: there is no such configuration file. "
        "'popinv new-study NAME' writes one."
    ]


@pytest.mark.parametrize("arguments", [("run",), ("run", "-n"), ("report",)])
def test_a_folder_that_cannot_be_written_to_is_told_before_snakemake(arguments, monkeypatch):
    Path("open").mkdir()
    monkeypatch.setattr(run.os, "access", lambda path, mode: Path(path).name == "open")
    monkeypatch.setattr(run, "run", lambda configuration, options: 7)
    assert f"Error: {Path.cwd()} cannot be written to" in ran(*arguments, code=1)
    ran(*arguments, "--directory", "open", code=7)
    ran(*arguments, "--directory=open", code=7)


@pytest.mark.parametrize("place", ["default", "profiles/default"])
def test_a_profile_of_the_folder_is_used_only_if_it_is_named(place, capsys):
    assert run.command(None, ["-n"])[1:2] == ["--snakefile"]
    assert "--workflow-profile" not in run.command(None, ["-n"])
    Path(place).mkdir(parents=True)
    named = run.command(None, ["-n"])
    profile = Path(named[named.index("--workflow-profile") + 1])
    assert profile == project_folder() / "profiles/default"
    assert (profile / "config.yaml").is_file()
    assert f"--workflow-profile {place}" in capsys.readouterr().err
    assert run.command(None, ["--workflow-profile", place]).count("--workflow-profile") == 1


def test_configurations_that_are_there_are_run(monkeypatch):
    for name in ("one.yaml", "two.yaml"):
        Path(name).write_text("studies: {}\n")
    monkeypatch.setattr(run, "run", lambda configuration, options: 7)
    done = ran("run", "--configfile", "one.yaml", "two.yaml", "--config", "none.yaml=1", code=7)
    assert done == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["mine.yaml"],
        ["--configfile", "mine.yaml"],
        ["--configfile=mine.yaml"],
        ["--configfiles", "default.yaml", "mine.yaml"],
        ["--cores", "1", "--configfile", "mine.yaml"],
    ],
)
def test_the_report_is_that_of_the_configuration(arguments, monkeypatch):
    default = (project_folder() / "config/config.yaml").read_text()
    Path("default.yaml").write_text(default)
    Path("mine.yaml").write_text(f"results: elsewhere\n{default}")
    asked: list[str] = []
    monkeypatch.setattr(run, "run", lambda configuration, options: asked.extend(options) or 0)
    assert ran("report", *arguments) == "elsewhere/report/index.html\n"
    assert asked[0] == "elsewhere/report/index.html"


def test_a_new_study_names_its_schema(tmp_path, monkeypatch):
    ran("new-study", "mine", "--forward", "lorenz96")
    first, *_ = Path("mine.yaml").read_text().splitlines()
    place = first.removeprefix("# yaml-language-server: $schema=")
    assert place != first
    assert Path(unquote(urlparse(place).path)).read_text() == schema()
    assert yaml.safe_load(Path("mine.yaml").read_text())["studies"]


@pytest.mark.parametrize(
    ("here", "place"),
    [
        ("", "project/workflow/schemas/config.schema.yaml"),
        ("project", "workflow/schemas/config.schema.yaml"),
        ("elsewhere", "file://{root}/project/workflow/schemas/config.schema.yaml"),
    ],
)
def test_the_schema_is_named_from_the_working_folder_if_it_is_inside(
    tmp_path, monkeypatch, here, place
):
    for name in ("project", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / here)
    monkeypatch.setattr(new_study, "project_folder", lambda: tmp_path / "project")
    told = new_study._schema().removeprefix("# yaml-language-server: $schema=")
    assert told == place.format(root=tmp_path)


def test_a_name_with_blanks_is_written_as_an_address(tmp_path, monkeypatch):
    folder = tmp_path / "my project"
    folder.mkdir()
    monkeypatch.setattr(new_study, "project_folder", lambda: folder)
    told = new_study._schema()
    assert told.count(" ") == 2
    assert told.endswith("/my%20project/workflow/schemas/config.schema.yaml")
    assert project_folder() != folder


@pytest.mark.parametrize(
    ("profile", "extra"), [("slurm", "popinv\\[slurm\\]"), ("lsf", "popinv\\[cluster\\]")]
)
def test_a_profile_without_its_plugin_names_the_extra(monkeypatch, profile, extra):
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    told = rf"profiles/{profile}/config.yaml: .* needs the package snakemake-executor.*{extra}"
    with pytest.raises(ConfigError, match=told):
        run.command("mine.yaml", ["--profile", profile])


@pytest.mark.parametrize("options", [["--profile", "slurm"], ["--profile=slurm"]])
def test_a_profile_of_the_package_is_found_by_its_name(in_folder, options):
    words = " ".join(run.command("mine.yaml", ["-n", *options]))
    (profile,) = re.findall(r"--profile[ =](\S+)", words)
    assert (Path(profile) / "config.yaml").exists()
    # A folder of that name here comes first, and other names are left to Snakemake.
    Path("slurm").mkdir()
    assert " ".join(run.command("mine.yaml", options)).startswith(" ".join(options))
    assert run.command("mine.yaml", ["--profile", "mine"])[:2] == ["--profile", "mine"]


def test_a_profile_of_the_user_comes_before_that_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    (tmp_path / "settings" / "snakemake" / "slurm").mkdir(parents=True)
    assert run.command("mine.yaml", ["--profile", "slurm"])[:2] == ["--profile", "slurm"]
    # A value of another option is no profile.
    given = ["--executor", "slurm"]
    assert run.command("mine.yaml", given)[:2] == given
