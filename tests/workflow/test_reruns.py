"""What reruns after an edit, as documented; and that parsing the workflow stays quick."""

from __future__ import annotations

import copy
import os
import subprocess
import sys

import pytest
from reruns import CONFIG, Sandbox, documented, in_words, table
from tiers import parameters
from tiny_study import ROOT

from popinv.config.loading import load
from popinv.workflow.fingerprint import imported_modules, kind_modules
from popinv.workflow.stages import modules_of

SCRIPTS = ROOT / "workflow" / "scripts"


@pytest.mark.full
def test_the_documented_table_is_what_snakemake_plans(tmp_path):
    assert documented() == table(tmp_path), "run: python tests/workflow/reruns.py"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """Return a finished study."""
    config = {**CONFIG, "studies": {"porous": CONFIG["studies"]["porous"]}}
    made = Sandbox(tmp_path_factory.mktemp("sandbox"), config, edited=False)
    made.finish()
    return made


def test_a_prior_reruns_the_estimates_and_no_earlier_solves(sandbox):
    priors = {
        "law": {"kind": "matern_field", "prior": {"length": {"half_normal": 0.5}}},
        "noise": {**sandbox.config["studies"]["porous"]["noise"], "prior": "weak"},
    }
    for section, value in priors.items():
        changed = copy.deepcopy(sandbox.config)
        changed["studies"]["porous"][section] = value
        # The first round's solves and surrogate, and the observations, are kept.
        told = in_words(sandbox.plan(changed), "porous")
        assert told.startswith("from `update_population` on"), told


def test_a_result_that_came_out_the_same_stops_the_rerun(sandbox):
    # No test after this one finds the study finished.
    solves = sandbox.run / "results/porous/rounds/truth/solves.zarr.zip"
    # Made again, with the same hash in it: newer, but equal.
    later = solves.stat().st_mtime + 100
    os.utime(solves, (later, later))
    assert in_words(sandbox.plan(sandbox.config), "porous") == "nothing"
    solves.write_text("another hash")
    os.utime(solves, (later, later))
    told = in_words(sandbox.plan(sandbox.config), "porous")
    assert told.startswith("from `observe_population` on")


def test_parsing_the_workflow_imports_nothing_heavy(tmp_path):
    # Snakemake itself imports pandas where it is installed, but none of these.
    command = [
        sys.executable, "-X", "importtime", "-m", "snakemake",
        "--snakefile", str(ROOT / "Snakefile"),
        "--directory", str(tmp_path), "--configfile", str(ROOT / "config" / "config.yaml"),
        "--workflow-profile", "none", "--cores", "1", "--list-rules",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in lines}
    assert "popinv" in imported
    assert not imported & {"torch", "firedrake", "xarray", "numba", "scipy", "matplotlib"}


MOTION = {
    "forward": {"kind": "elastodynamics"},
    "noise": {"kind": "blocks", "places": "matern32"},
    "law": {
        "kind": "lognormal",
        "start": {
            name: {"mean": 0.0, "standard_deviation": 1.0} for name in ("stiffness", "damping")
        },
    },
    "observations": {
        "truth": {
            "law": {
                name: {"mean": 0.0, "standard_deviation": 1.0} for name in ("stiffness", "damping")
            },
            "noise": {"standard_deviation": 0.1, "length": 0.3, "time_correlation": 0.3},
        }
    },
}
STUDY = load({"studies": {"motion": MOTION}}).studies["motion"]


@pytest.mark.full
@parameters("rule, uses", [("deconvolve", ("law", "noise"))], full=[("solve_chunk", ("solver",))])
def test_a_fingerprint_holds_every_module_that_is_loaded(rule, uses):
    selected = (*modules_of(rule), *kind_modules(STUDY, *uses))
    script = SCRIPTS / "stage.py"
    lines = script.read_text().splitlines()
    imports = [line for line in lines if line.startswith(("from popinv", "import popinv"))]
    code = [*imports, *(f"import {name}" for name in selected), "import sys"]
    code.append("print(*(m for m in sys.modules if m.split('.')[0] == 'popinv'))")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=True
    )
    # Modules that write messages and search for kinds change no result.
    wording = {f"popinv.sections.{name}" for name in ("messages", "outside", "secrets", "sources")}
    loaded = set(done.stdout.split())
    assert loaded - wording == set(imported_modules(str(script), *selected, late=False))
    if "noise" in uses:
        assert "popinv.population.noise.kernel" in loaded
        assert "popinv.population.noise.unstructured" not in loaded
