"""A stage's fingerprint follows the code it imports, and nothing else."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from tiny_study import TINY

from popinv.config.loading import load, load_file
from popinv.config.study import Study
from popinv.forward.kinds import KINDS
from popinv.forward.registry import PACKAGES
from popinv.forward.section import forward_section
from popinv.workflow.fingerprint import (
    code_and_imports,
    fingerprint,
    imported_modules,
    kind_modules,
)
from popinv.workflow.stages import STAGES, modules_of

STUDY = load(TINY).studies["tiny"]
SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


def code_of(rule: str, study: Study = STUDY, *uses: str, late: bool = True) -> dict[str, Path]:
    """Return the modules of a rule's code, as the rules ask for them."""
    modules = modules_of(rule)
    script = SCRIPTS / f"{'stage' if modules else rule}.py"
    kinds, others = kind_modules(study, *uses), study.surrogate.modules_of_others()
    return imported_modules(str(script), *modules, *kinds, late=late, without=others)


def test_a_solve_does_not_depend_on_inference_or_surrogates():
    modules = code_of("solve_chunk", STUDY, "solver")
    assert "popinv_models.porous_flow.kernels" in modules
    assert "popinv.forward.fields" in modules
    assert not [m for m in modules if m.startswith(("popinv.inference", "popinv.surrogate"))]
    assert "popinv_models.porous_flow" not in code_of("solve_chunk")
    together = code_of("solve_chunk_distributed", STUDY, "distributed")
    assert "popinv_models.porous_flow.distributed" in together
    assert "popinv_models.porous_flow.distributed" not in modules


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
    modules = code_of("solve_chunk", study, "solver")
    assert f"{PACKAGES[kind]}.section" in modules
    assert f"{PACKAGES[kind]}.model" in modules
    for other in set(KINDS) - {kind}:
        assert not [m for m in modules if m.startswith(PACKAGES[other])]
    # Neither do the records of the packages of models, nor what finds them, change a solve.
    assert not {"popinv.forward.registry", "popinv.houses", "popinv_models.models"} & set(modules)


def test_a_study_says_what_else_its_solver_imports():
    function = {"kind": "python", **FORWARD["python"]}
    differentiated = "popinv.forward.python.autograd"
    assert differentiated not in kind_modules(study_of(function), "solver")
    assert differentiated in kind_modules(study_of({**function, "derivatives": "torch"}), "solver")


def test_pictures_of_states_depend_on_the_drawer_of_their_kind():
    study = study_of({"kind": "lorenz96"})
    modules = code_of("draw_systems", study, "states")
    assert {m for m in modules if m.endswith(".drawing")} == {"popinv_models.lorenz96.drawing"}
    assert "popinv_models.lorenz96.states" in modules


def test_figures_of_a_random_field_depend_on_its_code():
    assert "popinv.forward.fields" in imported_modules("popinv.figures.draws")


def test_training_does_not_depend_on_noise_or_transport():
    modules = code_of("train_surrogate", STUDY)
    assert "popinv.surrogate.training" in modules
    assert not [m for m in modules if m.startswith(("popinv.inference", "popinv.transport"))]


@pytest.mark.parametrize(
    ("rule", "uses"),
    [
        ("propose_parameters", ("law",)),
        ("collect_solves", ("law", "noise")),
        ("run_rounds", ("law", "noise", "solver")),
        ("train_surrogate", ("law",)),
        ("update_population", ("law", "noise")),
        ("maximise_likelihoods", ("law", "noise", "solver")),
        ("plot_figures", ("law", "noise")),
    ],
)
def test_a_study_depends_on_the_code_of_its_own_kind_of_surrogate_alone(rule, uses):
    learned = STUDY.surrogate.model_copy(update={"kind": "gaussian_process"})
    process = STUDY.model_copy(update={"surrogate": learned})
    codes = [set(code_of(rule, study, *uses)) for study in (process, STUDY)]
    networks = {f"popinv.surrogate.{name}" for name in ("networks", "training", "build")}
    processes = {f"popinv.surrogate.gaussian_process.{name}" for name in ("processes", "emulator")}
    assert processes <= codes[0]
    assert not networks & codes[0]
    assert not processes & codes[1]
    if rule != "propose_parameters":
        assert "popinv.surrogate.networks" in codes[1]


def test_a_job_that_judges_no_surrogate_does_not_depend_on_the_code_that_judges():
    judging = "popinv.inference.uncertainty.scores"
    assert judging in code_of("collect_solves", STUDY, "law", "noise")
    assert judging not in code_of("collect_solves", STUDY, late=False)


