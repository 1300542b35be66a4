"""A stage's fingerprint follows the code it imports, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_study import TINY

from popinv.config.loading import load
from popinv.config.study import Study
from popinv.forward.kinds import KINDS
from popinv.forward.section import forward_section
from popinv.workflow.fingerprint import fingerprint, imported_modules
from popinv.workflow.selection import selected_modules

STUDY = load(TINY).studies["tiny"]
SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


def script(name: str) -> str:
    return str(SCRIPTS / f"{name}.py")


def test_a_solve_does_not_depend_on_inference_or_surrogates():
    modules = imported_modules(script("solve_chunk"), "popinv.forward.porous_flow.model")
    assert "popinv.forward.porous_flow.kernels" in modules
    assert "popinv.forward.fields" in modules
    assert not [m for m in modules if m.startswith(("popinv.inference", "popinv.surrogate"))]
    assert "popinv.forward.porous_flow" not in imported_modules(script("solve_chunk"))


SIMULATOR = {"parameters": ["a"], "observations": {"count": 2}}
FORWARD = {
    "elastodynamics": {},
    "lorenz96": {},
    "porous_flow": {},
    "python": {**SIMULATOR, "function": "simulator:solve"},
    "umbridge": {**SIMULATOR, "url": "http://localhost:4242"},
    "executable": {**SIMULATOR, "command": ["./program", "{input}", "{output}"]},
}


def study_of(forward: dict) -> Study:
    return STUDY.model_copy(update={"forward": forward_section(forward)})


@pytest.mark.parametrize("kind", KINDS)
def test_a_solve_depends_on_the_code_of_its_own_forward_model_alone(kind):
    study = study_of({"kind": kind, **FORWARD[kind]})
    modules = imported_modules(script("solve_chunk"), *selected_modules(study, "solver"))
    assert f"popinv.forward.{kind}.section" in modules
    assert f"popinv.forward.{kind}.model" in modules
    for other in set(KINDS) - {kind}:
        assert not [m for m in modules if m.startswith(f"popinv.forward.{other}")]


def test_a_study_says_what_else_its_solver_imports():
    function = {"kind": "python", **FORWARD["python"]}
    differentiated = "popinv.forward.python.autograd"
    assert differentiated not in selected_modules(study_of(function), "solver")
    assert differentiated in selected_modules(
        study_of({**function, "derivatives": "torch"}), "solver"
    )


def test_pictures_of_states_depend_on_the_drawer_of_their_kind():
    study = study_of({"kind": "lorenz96"})
    modules = imported_modules(script("draw_systems"), *selected_modules(study, "states"))
    drawers = {m for m in modules if m.rpartition(".")[2] in KINDS and ".gallery." in m}
    assert drawers == {"popinv.figures.gallery.lorenz96"}
    assert "popinv.forward.lorenz96.states" in modules


def test_figures_of_a_random_field_depend_on_its_code():
    assert "popinv.forward.fields" in imported_modules("popinv.figures.draws")


def test_training_does_not_depend_on_noise_or_transport():
    modules = imported_modules(script("train_surrogate"), *selected_modules(STUDY, "training"))
    assert "popinv.surrogate.training" in modules
    assert not [m for m in modules if m.startswith(("popinv.inference", "popinv.transport"))]


@pytest.mark.parametrize(
    ("rule", "uses"),
    [
        ("propose_parameters", ("law", "choice")),
        ("collect_solves", ("law", "noise", "surrogate", "push")),
        ("train_surrogate", ("law", "training")),
        ("update_population", ("law", "noise", "surrogate", "descent")),
        ("maximise_likelihoods", ("law", "noise", "surrogate", "solver")),
        ("plot_figures", ("law", "noise", "surrogate")),
    ],
)
def test_a_study_depends_on_the_code_of_its_own_kind_of_surrogate_alone(rule, uses):
    learned = STUDY.surrogate.model_copy(update={"kind": "gaussian_process"})
    process = STUDY.model_copy(update={"surrogate": learned})
    codes = [
        set(imported_modules(script(rule), *selected_modules(study, *uses)))
        for study in (process, STUDY)
    ]
    networks = {f"popinv.surrogate.{name}" for name in ("networks", "training", "build")}
    processes = {f"popinv.surrogate.gaussian_process.{name}" for name in ("processes", "emulator")}
    assert processes <= codes[0]
    assert not networks & codes[0]
    if "choice" not in uses:
        assert "popinv.surrogate.networks" in codes[1]
        assert not processes & codes[1]
        assert "popinv.inference.surrogate_posterior" not in codes[1]


def test_the_descent_depends_on_transport_and_population():
    modules = imported_modules(script("deconvolve"))
    assert {"popinv.transport.rows", "popinv.population.noise.base"} <= set(modules)
    assert "popinv.forward.porous_flow" not in modules


def test_an_unknown_module_is_refused():
    with pytest.raises(ValueError, match=r"'popinv\.nothing' is neither"):
        fingerprint("popinv.nothing")


def printed(root: Path) -> str:
    code = "from popinv.workflow.fingerprint import fingerprint; print(fingerprint('popinv.seeds'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_code_counts_and_comments_do_not(tmp_path):
    package = tmp_path / "popinv"
    (package / "workflow").mkdir(parents=True)
    source = Path(sys.modules["popinv.workflow.fingerprint"].__file__).parents[1]
    for name in ("workflow/fingerprint.py", "seeds.py"):
        shutil.copy(source / name, package / name)
    for folder in (package, package / "workflow"):
        (folder / "__init__.py").write_text("")
    before = printed(tmp_path)
    seeds = package / "seeds.py"
    text = seeds.read_text()
    seeds.write_text(text.replace("A stage is a", "A stage may be a") + "\n# a remark\n")
    assert printed(tmp_path) == before
    seeds.write_text(text.replace("digest[:16]", "digest[:12]"))
    assert printed(tmp_path) != before
