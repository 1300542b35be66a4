"""The list of the stages: what it says is what the functions take and the rules write."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from tiny_study import ROOT, TINY

from popinv.config.loading import load
from popinv.config.study import Study
from popinv.population.model import Model
from popinv.store import storage
from popinv.workflow.run import StudyRun, function_of
from popinv.workflow.stage import run_stage
from popinv.workflow.stages import STAGES, call_of, jobs_of, modules_of

STUDY = load(TINY).studies["tiny"]
PLAIN = [name for name, stage in STAGES.items() if stage.part]
# What every job gives, beside the sections and options of its stage.
GIVEN = {"seed", "device", "checkpoint", "journal", "results", "folder"}
# Options that the stores record, or that make the job follow a change, and no function takes.
MARKS = {"simulator", "replications"}

# Inputs that a function of the rules always gives.
ALWAYS = {
    "every_estimate": {"distance", "pseudo_likelihood", "likelihood"},
    "before_addition": {"observations", "distance", "pseudo_likelihood", "likelihood"},
    "shown_systems": {"observations"},
}


def rules() -> dict[str, str]:
    """Return the text of every rule by name."""
    text = "\n".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    parts = re.split(r"^ *rule (\w+):\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


RULES = rules()


def named_in(rule: str, block: str) -> list[str]:
    """Return the names of a rule's inputs or outputs, those of functions left out."""
    found = re.search(rf"^( *){block}:\n((?:\1 +.*\n)+)", RULES[rule], re.MULTILINE)
    indent = re.match(" *", found[2])[0]
    return re.findall(rf"^{indent}(\w+)=", found[2], re.MULTILINE)


def parameters(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function_of(call_of(name)["function"])).parameters)


@pytest.mark.parametrize("name", PLAIN)
def test_a_stage_takes_what_the_list_gives(name):
    stage, taken = STAGES[name], parameters(name)
    sections = {*stage.sections, *stage.instead}
    model = {"forward", "law", "noise"} if "model" in taken else set()
    for section in sections:
        assert section in taken or f"{section}_section" in taken or section in model, section
    assert model <= sections
    assert set(stage.options) - MARKS <= set(taken)
    assert set(stage.recorded) <= {*stage.options, "code"}
    assert bool(stage.checkpoint) == ("checkpoint" in taken)


@pytest.mark.parametrize("name", PLAIN)
def test_a_stage_needs_nothing_that_no_job_has(name):
    stage = STAGES[name]
    sections = {*stage.sections, *stage.instead}
    there = {*sections, *(f"{section}_section" for section in sections), "model", *GIVEN}
    needed = {
        parameter.name
        for parameter in parameters(name).values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }
    inputs = set(named_in(name, "input")) if "    input:" in RULES[name] else set()
    for function, names in ALWAYS.items():
        inputs |= names if f"unpack({function})" in RULES[name] else set()
    assert needed - there - set(stage.options) - inputs == set()


@pytest.mark.parametrize("name", PLAIN)
def test_the_rule_of_a_stage_writes_what_the_stage_returns(name):
    assert f'**params_of("{name}")' in RULES[name]
    assert '"../scripts/stage.py"' in RULES[name]
    drawn = ["figure"] if STAGES[name].chart else []
    others = {"made", "numbers"}
    assert [output for output in named_in(name, "output") if output not in others] == [
        *STAGES[name].returns, *drawn,
    ]  # fmt: skip


def test_the_rules_of_the_script_are_the_stages():
    own = {name for name, text in RULES.items() if '"../scripts/stage.py"' in text}
    assert own == set(PLAIN)
    assert set(STAGES) <= set(RULES)


def test_charts_are_part_of_the_code_of_their_stages():
    assert "popinv.figures.evidence" in modules_of("compare_designs")
    assert "popinv.charts.saving" in modules_of("fit_error_slope")
    assert modules_of("deconvolve") == ("popinv.inference.stages.deconvolve",)
    assert modules_of("run_rounds") == modules_of("no_stage") == ()


def changed(**sections) -> Study:
    config = {**TINY, "studies": {"tiny": {**TINY["studies"]["tiny"], **sections}}}
    return load(config).studies["tiny"]


def test_the_jobs_of_a_study_are_those_that_it_asks_for():
    learning = TINY["studies"]["tiny"]["active_learning"]
    # The truth has 240 systems, of which a chunk has 80; the first design 160, and so on.
    chunks = jobs_of(STUDY)
    assert chunks["solve_chunk"] == 3 + 2 + 1 + 1
    assert chunks["consult_oracle"] == 2
    assert "run_rounds" not in chunks
    assert "repeat_solves" not in chunks
    at_once = jobs_of(changed(active_learning={**learning, "chunk_size": 1000}))
    assert list(at_once)[:2] == ["simulate_observations", "run_rounds"]
    assert not {"solve_chunk", "collect_solves", "train_surrogate"} & set(at_once)
    without = jobs_of(changed(assessment={"oracles": False}))
    assert "consult_oracle" not in without


