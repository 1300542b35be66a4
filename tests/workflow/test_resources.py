"""What jobs ask for follows the size of the study, and no rule asks for nothing."""

from __future__ import annotations

import copy
import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import ran
from measured_jobs import MEASURED, assert_fits
from tiers import parameters, thinned
from tiny_study import ROOT, TINY

from popinv.cli.plan import compared
from popinv.config.loading import load, load_file
from popinv.config.observations import FileObservations
from popinv.config.study import Study
from popinv.methods.registry import METHODS
from popinv.workflow.resources import (
    ROWS,
    RULES,
    Demand,
    NotAsked,
    demand,
    memory_mb,
    runtime_minutes,
)
from popinv.workflow.sizes import Sizes
from popinv_papers.methods import PAPERS

# What no job of an example exceeds: in copies of all systems and solves, beyond what programs and
# solvers take, and three hours of a simulator whose time is not known for each of five data sets.
ARRAYS, LARGEST_MB, LONGEST_MINUTES = 20, 4500, 15 * 60
COUNTS = {"systems": 1000, "solves": 1000}
# A rule in a loop is indented.
LOOP = re.compile(r"^for .*:\n((?: {4}.*\n|\n)+)", re.MULTILINE)
RULE = re.compile(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


@cache
def study(path: str = "", value: Any = None) -> Study:
    """Return the tiny study, completed, with one key changed."""
    config = copy.deepcopy(TINY)
    config["studies"]["tiny"]["active_learning"]["first_design"] = 1000
    section = config["studies"]["tiny"]
    section["downstream"] = {name: {} for name in METHODS if name != "bigram"}
    if path:
        *sections, key = path.split(".")
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = value
    tiny = load(config).studies["tiny"]
    # The tiny study has no times, so the checks would refuse a bigram model.
    asked = tiny.downstream.model_copy(update={"bigram": METHODS["bigram"].section()})
    return tiny.model_copy(update={"downstream": asked})


def needed(rule: str, path: str = "", value: Any = None):
    return demand(rule, study(path, value), **COUNTS)


def rules() -> dict[str, str]:
    """Return the text of every rule but those that gather others."""
    files = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    texts = [LOOP.sub(lambda body: textwrap.dedent(body[1]), file.read_text()) for file in files]
    texts_by_rule = dict(pair for text in texts for pair in RULE.findall(text))
    return {name: text for name, text in texts_by_rule.items() if "output:" in text}


def test_every_rule_asks_for_memory_and_time():
    texts = rules()
    assert len(texts) > 20
    of_studies = {name for name, text in texts.items() if "{study}" in text}
    assert of_studies == set(ROWS)
    assert {f"use_{name}" for name in METHODS} == set(RULES) - set(ROWS)
    for name, text in texts.items():
        resources = text.split("    resources:\n")[1]
        if name not in of_studies:
            # A test problem of a method has one size, and says itself what that needs.
            assert re.search(r"mem_mb=\d+,\n\s+runtime=\d+,", resources), name
            continue
        # The rule is named, since another workflow may give it another name.
        assert re.search(rf'\*\*request_of\("{name}"(, of_array=True)?\),', resources), name


def test_every_method_asks_for_memory_and_time():
    text = (ROOT / "workflow" / "rules" / "methods.smk").read_text()
    uses = text.split('f"use_{method.name}"', 1)[1]
    assert '**request_of(f"use_{method.name}"),' in uses
    for check in (check for paper in PAPERS for check in paper.checks):
        assert check.megabytes >= 1000
        assert check.minutes >= 20


def test_a_retry_asks_for_twice_as_much():
    for rule, asked in ((rule, needed(rule)) for rule in sorted(RULES)):
        assert memory_mb(asked, 2) == 2 * memory_mb(asked, 1) >= 1000, rule
        assert runtime_minutes(asked, 3) == 4 * runtime_minutes(asked, 1) >= 40, rule


def test_a_grant_is_not_doubled_as_what_was_measured_is():
    asked = Demand(megabytes=2000, seconds=3000, granted_seconds=600)
    assert runtime_minutes(asked) == 110
    assert memory_mb(asked) == 3000


def test_a_job_that_does_the_work_of_others_asks_for_as_much_memory_as_each():
    refits = ("consult_oracle", "refit_without_tested", "measure_error")
    estimates = ("maximise_likelihoods", "deconvolve")
    pairs = [(rule, other) for rule in (*refits, "replicate_study") for other in estimates]
    pairs += [("run_rounds", other) for other in ("train_surrogate", "update_population")]
    for path, value in (("", None), ("descent.model_samples", 10**7), ("surrogate.width", 10**5)):
        for rule, other in pairs:
            asked = needed(rule, path, value).megabytes
            assert asked >= needed(other, path, value).megabytes, (rule, other)


SYSTEMS = "observations.count"


@pytest.mark.parametrize(
    ("rule", "path", "value"),
    [
        *((rule, SYSTEMS, 1_000_000) for rule in (
            "draw_population", "observe_population", "update_population",
            "deconvolve", "consult_oracle", "assess_population",
            "plot_figures", "fit_two_stage", "replicate_study",
        )),
        *((rule, "active_learning.first_design", 1_000_000) for rule in (
            "propose_parameters", "collect_solves", "train_surrogate",
        )),
        ("solve_chunk", "forward.elements", 100_000),
        ("deconvolve", "forward.sensors.count", 5000),
        ("deconvolve", "descent.model_samples", 1_000_000),
        ("deconvolve", "descent.directions", 100_000),
        ("train_surrogate", "surrogate.width", 100_000),
        ("assess_population", "forward.sensors.count", 50_000),
    ],
)  # fmt: skip
def test_a_larger_problem_asks_for_more_memory(rule, path, value):
    large, small = (demand(rule, each) for each in (study(path, value), study()))
    assert memory_mb(large) > memory_mb(small)


@pytest.mark.parametrize(
    ("rule", "path", "value"),
    [
        ("solve_chunk", "forward.elements", 10_000_000),
        ("solve_chunk_distributed", "forward.elements", 1_000_000),
        ("train_surrogate", "surrogate.max_epochs", 100_000),
        ("deconvolve", "descent.iterations", 100_000),
        ("deconvolve", "descent.restarts", 1000),
        ("assess_population", "assessment.null_resamples", 100_000),
        ("replicate_study", "evidence.calibration_block", 1000),
    ],
)
def test_more_work_asks_for_more_time(rule, path, value):
    assert runtime_minutes(needed(rule, path, value)) > runtime_minutes(needed(rule))


def test_a_chunk_asks_for_its_own_rows_and_not_for_those_of_others():
    config = copy.deepcopy(TINY)
    taken = []
    for size in (1000, 2_000_000):
        config["studies"]["tiny"]["active_learning"].update(first_design=2_000_000, chunk_size=size)
        taken.append(demand("solve_chunk", load(config).studies["tiny"]).megabytes)
    small, large = taken
    # A row has an input at least, and observations.
    assert large > small + 4 * 8e-6 * 2_000_000


@pytest.mark.parametrize("rule", ["update_population", "deconvolve", "maximise_likelihoods"])
def test_estimates_ask_for_the_results_of_systems_and_not_for_their_observations(rule):
    config = copy.deepcopy(TINY)
    own = config["studies"]["tiny"]
    own["observations"].update(count=1_000_000)
    own["forward"]["sensors"] = {"count": 1000}
    observations = 8e-6 * 1_000_000 * 1000
    assert demand(rule, load(config).studies["tiny"]).megabytes < observations


def test_a_solve_in_two_dimensions_asks_for_the_memory_of_its_band():
    config = copy.deepcopy(TINY)
    config["studies"]["tiny"]["forward"].update(dimension=2, elements=400)
    of_study = load(config).studies["tiny"]
    # There are 400^2 unknowns, and a band of 401: half a gigabyte. A job took 1300 MB.
    assert 160_000 * 401 * 8e-6 + 1300 < memory_mb(demand("solve_chunk", of_study)) < 5 * 1300
    assert of_study.forward.cost().seconds > 160_000 * 401**2 / 1e10


def test_a_shared_solve_asks_for_every_process():
    two = needed("solve_chunk_distributed", "forward.ranks", 2)
    four = needed("solve_chunk_distributed", "forward.ranks", 4)
    # The process that starts them is the same.
    assert four.megabytes > 1.7 * two.megabytes
    assert four.seconds < two.seconds


def test_the_file_of_the_observations_tells_how_many_there_are(in_folder):
    section = study()
    section = section.model_copy(update={"observations": FileObservations(file="y.csv")})
    assert Sizes(section).systems == 1000  # not there yet
    assert Sizes(section).heldout == 200
    (in_folder / "y.csv").write_text("0.1234,0.1234,0.1234,0.1234,0.1234\n" * 9000)
    assert 9000 <= Sizes(section).systems <= 20_000


EXAMPLES = [
    ROOT / "config" / "config.yaml",
    *sorted((ROOT / "config" / "examples").rglob("*.yaml")),
]


@parameters("path", *thinned(EXAMPLES, 4), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_examples_ask_for_no_more_than_they_may_need(path: Path):
    for name, section in load_file(path).studies.items():
        tables = Sizes(section).tables
        for rule in set(RULES) - {"solve_chunk_distributed"}:
            # The errors are measured at other numbers of systems, up to this one.
            counts = {"systems": max(section.evidence.system_counts, default=1000)}
            try:
                asked = demand(rule, section, **(counts if rule == "measure_error" else {}))
            except NotAsked:
                continue
            assert 1000 <= memory_mb(asked) <= ARRAYS * tables + LARGEST_MB, (name, rule)
            assert 10 <= runtime_minutes(asked) <= LONGEST_MINUTES, (name, rule)


def test_replications_of_full_size_take_hours():
    for path in (ROOT / "config" / "examples" / "full_size").glob("*.yaml"):
        for section in load_file(path).studies.values():
            assert runtime_minutes(demand("replicate_study", section)) <= 6 * 60, path.stem


@pytest.mark.parametrize("name", MEASURED)
def test_jobs_ask_for_what_they_took(name):
    """Not less, and at most five times as much, beyond 1 GB and 10 minutes."""
    measured = MEASURED[name]
    of_study = measured.study()
    for job, (megabytes, seconds) in measured.jobs.items():
        rule, *parts = job.split(".")
        asked = demand(rule, of_study, **({"systems": int(parts[0])} if parts else {}))
        assert_fits(job, memory_mb(asked), megabytes, runtime_minutes(asked), seconds, asked)


def test_what_was_asked_is_shown_beside_what_was_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results" / "tiny" / "benchmarks"
    folder.mkdir(parents=True)
    for name, seconds, megabytes in (
        ("solve_chunk.0.0", 12.0, "400.0"),
        ("solve_chunk.0.1", 30.0, "300.0"),
        # These are of a round, of a method and of a rule that the study does not have.
        ("solve_chunk.9.0", 40.0, "500.0"),
        ("use_posterior", 1.0, "1.0"),
        ("somebody_elses", 1.0, "1.0"),
        # This one was too short to be measured.
        ("deconvolve", 1.0, "NA"),
    ):
        (folder / f"{name}.tsv").write_text(f"s\tmax_rss\n{seconds}\t{megabytes}\n")
    rows = {row.rule: row for row in compared(load(copy.deepcopy(TINY)))}
    assert set(rows) == {"solve_chunk", "deconvolve"}
    row = rows["solve_chunk"]
    assert (row.jobs, row.megabytes_taken, row.minutes_taken) == (2, 400.0, 0.5)
    assert row.megabytes_asked == memory_mb(needed("solve_chunk"))
    assert row.minutes_asked == runtime_minutes(needed("solve_chunk"))
    assert rows["deconvolve"].megabytes_taken == 0.0
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(TINY))
    monkeypatch.setattr("popinv.cli.plan.check_fits", lambda *_: None)
    printed = ran("plan", "study.yaml")
    assert re.search(r"solve_chunk +2 +\d+ +400 ", printed)
    assert "nowhere.yaml" in ran("plan", "nowhere.yaml", code=1)


def test_the_cost_of_a_group_is_linear_in_its_members():
    config = load_file(ROOT / "config/examples/sites.yaml")
    mapping = config.studies["sites"].model_dump(exclude_unset=True)

    def sizes(count: int, members: dict[str, int]) -> Sizes:
        of_study = copy.deepcopy(mapping)
        of_study["observations"].update(count=count, heldout=count // 2, members=members)
        of_study["assessment"]["surrogate_check"] = 8 * members["sample"]
        return Sizes(load({"studies": {"sites": of_study}}).studies["sites"])

    many, more = sizes(40, {"sample": 200}), sizes(40, {"sample": 800})
    # The integral of members given the effects of their site, with 8 draws of each.
    assert (many.calls, more.calls) == (1600, 6400)
    assert more.integral == pytest.approx(4 * many.integral)
    # The moments take blocks of at most 200 observations.
    assert (many.block, more.block) == (200, 200)
    assert more.moments == pytest.approx(4 * many.moments)
    assert more.covariance == many.covariance
    # A network is of one member.
    assert (many.weights, many.noise) == (more.weights, more.noise)
    for rule in ("maximise_likelihoods", "update_population"):
        assert ROWS[rule](more).seconds < 4.1 * ROWS[rule](many).seconds


def test_groups_are_planned_with_the_draws_and_blocks_that_are_computed():
    from popinv.inference.density import member_blocks
    from popinv.inference.integrate.nested import inner_draws
    from popinv.workflow import sizes

    assert inner_draws(2) == (sizes._OF_A_MEMBER,)
    assert inner_draws(3) == (sizes._BETWEEN, sizes._OF_A_MEMBER)
    assert member_blocks._LARGE == sizes._LARGE_GROUP