def test_the_descent_depends_on_transport_and_population():
    modules = code_of("deconvolve")
    assert {"popinv.transport.rows", "popinv.population.noise.base"} <= set(modules)
    assert "popinv_models.porous_flow" not in modules


def test_the_list_of_the_stages_is_no_part_of_their_code():
    # What it says of a stage is among the parameters of its rule.
    assert "popinv.workflow.stages" not in code_of("deconvolve")
    assert "popinv.workflow.stages" not in code_of("run_rounds")
    assert "popinv.inference.stages.deconvolve" in code_of("deconvolve")


def test_what_draws_a_chart_is_part_of_the_code_of_its_stage():
    assert "popinv.charts.saving" in code_of("fit_error_slope")
    assert "popinv.charts.saving" not in code_of("deconvolve")


# What a module imports late although it is no part of a stage's code, and why no result depends on
# it there.
WITHOUT_RESULT = {
    # Used by estimates alone, whose stages import it at the top.
    ("population.laws.base", "optimisation.minimisation"),
    # A job that is killed goes on from there, and ends in the same result.
    ("workflow.stage", "store.checkpoints"),
    # What it keeps is what the simulator has returned.
    ("forward.external.model", "forward.external.journal"),
    # Requests follow the time of solves, and no result does.
    ("forward.stages.solve_chunk", "forward.solve_times"),
}
# What a module imports for some studies, and the code of the others does not have.
FOR_SOME = {
    "config.observations": {"forward.external.observations"},
    "methods.outcome": {"population.model"},
    "forward.external.model": {"forward.external.transformed"},
    "forward.python.worker": {"forward.python.autograd"},
    "baselines.hierarchical": {"inference.uncertainty.numpyro_sampler"},
    # Rules of stages without charts do not name it.
    "workflow.stage": {"charts.saving"},
    "surrogate.artefact": {"surrogate.exact", "surrogate.gaussian_process.emulator"},
    "surrogate.stages.propose_parameters": {"surrogate.gaussian_process.acquisition"},
    "surrogate.stages.train_surrogate": {
        "surrogate.exact",
        "surrogate.gaussian_process.training",
    },
}
ROOT = Path(__file__).parents[2]


@cache
def imported_late(path: Path) -> frozenset[str]:
    """Return the package modules that functions of a module import, but for its annotations."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(
        str(node.module)
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, functions)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("popinv")
    )


def test_what_functions_import_is_part_of_the_code_of_their_stages():
    uses_of = {name: (*stage.uses, *stage.late_uses) for name, stage in STAGES.items()}
    missing = set()
    examples = ["porous_samples", "rails", "own_simulator", "elastic_bar", "lorenz96_one_scale"]
    for name in examples:
        for study in load_file(ROOT / "config" / "examples" / f"{name}.yaml").studies.values():
            own = hasattr(study.forward, "path")
            for stage, uses in {**uses_of, "use_method": ()}.items():
                if (
                    ("true_noise" in uses and hasattr(study.observations, "file"))
                    or ("states" in uses and own)
                    or ("distributed" in uses and not hasattr(study.forward, "ranks"))
                ):
                    continue
                code = code_of(stage, study, *uses)
                for module, path in code.items():
                    # Sections import the parts of their kind, which the uses name.
                    if module.endswith("section"):
                        continue
                    late = imported_late(path) - set(code)
                    missing |= {
                        (module.removeprefix("popinv."), name.removeprefix("popinv."))
                        for name in late
                    }
    for_some = {(module, late) for module, names in FOR_SOME.items() for late in names}
    assert missing - WITHOUT_RESULT - for_some == set()
    # The lists name nothing that has gone.
    assert WITHOUT_RESULT | for_some == missing


@pytest.mark.parametrize(
    "observed", [{"logarithm": True}, {"times": [0.5], "simulated_times": [0, 1]}]
)
def test_a_solve_depends_on_what_turns_its_output_into_observations(observed):
    forward = FORWARD["python"] | {"kind": "python"}
    plain, changed = (
        code_of("solve_chunk", study_of(forward | {"observations": {"count": 2} | keys}), "solver")
        for keys in ({}, observed)
    )
    assert "popinv.forward.external.transformed" in set(changed) - set(plain)


def test_an_unknown_module_is_refused():
    with pytest.raises(ValueError, match=r"'popinv\.nothing' is neither"):
        fingerprint("popinv.nothing")


# A process that prints the fingerprint for each cache that it is told, in a fork.
PRINTING = """
import os, sys
from popinv.workflow.fingerprint import fingerprint