# --- a run --------------------------------------------------------------------------------------


def test_a_stage_is_given_what_its_parameters_name():
    run = StudyRun({"law": "law", "observations": "section"}, {"observations": "data"}, 3, "cuda")

    def stage(observations, observations_section, law, *, seed, device, count, other=None):
        return observations, observations_section, law, seed, device, count, other

    assert run.call(stage, count=5, unnamed=1) == ("data", "section", "law", 3, "cuda", 5, None)
    with pytest.raises(TypeError, match="count"):
        run.call(stage)


def test_a_stage_has_the_model_only_if_all_its_sections_are_given():
    sections = {name: getattr(STUDY, name) for name in ("forward", "law", "noise")}

    def stage(model=None):
        return model

    assert StudyRun(sections, {}, 1).call(stage) == Model.of(sections)
    assert StudyRun({"forward": STUDY.forward}, {}, 1).call(stage) is None


def test_a_stage_can_take_all_other_artefacts():
    def stage(check, **artefacts):
        return check, artefacts

    run = StudyRun({"law": "law"}, {"check": 1, "truth": 2}, 1)
    assert run.call(stage) == (1, {"truth": 2})


# --- a job --------------------------------------------------------------------------------------


class Names(dict):
    """Named things, as Snakemake gives them to a script."""

    __getattr__ = dict.__getitem__

    def __getitem__(self, name):
        return list(self.values())[name] if isinstance(name, int) else super().__getitem__(name)


STAGE = """
from types import SimpleNamespace

import xarray as xr


def double(start, *, seed, factor, checkpoint=None):
    print("doubling")
    if checkpoint is not None:
        checkpoint.write({"state": start["x"].values})
    return start * factor, {"seed": seed}


def told():
    return SimpleNamespace(contents=lambda: ("one", "two"))
"""


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A job of a stage of its own, as Snakemake describes it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_stage.py").write_text(STAGE)
    start = xr.Dataset({"x": ("n", np.arange(3.0), {"units": "1", "long_name": "x"})})
    storage.save(start, tmp_path / "start.zarr.zip", config={}, seed=1, created_by="test")
    how = {"function": "own_stage.double", "returns": ["end", "metrics"], "recorded": ["factor"]}
    return SimpleNamespace(
        rule="double",
        threads=1,
        log=[str(tmp_path / "logs" / "double.log")],
        input=Names(start=str(tmp_path / "start.zarr.zip"), table=str(tmp_path / "table.csv")),
        output=Names(
            end=str(tmp_path / "end.zarr.zip"), metrics=str(tmp_path / "metrics.json")
        ),
        wildcards=Names(),
        params=Names(
            seed=7, factor=2, other=3, code="abc", stage={**how, "streams": False, "chart": ""},
            checkpoint=str(tmp_path / "checkpoint.zarr.zip"),
        ),
        config={
            "results": str(tmp_path), "journal_seconds": 1.0, "device": "cpu",
            "checkpoint_seconds": 0.0,
        },
    )  # fmt: skip


def test_a_job_writes_what_its_stage_returns(asked, tmp_path):
    run_stage(asked)
    end = storage.load(tmp_path / "end.zarr.zip", config={"factor": 2})
    np.testing.assert_array_equal(end["x"].values, [0.0, 2.0, 4.0])
    assert (end.attrs["seed"], end.attrs["created_by"]) == (7, "double")
    assert (tmp_path / "metrics.json").read_text() == '{\n  "seed": 7\n}\n'
    assert "doubling" in (tmp_path / "logs" / "double.log").read_text()
    # An interrupted job would go on from there, and this one is done.
    assert not Path(asked.params.checkpoint).exists()


def test_a_record_of_several_files_says_what_is_in_them(asked, tmp_path):
    asked.params["stage"] |= {"function": "own_stage.told", "recorded": []}
    del asked.params["checkpoint"]
    asked.output = Names(answer=str(tmp_path / "answer.json"), metrics=str(tmp_path / "m.json"))
    asked.params["stage"]["returns"] = ["answer", "metrics"]
    run_stage(asked)
    assert [(tmp_path / name).read_text() for name in ("answer.json", "m.json")] == ["one", "two"]
