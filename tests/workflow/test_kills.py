"""Jobs killed at any moment, and Snakemake too: the end is that of an undisturbed run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from kills import Kill, Killer, assert_identical, assert_same_results, scripts, seeded_kills
from tiers import patient
from tiny_study import ROOT, Workflow

from popinv.workflow.stages import STAGES

pytestmark = pytest.mark.firedrake

# What makes the population, the rounds, and the answer; and what judges it.
FIRST = [
    "draw_population",
    "propose_parameters",
    "solve_chunk",
    "collect_solves",
    "observe_population",
    "train_surrogate",
    "update_population",
]
LAST = [
    "maximise_likelihoods",
    "consult_oracle",
    "gather_answer",
    "assess_population",
    "plot_figures",
]
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def test_jobs_that_are_killed_are_repeated_to_the_same_results(untouched, tmp_path):
    workflow = untouched.copied(tmp_path / "copy")
    made = [f"rounds/1/{name}.zarr.zip" for name in ("chunks/0", "solves", "surrogate", "estimate")]
    for name in made:
        (workflow.folder / "results/tiny" / name).unlink()
    rules = ["solve_chunk", "train_surrogate", "update_population"]
    with Killer(workflow.folder, [Kill(rule) for rule in rules]) as killer:
        printed = workflow.printed(f"results/tiny/{made[-1]}", "--retries", "1")
    # A job of a moment may be over before it is seen.
    assert killer.killed
    assert printed.count("Trying to restart job") == len(killer.killed)
    assert_same_results(workflow.folder, untouched.folder, made)


@pytest.mark.full
def test_results_do_not_depend_on_chunks_or_on_being_killed(untouched, tiny, tmp_path):
    # One more run, cut into other chunks, in which a job of every rule is killed once, that of
    # the descent in the middle. A job of a moment may be over before it is seen.
    workflow = Workflow(tmp_path)
    tiny["studies"]["tiny"]["active_learning"]["chunk_size"] = 130
    workflow.configure(tiny)
    checkpoint = tmp_path / "results/.checkpoints/tiny/deconvolve.zarr.zip"
    kills = seeded_kills(untouched.folder, FIRST, seed=1)
    plan = [*kills, Kill("deconvolve", once=checkpoint)]
    with Killer(tmp_path, plan) as killer:
        workflow.printed("results/tiny/descent.zarr.zip", "--retries", "2")
    killed = {kill.rule for kill in killer.killed}
    assert {"solve_chunk", "train_surrogate", "update_population", "deconvolve"} <= killed
    names = ("descent", "observations", "truth")
    names += tuple(f"rounds/1/{name}" for name in ("solves", "surrogate", "estimate"))
    assert_same_results(tmp_path, untouched.folder, [f"{name}.zarr.zip" for name in names])


def copy_without_the_answer(untouched: Workflow, folder) -> Workflow:
    """Return a copy of the finished study that lacks what follows on the rounds."""
    shutil.copytree(untouched.folder, folder)
    study = folder / "results/tiny"
    estimates = ("descent.zarr.zip", "pseudo_likelihood.zarr.zip", "likelihood.zarr.zip")
    for name in (*estimates, "oracles", "population.zarr.zip", "figures"):
        (shutil.rmtree if (study / name).is_dir() else os.unlink)(study / name)
    (study / "metrics.json").unlink()
    return Workflow(folder, anew=True)


def wait_for(condition, seconds: float = 300.0):
    deadline = time.monotonic() + patient(seconds)
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


@pytest.mark.full
def test_snakemake_itself_is_killed_and_then_each_of_the_last_jobs(untouched, tmp_path):
    workflow = copy_without_the_answer(untouched, tmp_path / "copy")
    folder = workflow.folder
    snakemake = subprocess.Popen(workflow.command(), cwd=folder, env=os.environ, **QUIET)
    orphans = wait_for(lambda: {p: r for p, r in scripts(folder).items() if r == "deconvolve"})
    for pid in orphans:
        os.kill(pid, signal.SIGSTOP)
    snakemake.kill()
    snakemake.wait()

    # The lock is left behind, and is not taken away while a job is still there.
    locked = workflow.run()
    assert locked.returncode == 1
    assert "cannot be locked" in locked.stdout
    assert "--unlock" in locked.stdout
    unlock = [sys.executable, "-m", "popinv.cli.unlock"]
    told = subprocess.run(unlock, cwd=folder, capture_output=True, text=True)
    assert told.returncode == 1
    assert "a job of the rule deconvolve" in told.stderr
    for pid in scripts(folder):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not scripts(folder))
    told = subprocess.run(unlock, cwd=folder, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr

    # A killed job stops the run; the next run goes on.
    with Killer(folder, seeded_kills(untouched.folder, LAST[:1], seed=2)) as killer:
        done = workflow.run("--rerun-incomplete")
    assert done.returncode == 1
    assert "most often by the system for lack of memory" in done.stdout
    assert {kill.rule for kill in killer.killed} == set(LAST[:1])
    with Killer(folder, seeded_kills(untouched.folder, LAST[1:], seed=3)) as killer:
        workflow.printed("--retries", "2")
    assert {kill.rule for kill in killer.killed} == set(LAST[1:])
    assert_identical(folder, untouched.folder)


@pytest.mark.full
@pytest.mark.parametrize("seed", [100, 200])
def test_every_rule_killed_at_several_moments(untouched, tiny, tmp_path, seed):
    # From nothing to the end; whenever the run stops for a job that was killed, it starts again.
    workflow = Workflow(tmp_path, anew=True)
    workflow.configure(tiny)
    rules = [*FIRST, "deconvolve", *LAST]
    plan = [
        kill
        for moment in range(3)
        for kill in seeded_kills(untouched.folder, rules, seed + moment, most=0.9)
    ]
    with Killer(tmp_path, plan) as killer:
        for _ in range(len(plan) + 1):
            done = workflow.run("--rerun-incomplete", "--keep-going")
            if done.returncode == 0:
                break
            assert "killed without a message" in done.stdout
    assert done.returncode == 0, done.stdout
    killed = Counter(kill.rule for kill in killer.killed)
    assert set(killed) == set(rules)
    assert killed.total() > 2 * len(rules)
    assert_identical(tmp_path, untouched.folder)


@pytest.mark.full
@pytest.mark.parametrize("moment", range(4))
def test_snakemake_killed_with_all_its_jobs(untouched, tiny, tmp_path, moment):
    # As by the end of a batch job, or a power failure: nothing is left to run on.
    workflow = Workflow(tmp_path, anew=True)
    workflow.configure(tiny)
    snakemake = subprocess.Popen(
        workflow.command(), cwd=tmp_path, env=os.environ, start_new_session=True, **QUIET
    )
    wait_for(lambda: scripts(tmp_path))
    with pytest.raises(subprocess.TimeoutExpired):
        snakemake.wait(4.0 + 9.0 * moment)
    os.killpg(snakemake.pid, signal.SIGKILL)
    snakemake.wait()
    wait_for(lambda: not scripts(tmp_path))
    unlock = [sys.executable, "-m", "popinv.cli.unlock"]
    assert subprocess.run(unlock, cwd=tmp_path, **QUIET).returncode == 0
    workflow.printed("--rerun-incomplete")
    assert_identical(tmp_path, untouched.folder)


def test_the_thorough_tests_cover_every_rule_of_the_default_study():
    scripts = {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")}
    rules = {*STAGES, *scripts} - {"stage"}
    optional = {
        "compare_baselines", "compare_designs", "descend_with_policy", "fit_error_slope",
        "fit_two_stage", "import_observations", "measure_calibration", "measure_error",
        "repeat_solves", "replicate_study", "sample_hierarchical", "tabulate_efficiency",
        "train_fixed_design",
        "solve_chunk_distributed",
        # The parts of these are killed as jobs of their own.
        "run_rounds", "simulate_observations",
        # Observations of a file, systems that join, and comparisons of studies.
        "add_systems",
        "refit_without_tested", "score_systems", "compare_models",
        # Pages and pictures.
        "report", "write_comparison_page", "write_library", "write_method_page",
        "write_study_page",
        "draw_noise", "draw_rules", "draw_systems",
        # Downstream methods.
        "fetch_package", "check_method", "pretrain_language_model", "search_ensemble_rate",
        "train_ensemble", "use_method",
    }  # fmt: skip
    assert rules - optional == {*FIRST, "deconvolve", *LAST}