for cache in sys.stdin:
    if os.fork() == 0:
        os.environ["POPINV_CACHE"] = cache.strip()
        print(fingerprint("popinv.seeds"), flush=True)
        os._exit(0)
    os.wait()
"""


@contextmanager
def printing(root: Path) -> Iterator[Callable[..., str]]:
    """Yield a function that returns the fingerprint of a copy of the package, as it is then."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", PRINTING], cwd=root, env={"PYTHONPATH": str(root)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def printed(cache: str = "cache") -> str:
        process.stdin.write(f"{root / cache}\n")
        process.stdin.flush()
        told = process.stdout.readline()
        assert told
        return told

    with process:
        yield printed
        process.stdin.close()


def copied(root: Path) -> Path:
    """Return a package whose fingerprints and seeds are copies, and all else the package's own."""
    package = root / "popinv"
    package.mkdir()
    source = Path(sys.modules["popinv.workflow.fingerprint"].__file__).parents[1]
    for entry in source.iterdir():
        if entry.name == "workflow":
            shutil.copytree(entry, package / entry.name)
        elif entry.name == "seeds.py":
            shutil.copy(entry, package / entry.name)
        else:
            (package / entry.name).symlink_to(entry)
    return package


STAGE = """
from typing import TYPE_CHECKING

from popinv.seeds import generator

if TYPE_CHECKING:
    from popinv.transport.rows import Rows

def run():
    from popinv.surrogate.exact import of_section
    from popinv.surrogate.build import training_data
    if generator:
        from popinv.errors import DataError
"""


def test_what_a_stage_imports_late_counts_where_its_jobs_run_it(tmp_path):
    stage = tmp_path / "stage.py"
    stage.write_text(STAGE)
    late = {"popinv.surrogate.exact", "popinv.surrogate.build", "popinv.errors"}
    code = set(imported_modules(str(stage)))
    assert late | {"popinv.seeds"} <= code
    assert "popinv.transport.rows" not in code
    assert not late & set(imported_modules(str(stage), late=False))
    # A study with a network has no exact surrogate.
    others = STUDY.surrogate.modules_of_others()
    exact = "popinv.surrogate.differences", "popinv.surrogate.exact"
    assert others == ("popinv.surrogate.gaussian_process", *exact)
    own = set(imported_modules(str(stage), without=others))
    assert late & own == late - {"popinv.surrogate.exact"}


def test_a_late_import_elsewhere_does_not_count():
    laws = code_and_imports(ROOT / "src" / "popinv" / "population" / "laws" / "base.py")
    assert "popinv.optimisation.minimisation" in laws.late - laws.early
    assert "popinv.optimisation.minimisation" not in imported_modules("popinv.population.laws.base")


GENERATOR = """
def problems(self) -> Iterator[{kind}]:
    yield "{message}"
"""


@pytest.mark.parametrize(("kind", "counts"), [("ConfigProblem", False), ("Problem", True)])
def test_messages_about_a_configuration_do_not_count(kind, counts, tmp_path):
    codes = set()
    for message in ("too small", "too large"):
        file = tmp_path / f"{message}.py"
        file.write_text(GENERATOR.format(kind=kind, message=message))
        codes.add(code_and_imports(file).code)
    assert len(codes) == 1 + counts


def test_code_counts_and_comments_do_not(tmp_path):
    package = copied(tmp_path)
    seeds = package / "seeds.py"
    text = seeds.read_text()
    with printing(tmp_path) as printed:
        before = printed()
        # What was parsed is on disk now.
        assert printed() == before
        assert len(list((tmp_path / "cache" / "parsed_code").iterdir())) == 1
        seeds.write_text(text.replace("A stage is a", "A stage may be a") + "\n# a remark\n")
        assert printed() == before
        seeds.write_text(text.replace("digest[:16]", "digest[:12]"))
        changed = printed()
        assert changed != before
        assert printed("another_cache") == changed


@pytest.mark.full
def test_what_is_kept_belongs_to_the_rules_by_which_it_was_read(tmp_path):
    package = copied(tmp_path)
    with printing(tmp_path) as printed:
        before = printed()
    parsing = package / "workflow" / "fingerprint.py"
    parsing.write_text(parsing.read_text().replace("_DOCUMENTED) and", "_DOCUMENTED) and 0 and"))
    with printing(tmp_path) as printed:
        assert printed() != before
