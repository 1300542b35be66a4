"""The documentation builds without a warning, and what it shows to type or write is right."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import own_kinds
import population_repr
import preloaded
import pytest
import xarray as xr
import yaml
from click.testing import CliRunner
from few_draws import few_draws, short_searches
from packaging.requirements import Requirement
from snakemake.cli import parse_args
from tiers import parameters

from popinv.cli.commands import popinv
from popinv.config.loading import load, load_file
from popinv.store import storage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["few_draws", "short_searches"]

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "config" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# Every formula has been drawn, without an error in its TeX.
SET = """() => {
  const formulas = document.querySelectorAll(".math").length;
  const drawn = document.querySelectorAll(".math mjx-container").length;
  return drawn >= formulas && !document.querySelector("mjx-merror");
}"""
# Every block of code can be copied.
COPIED = """() => [...document.querySelectorAll("div.highlight pre")]
  .every((e) => e.parentElement.querySelector("button.copybtn"))"""
# What reaches beyond the screen, and is neither inside a part that scrolls nor for readers aloud.
WIDE = """() => {
  const scrolls = (e) => e && e.tagName !== "ARTICLE" &&
    (["auto", "scroll"].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  return [...document.querySelectorAll("article *")]
    .filter((e) => e.getBoundingClientRect().right > innerWidth)
    .filter((e) => !scrolls(e) && !e.closest("mjx-assistive-mml"))
    .map((e) => e.outerHTML.slice(0, 100));
}"""
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list:
    """Return the blocks of a language in all pages, one parameter each, named by page and place."""
    parameters = []
    for page in PAGES:
        for number, (kind, text) in enumerate(FENCE.findall(page.read_text())):
            if kind == language:
                name = f"{page.relative_to(ROOT)}-{number}"
                parameters.append(pytest.param(text, id=name))
    return parameters


def build(folder: Path, *options: str) -> Path:
    """Build the documentation without a warning, and return the folder of the site."""
    command = [
        sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", *options,
        "-d", str(folder / "trees"), str(ROOT / "docs"), str(folder / "site"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site, built without running its notebooks."""
    return build(tmp_path_factory.mktemp("docs"), "-D", "nb_execution_mode=off")


def sources() -> list[Path]:
    return [page for page in (ROOT / "docs").rglob("*") if page.suffix in (".md", ".ipynb")]


def test_every_page_stands_in_one_table_of_contents():
    known = {page.relative_to(ROOT / "docs").with_suffix("") for page in sources()}
    listed = Counter[Path]()
    for page in (ROOT / "docs").rglob("*.md"):
        folder = page.parent.relative_to(ROOT / "docs")
        for table in re.findall(r"^```{toctree}\n(.*?)^```$", page.read_text(), re.M | re.S):
            lines = [line for line in table.split("\n") if line and not line.startswith(":")]
            for name in (re.sub(r".*<(.*)>$", r"\1", line) for line in lines):
                if "://" not in name:
                    listed.update(each for each in known if fnmatch(str(each), str(folder / name)))
    assert set(listed) == known - {Path("index")}
    assert set(listed.values()) == {1}


@pytest.mark.full
def test_the_site_has_a_page_for_each_source(site):
    for page in sources():
        built = site / page.relative_to(ROOT / "docs").with_suffix(".html")
        assert built.is_file(), built


def pages_fit(browser: Browser, site: Path, name: str) -> None:
    """Check that pages fit screens, set formulas without a network, and let code be copied."""
    page = browser.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    for file in sorted(site.glob(name)):
        page.goto(file.as_uri())
        page.wait_for_function(SET)
        page.wait_for_function(COPIED)
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            where = f"{file.relative_to(site)} at {width}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, where
            assert page.evaluate(WIDE) == [], where
        assert page.evaluate("[...document.images].every((i) => i.naturalWidth > 0)"), file
    page.close()


@pytest.mark.full
def test_pages_fit_their_screens(site, browser):
    pages_fit(browser, site, "**/*.html")


@pytest.mark.full
def test_the_tables_of_results_fit_a_wide_screen(site, browser):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto((site / "how_well_it_works.html").as_uri())
    beyond = "(t) => t.scrollWidth > t.parentElement.clientWidth + 1"
    assert page.evaluate(f"[...document.querySelectorAll('table')].filter({beyond}).length") == 0
    # Commits and machines stand below.
    heads = page.evaluate("[...document.querySelectorAll('th')].map((head) => head.innerText)")
    assert not {"commit", "machine"} & set(heads)
    assert "Recorded at " in page.inner_text("article")
    page.close()


def test_a_table_with_many_columns_is_small_and_tells_where_it_goes_on(browser):
    style = (ROOT / "docs/static/narrow.css").read_text()
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    found = {}
    for columns in (4, 8, 20):
        cells = "".join(f"<{{0}}><p>{'x' * 10}</p></{{0}}>" for _ in range(columns))
        page.set_content(
            f"<style>:root {{ --color-background-primary: white }} {style}</style>"
            "<div class=table-wrapper style='width: 742px; overflow: auto'>"
            f"<table class=docutils><thead><tr>{cells.format('th')}</tr></thead>"
            f"<tbody><tr>{cells.format('td')}</tr></tbody></table></div>"
        )
        found[columns] = page.evaluate("""() => {
            const wrapper = document.querySelector('.table-wrapper'), shown = getComputedStyle;
            return [wrapper.scrollWidth <= wrapper.clientWidth,
                parseFloat(shown(document.querySelector('td')).fontSize),
                shown(wrapper).backgroundImage.match(/gradient/g)?.length ?? 0];
        }""")
    page.close()
    assert found == {4: [True, 16, 4], 8: [True, 12, 4], 20: [False, 12, 4]}


@pytest.mark.full
def test_notebooks_run_and_fit_their_screens(tmp_path, browser):
    pages_fit(browser, build(tmp_path), "notebooks/*.html")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_exist(page):
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", text):
        assert (page.parent / target).exists(), target
    named = re.findall(r"`((?:docs|src|workflow|setup|benchmarks|tests)/[\w./-]+)`", text)
    named += re.findall(r"`(config/[\w./-]+\.(?:yaml|md|json))`", text)
    # A path before a block of Python is that of a new file, which the block shows.
    new = re.findall(r"`(src/[\w./-]+)`:\n\n```python", text)
    for name in set(named) - set(new):
        template = "KIND" in name or "METHOD" in name
        assert template or (ROOT / name).exists(), name


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def _around(section: dict) -> dict:
    """Return what a study needs beside a section that a page shows alone."""
    forward = section.get("forward", {"kind": "elastodynamics"})
    parameters = forward.get("parameters", ["stiffness", "damping"])
    names = [entry if isinstance(entry, str) else entry["name"] for entry in parameters]
    start = {name: {"mean": 0.0, "standard_deviation": 0.5} for name in names}
    return {
        "forward": forward,
        "law": {"kind": "lognormal", "start": start},
        "observations": {"truth": {"law": start, "noise": {"standard_deviation": 0.1}}},
    }


@pytest.mark.parametrize(
    # tests/workflow/test_extending.py runs the study of new kinds.
    "text",
    [block for block in blocks("yaml") if not block.id.startswith("docs/developers.md")],
)
def test_configurations_pass_the_checks(text, in_folder):
    given = yaml.safe_load(text)
    if "..." in text:
        return  # an outline
    if "studies" not in given and given.get("downstream", {}).get("size") is None:
        given = {"studies": {"mine": {**_around(given), **given}}}
    given.setdefault("studies", {"mine": _around({})})
    if given["studies"] != {"mine": own_kinds.STUDY}:  # tests/config/test_outside_kinds.py loads it
        load(given)


def test_the_random_simulator_of_its_page_is_a_birth_process():
    (block,) = [each for each in blocks("python") if each.id.startswith("docs/stochastic.md")]
    known: dict = {}
    exec(compile(block.values[0], "page", "exec"), known)
    y = known["solve"](np.full((4000, 1), np.log(0.8)), np.arange(4000))
    growth = np.exp(0.8 * np.array([0.5, 1.0, 1.5, 2.0]))
    # The mean and the variance of a Yule process from 20 cells; their standard errors are 0.5 and
    # 3 %.
    np.testing.assert_allclose(y.mean(axis=0), 20 * growth, rtol=0.02)
    np.testing.assert_allclose(y.var(axis=0), 20 * growth * (growth - 1), rtol=0.12)


def test_the_tutorial_states_the_default_study():
    text = (ROOT / "docs" / "tutorial.md").read_text()
    study = load_file(ROOT / "config" / "config.yaml").studies["porous_flow"]
    assert rf"\left(e^{{u}} p'\right)' = {study.forward.source:g} \quad" in text
    truth = study.observations.truth
    for name, value in {
        **truth.law,
        **{f"noise {name}": value for name, value in truth.noise.items()},
    }.items():
        assert f"\n| {name.replace('_', ' ')} | {value:g} |" in text, name


@parameters("systems", [250], full=[population_repr.SYSTEMS])
def test_the_answer_is_shown_as_it_is(systems, monkeypatch):
    # No number is shown, so that none need be accurate. Of fewer systems, sizes are smaller.
    monkeypatch.setattr("popinv.inference.estimators.likelihood_value._OF_EACH", 1e9)
    shown, expected = population_repr.PAGE.read_text(), population_repr.text(systems)
    if systems < population_repr.SYSTEMS:
        shown, expected = (
            re.sub(r"fitted_system: \d+|(Size: |float64 )\d+k?B", r"\1", each)
            for each in (shown, expected)
        )
    assert shown == expected, "run: python tests/population_repr.py"


@pytest.mark.parametrize(
    # The blocks of these pages belong together; tests/api/test_python_page.py,
    # test_inputs_page.py and test_predict_page.py, tests/test_notebook.py and
    # tests/workflow/test_extending.py run them, and tests/api/test_laws_with_levels.py the block of
    # docs/laws.md.
    "text",
    [
        block
        for block in blocks("python")
        if not block.id.startswith(
            (
                "docs/python.md",
                "docs/design.md",
                "docs/predict.md",
                "docs/developers.md",
                "docs/laws.md",
                "docs/inputs.md",
                "docs/stochastic.md",
            )
        )
    ],
)
def test_python_runs(text, in_folder):
    if text.startswith("# my_"):
        return  # a module, which tests/config/test_outside_kinds.py imports
    described = {"units": "1", "long_name": "mean"}
    answer = xr.Dataset(
        {"law": ("law_parameter", [0.5], described)},
        {"law_parameter": ("law_parameter", ["mean"], described)},
    )
    folder = in_folder / "results" / "porous_flow"
    folder.mkdir(parents=True)
    storage.save(answer, folder / "population.zarr.zip", config={}, seed=0, created_by="test")
    known: dict = {}
    exec(
        compile(text.replace("    ...\n    return y ", "    y = z\n    return y "), "page", "exec"),
        known,
    )
    if "population" in known:
        assert known["population"]["law"].to_series().to_dict() == {"mean": 0.5}
    else:
        assert len(known["solve"](np.ones((3, 2)))) == 3


def modules_with_examples() -> list[str]:
    files = sorted(file for file in Path("src").rglob("*.py") if ">>> " in file.read_text())
    return [".".join(file.relative_to("src").with_suffix("").parts) for file in files]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_docstrings_give_what_they_show(name, in_folder):
    module = importlib.import_module(name.removesuffix(".__init__"))
    done = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted
    assert not done.failed


def test_a_workflow_of_ones_own_uses_the_module(tmp_path):
    page = (ROOT / "docs" / "developers.md").read_text()
    page = page.split("\n## Use popinv in a workflow of your own\n")[1]
    (workflow,) = (text for kind, text in FENCE.findall(page) if kind == "python")
    (tmp_path / "Snakefile").write_text(workflow)
    study = {**_around({}), "forward": {"kind": "elastodynamics"}}
    configuration = {"popinv": {"studies": {"mine": study}}}
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(configuration))
    command = ["-m", "snakemake", "--dry-run", "--cores", "1"]
    done = preloaded.run(command, tmp_path, dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^popinv_gather_answer +1$", done.stdout, re.MULTILINE)
    assert re.search(r"^paper +1$", done.stdout, re.MULTILINE)


def lines_of_commands() -> list:
    return [
        pytest.param(line.split("#")[0].split(), id=line[:60])
        for block in blocks("console")
        for line in block.values[0].splitlines()
        if line.strip()
    ]


@pytest.mark.parametrize("words", lines_of_commands())
def test_commands_are_there_and_take_what_they_are_given(words, monkeypatch):
    monkeypatch.chdir(ROOT)
    program, *rest = words
    name = program.removeprefix(".venv/bin/")
    if name == "make":
        done = subprocess.run(
            ["make", "--dry-run", *rest], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    elif name == "popinv":
        # What follows "--" is for Snakemake.
        result = CliRunner().invoke(popinv, [*rest[:1], "--help", *rest[1:]])
        assert result.exit_code == 0, result.output
    elif name == "snakemake":
        # It exits with a message if an option is unknown.
        parse_args(rest)
    elif name == "python":
        done = preloaded.run([*rest, "--help"], ROOT, dict(os.environ))
        assert done.returncode == 0, done.stderr
    elif name == "pip":
        action, what = rest
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        # The folder of the repository has the name of the project.
        wanted = Requirement(what.strip("'").removeprefix("./"))
        assert (action, wanted.name) == ("install", project["name"])
        assert wanted.extras <= set(project["optional-dependencies"])
    elif name in ("source", "cp"):
        # What is activated is there once the environment is; what is copied is in the checkout.
        environments = ".venv/bin/activate", "popinv-env/bin/activate"
        assert rest[0] in environments or (ROOT / rest[0]).is_file()
        return
    else:
        pytest.fail(f"no test of the command {program}")
    for word in rest:
        named = word.startswith(("config/", "workflow/", "benchmarks/"))
        assert not named or (ROOT / word).exists(), word
