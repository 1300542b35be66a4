"""What jobs ask for follows the size of the study, and no rule asks for nothing."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from tiny_study import ROOT, TINY

from popinv.config.downstream import StudyDownstream
from popinv.config.loading import as_mapping, load, load_file
from popinv.demand import comparison, main
from popinv.resources import RULES, NotAsked, demand, memory_mb, runtime_minutes, sizes

WILDCARDS = {"study": "tiny", "round": "0", "chunk": "0", "systems": "1000", "solves": "1000"}
RULE = re.compile(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def study(path: str = "", value: Any = None) -> dict[str, Any]:
    """Return the tiny study, completed, with one key changed."""
    config = copy.deepcopy(TINY)
    config["studies"]["tiny"]["active_learning"]["first_design"] = 1000
    section = config["studies"]["tiny"]
    # The tiny study has no times, which a bigram model needs.
    methods = [name for name in StudyDownstream.model_fields if name != "bigram"]
    section["downstream"] = {name: {} for name in methods}
    if path:
        *sections, key = path.split(".")
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = value
    return as_mapping(load(config))["studies"]["tiny"]


def needed(rule: str, path: str = "", value: Any = None):
    return demand(rule, sizes(study(path, value)), WILDCARDS)


def rules() -> dict[str, str]:
    """Return the text of every rule but those that gather others."""
    texts = [file.read_text() for file in sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
    found = dict(pair for text in texts for pair in RULE.findall(text))
    return {name: text for name, text in found.items() if "output:" in text}


def test_every_rule_asks_for_memory_and_time():
    found = rules()
    assert len(found) > 20
    of_studies = {name for name, text in found.items() if "{study}" in text}
    assert of_studies == set(RULES)
    for name, text in found.items():
        resources = text.split("    resources:\n")[1]
        if name not in of_studies:
            # A test problem of a method has one size, and says itself what that needs.
            assert re.search(r"mem_mb=\d+,\n\s+runtime=\d+,", resources), name
            continue
        for asked in ("mem_mb=memory,", "runtime=runtime,"):
            # The chunks, whose arrays ask alike, by another function.
            alike = re.sub(
                r"of_array\((memory_mb|runtime_minutes)\)",
                lambda m: {"memory_mb": "memory", "runtime_minutes": "runtime"}[m[1]],
                resources,
            )
            assert asked in alike, name


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_retry_asks_for_twice_as_much(rule):
    asked = needed(rule)
    assert memory_mb(asked, 2) == 2 * memory_mb(asked, 1) >= 1000
    assert runtime_minutes(asked, 3) == 4 * runtime_minutes(asked, 1) >= 40


SYSTEMS = "observations.count"


@pytest.mark.parametrize(
    ("rule", "path", "value"),
    [
        *((rule, SYSTEMS, 1_000_000) for rule in (
            "draw_population", "observe_population", "solve_chunk", "update_population",
            "deconvolve", "consult_oracle", "resample_systems", "assess_population",
            "plot_figures", "fit_two_stage", "replicate_study",
        )),
        *((rule, "active_learning.first_design", 1_000_000) for rule in (
            "propose_parameters", "solve_chunk", "collect_solves", "train_surrogate",
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
    assert memory_mb(needed(rule, path, value)) > memory_mb(needed(rule))


@pytest.mark.parametrize(
    ("rule", "path", "value"),
    [
        ("solve_chunk", "forward.elements", 1_000_000),
        ("solve_chunk_distributed", "forward.elements", 1_000_000),
        ("train_surrogate", "surrogate.max_epochs", 100_000),
        ("deconvolve", "descent.iterations", 100_000),
        ("deconvolve", "descent.restarts", 1000),
        ("resample_systems", "assessment.bootstrap", 10_000),
        ("assess_population", "assessment.null_resamples", 100_000),
        ("replicate_study", "evidence.calibration_block", 1000),
    ],
)
def test_more_work_asks_for_more_time(rule, path, value):
    assert runtime_minutes(needed(rule, path, value)) > runtime_minutes(needed(rule))


def test_a_solve_in_two_dimensions_asks_for_the_memory_of_its_band():
    config = copy.deepcopy(TINY)
    config["studies"]["tiny"]["forward"].update(dimension=2, elements=400)
    of = sizes(as_mapping(load(config))["studies"]["tiny"])
    # 400^2 unknowns, and a band of 401: half a gigabyte.
    assert demand("solve_chunk", of, WILDCARDS).megabytes > 1000 + 160_000 * 401 * 8e-6
    assert of.cost.seconds > 160_000 * 401**2 / 1e10


def test_a_shared_solve_asks_for_every_process():
    two = needed("solve_chunk_distributed", "forward.ranks", 2)
    four = needed("solve_chunk_distributed", "forward.ranks", 4)
    assert four.megabytes > 1.8 * two.megabytes
    assert four.seconds < two.seconds


def test_the_file_of_the_observations_tells_how_many_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = study()
    section["observations"] = {"file": "y.csv"}
    assert sizes(section).systems == 1000  # not there yet
    (tmp_path / "y.csv").write_text(
        "0.1234,0.1234,0.1234,0.1234,0.1234,0.1234,0.1234,0.1234\n" * 9000
    )
    assert 9000 <= sizes(section).systems <= 20_000


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config" / "examples").rglob("*.yaml")), ids=lambda path: path.stem
)
def test_examples_fit_a_workstation_and_a_few_days(path: Path):
    for section in as_mapping(load_file(path))["studies"].values():
        of = sizes(section)
        unused = {"solve_chunk_distributed"}
        if not section["evidence"]["calibration"]:
            unused.add("replicate_study")
        for rule in set(RULES) - unused:
            try:
                asked = demand(rule, of, WILDCARDS)
            except NotAsked:
                continue
            assert 1000 <= memory_mb(asked) <= 16_000, rule
            assert 20 <= runtime_minutes(asked) <= 4 * 24 * 60, rule


def test_what_was_asked_is_shown_beside_what_was_needed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results" / "tiny" / "benchmarks"
    folder.mkdir(parents=True)
    for name, seconds, megabytes in (
        ("solve_chunk.0.0", 12.0, "400.0"),
        ("solve_chunk.0.1", 30.0, "300.0"),
        # Of a round that the study had once, and has no longer.
        ("solve_chunk.9.0", 40.0, "500.0"),
        ("deconvolve", 1.0, "NA"),
        # Of a method that it asked for once.
        ("posterior", 1.0, "1.0"),
        ("somebody_elses", 1.0, "1.0"),
    ):
        (folder / f"{name}.tsv").write_text(f"s\tmax_rss\n{seconds}\t{megabytes}\n")
    config = as_mapping(load(copy.deepcopy(TINY)))
    table = {row[0]: row[1:] for row in comparison(config)}
    assert set(table) == {"solve_chunk", "deconvolve"}
    jobs, asked_mb, mb, asked_minutes, minutes = table["solve_chunk"]
    assert (jobs, mb, minutes) == (2, 400.0, 0.5)
    assert asked_mb == memory_mb(needed("solve_chunk"))
    assert asked_minutes == runtime_minutes(needed("solve_chunk"))
    assert table["deconvolve"][2] == 0.0
    import yaml

    (tmp_path / "study.yaml").write_text(yaml.safe_dump(TINY))
    assert main(["--configfile", "study.yaml"]) == 0
    assert re.search(r"solve_chunk +2 +\d+ +400 ", capsys.readouterr().out)
