"""A stage's fingerprint follows the code it imports, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from popinv.fingerprint import fingerprint, imported_modules
from popinv.selection import selected_modules

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"


def script(name: str) -> str:
    return str(SCRIPTS / f"{name}.py")


def test_a_solve_does_not_depend_on_inference_or_surrogates():
    modules = imported_modules(script("solve_chunk"), "popinv.forward.porous_flow.model")
    assert "popinv.forward.porous_flow.kernels" in modules
    assert "popinv.forward.fields" in modules
    assert not [m for m in modules if m.startswith(("popinv.inference", "popinv.surrogate"))]
    assert "popinv.forward.porous_flow" not in imported_modules(script("solve_chunk"))


def test_training_does_not_depend_on_noise_or_transport():
    modules = imported_modules(script("train_surrogate"), *selected_modules({}, "training"))
    assert "popinv.surrogate.training" in modules
    assert not [m for m in modules if m.startswith(("popinv.inference", "popinv.transport"))]


def test_the_descent_depends_on_transport_and_population():
    modules = imported_modules(script("deconvolve"))
    assert {"popinv.transport.rows", "popinv.population.noise.base"} <= set(modules)
    assert "popinv.forward.porous_flow" not in modules


def test_an_unknown_module_is_refused():
    with pytest.raises(ValueError, match=r"'popinv\.nothing' is neither"):
        fingerprint("popinv.nothing")


def printed(root: Path) -> str:
    code = "from popinv.fingerprint import fingerprint; print(fingerprint('popinv.seeds'))"
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
    package.mkdir()
    source = Path(sys.modules["popinv.fingerprint"].__file__).parent
    for name in ("fingerprint.py", "seeds.py"):
        shutil.copy(source / name, package / name)
    (package / "__init__.py").write_text("")
    before = printed(tmp_path)
    seeds = package / "seeds.py"
    text = seeds.read_text()
    seeds.write_text(text.replace("A stage is a", "A stage may be a") + "\n# a remark\n")
    assert printed(tmp_path) == before
    seeds.write_text(text.replace("digest[:16]", "digest[:12]"))
    assert printed(tmp_path) != before
