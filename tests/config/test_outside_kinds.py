"""A law, a noise family and a forward model of the user's own: loading, checks and fingerprints."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import preloaded
import pytest
from own_kinds import MODULES, STUDY, write_modules

from popinv.config.data_files import check_data_files
from popinv.config.loading import as_mapping, json_schema, load
from popinv.errors import ConfigError
from popinv.workflow.fingerprint import fingerprint, kind_modules


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the modules; what a test imports from it is forgotten after it."""
    write_modules(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if not name.startswith("popinv") and str(tmp_path) in str(
            getattr(sys.modules[name], "__file__", "")
        ):
            del sys.modules[name]


@pytest.fixture
def study() -> dict[str, Any]:
    return copy.deepcopy(STUDY)


def message(study: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        check_data_files(load({"studies": {"mine": study}}, "mine.yaml"))
    return str(caught.value)


def spoil(file: str, old: str, new: str) -> None:
    text = MODULES[file]
    assert old in text
    Path(file).write_text(text.replace(old, new))


def test_the_example_passes_the_checks_and_is_written_out_whole(study: dict[str, Any]) -> None:
    config = load({"studies": {"mine": study}})
    check_data_files(config)
    written = as_mapping(config)
    assert written["studies"]["mine"]["noise"] == {
        "kind": "my_noise:TwoLevels",
        "errors": None,
        "discrepancy": None,
        "prior": None,
        "change": 1.5,
        "start": {"early": 0.1, "late": 0.1},
    }
    assert load(written) == config
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(json.loads(json.dumps(written)), json_schema())


def test_a_section_is_unpickled_by_a_process_that_starts_elsewhere(
    study: dict[str, Any], folder: Path
) -> None:
    law = load({"studies": {"mine": study}}).studies["mine"].law
    stored = folder / "law.pickle"
    stored.write_bytes(pickle.dumps({"law": law}))
    # The folder of a script, not the working directory, stands first among those searched.
    script = folder / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(
        "import pickle, sys\nprint(repr(pickle.load(open(sys.argv[1], 'rb'))['law']))\n"
    )
    done = preloaded.run([str(script), str(stored)], folder, dict(os.environ))
    assert done.stdout.strip() == repr(law), done.stderr


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("my_noise.TwoLevels", ["must be one of: isotropic", "module:Class"]),
        ("my noise:TwoLevels", ["must be 'module:Class'"]),
        ("my_nois:TwoLevels", ["no module 'my_nois'", "Did you mean 'my_noise'?"]),
        ("my_noise:TwoLevel", ["no class 'TwoLevel'", "Did you mean 'TwoLevels'?"]),
        ("my_noise:Levels", ["not a subclass of popinv.population.noise.section.NoiseSection"]),
        ("my_noise:NoiseSection", ["not a subclass of"]),
        ("broken:TwoLevels", ["cannot be imported: ZeroDivisionError", "(broken.py, line 2)"]),
        ("unparsed:TwoLevels", ["cannot be imported: SyntaxError"]),
        ("needy:TwoLevels", ["No module named 'not_installed'", "pip install"]),
        ("half:Abstract", ["lacks the method noise of NoiseSection"]),
        ("half:Startless", ["does not state the key 'start'"]),
    ],
)
def test_a_kind_that_cannot_be_used_is_told(
    study: dict[str, Any], kind: str, parts: list[str]
) -> None:
    Path("broken.py").write_text("x = 0\ny = 1 / x\n")
    Path("unparsed.py").write_text("def f(:\n")
    Path("needy.py").write_text("import not_installed\n")
    Path("half.py").write_text(
        "from popinv.population.noise.section import NoiseSection\n"
        "class Abstract(NoiseSection):\n    start: int = 0\n"
        "class Startless(NoiseSection):\n    def noise(self, observations): ...\n"
    )
    study["noise"]["kind"] = kind
    text = message(study)
    assert "studies.mine.noise.kind" in text
    for part in parts:
        assert part in text, text


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        (
            ("noise", "chang"),
            1.0,
            [
                "studies.mine.noise.chang",
                "Did you mean 'change'?",
                "Allowed here: kind, errors, discrepancy, prior, change",
            ],
        ),
        (("noise", "change"), -1, ["studies.mine.noise.change", "greater than 0"]),
        (("noise", "start"), {"early": 0}, ["studies.mine.noise.start.early", "greater than 0"]),
        (("forward", "times"), "soon", ["studies.mine.forward.times", "must be a list"]),
        (
            ("law", "start", "volume"),
            {"low": 1},
            ["studies.mine.law.start.volume.width", "missing"],
        ),
        (("law", "start", "weight"), {"low": 1, "width": 1}, ["start.weight", "unknown parameter"]),
        (("law", "spread"), {"volume": 1}, ["law.spread", "missing: absorption"]),
        (
            ("observations", "truth", "law", "volume"),
            {"low": 1, "width": -1},
            ["truth.law.volume.width", "greater than 0"],
        ),
        (("observations", "truth", "noise"), {"early": 1}, ["truth.noise", "missing: late"]),
        (
            ("forward",),
            {"kind": "porous_flow"},
            ["studies.mine.noise.kind", "needs observations that have times"],
        ),
        (
            ("assessment",),
            {"baselines": ["two_stage"]},
            ["a law of kind 'my_laws:Uniform': it needs the density"],
        ),
    ],
)
def test_keys_and_values_are_checked_as_those_of_the_package(
    study: dict[str, Any], path: tuple[str, ...], value: Any, parts: list[str]
) -> None:
    *keys, last = path
    node = study
    for key in keys:
        node = node.setdefault(key, {})
    node[last] = value
    text = message(study)
    for part in parts:
        assert part in text, text


LAW_START = "low + width * torch.special.ndtr(omega)"
FAULTS: dict[str, tuple[str, str, str, list[str]]] = {
    # name: (file, the text replaced, by what, what the message holds)
    "names": ("my_laws.py", '("low", "width"))', '("low", "low"))', [".law: ", "no two may be"]),
    "names of the start": ("my_laws.py", '("low", "width"))', '("a", "b"))', ["'start' has"]),
    "law's shape": ("my_laws.py", LAW_START, f"({LAW_START})[:, :1]", ["(4, 2)", "(4, 1)"]),
    "law's type": ("my_laws.py", LAW_START, f"({LAW_START}).float()", ["of float32 and (4, 2)"]),
    "law in numpy": (
        "my_laws.py",
        LAW_START,
        "torch.from_numpy((low + width).detach().numpy()) + omega",
        ["'sample' cannot be differentiated"],
    ),
    "law detached": ("my_laws.py", "low + width", "low + width.detach()", ["differences", "width"]),
    "law of one alpha": ("my_laws.py", "alpha[..., 0::2]", "alpha[0::2]", ["'sample' "]),
    "density": ("my_laws.py", "has_density = False", "", ["'has_density = False'"]),
    "affine": (
        "my_laws.py",
        "class UniformLaw(Law):",
        "class UniformLaw(Law):\n    affine = True\n",
        ["is marked 'affine'"],
    ),
    "law raises": (
        "my_laws.py",
        "torch.special.ndtr(omega)",
        "omega.nothing",
        ["'sample' raised AttributeError", "(my_laws.py, line "],
    ),
    "no law": (
        "my_laws.py",
        "return UniformLaw(forward.parameter_names())",
        "return 3",
        ["must be a popinv.population.laws.base.Law"],
    ),
    "round trip": (
        "my_laws.py",
        "    def sample",
        "    def to_natural(self, alpha):\n        return alpha\n\n    def sample",
        ["'to_natural' gives"],
    ),
    "indefinite": (
        "my_noise.py",
        "torch.diag(torch.exp(",
        "torch.diag(-torch.exp(",
        [".noise: ", "not positive definite", "smallest eigenvalue"],
    ),
    "asymmetric": (
        "my_noise.py",
        "return torch.diag(",
        "return torch.ones(4, 4, dtype=torch.float64).triu() + torch.diag(",
        ["not symmetric"],
    ),
    "noise detached": (
        "my_noise.py",
        "gamma[1], gamma[0]",
        "gamma[1].detach(), gamma[0]",
        ["the derivative of 'covariance' in 'late' is 0 by torch", "detach()"],
    ),
    "size": ("my_noise.py", "len(late)", "len(late) + 1", ["'d_y' is 5, but there are 4"]),
    "names of noise": ("my_noise.py", '"early", "late")', '"early", "later")', ["refuses"]),
    "whitening": (
        "my_noise.py",
        "    def covariance",
        "    def whiten(self, gamma, x):\n        return x\n\n    def covariance",
        ["'whiten' does not"],
    ),
    "parameters": (
        "my_models.py",
        'Parameter("volume", units="L")',
        'Parameter("absorption")',
        ["forward.kind", "no two may be equal"],
    ),
    "places": ("my_models.py", "np.array(self.times)[:, None]", "np.array(self.times)", ["(4,)"]),
    "places raise": (
        "my_models.py",
        "places = np.array(self.times)",
        "places = np.arry(1)",
        ["'observed' raised AttributeError", "(my_models.py, line "],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_class_does_wrong_is_told_before_any_work(study: dict[str, Any], fault: str) -> None:
    file, old, new, parts = FAULTS[fault]
    spoil(file, old, new)
    text = message(study)
    assert "studies.mine." in text
    for part in parts:
        assert part in text, text


def test_true_noise_of_a_class_is_checked_too(study: dict[str, Any]) -> None:
    study["observations"]["truth"]["noise_model"] = study.pop("noise")
    spoil("my_noise.py", "len(late)", "len(late) + 1")
    assert "studies.mine.observations.truth.noise_model: the noise model's 'd_y'" in message(study)


@pytest.mark.full
def test_the_code_of_the_modules_counts_and_that_of_others_does_not(
    study: dict[str, Any], folder: Path
) -> None:
    (folder / "mathematics.py").write_text("FACTOR = 1\n")
    text = MODULES["my_laws.py"]
    (folder / "my_laws.py").write_text(
        text.replace(
            "        return UniformLaw", "        import mathematics\n\n        return UniformLaw"
        )
    )
    mapping = as_mapping(load({"studies": {"mine": study}}))

    (folder / "prints.py").write_text(
        "import json, sys; from popinv.config.loading import load; "
        "from popinv.workflow.fingerprint import fingerprint, kind_modules; "
        "before = 'torch' in sys.modules; "
        "study = load(json.loads(sys.argv[1])).studies['mine']; "
        "print(json.dumps({use: fingerprint("
        "'popinv.seeds', *kind_modules(study, use)) for use in "
        "('forward', 'solver', 'law', 'noise', 'true_noise')})); "
        "assert before or 'torch' not in sys.modules or 'my_laws' in sys.modules"
    )

    def prints() -> dict[str, str]:
        # A new process, as each start of the workflow is.
        done = preloaded.run(["prints.py", json.dumps(mapping)], folder, dict(os.environ))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    command = [sys.executable, "prints.py", json.dumps(mapping)]
    before = json.loads(subprocess.check_output(command, cwd=folder))
    assert prints() == before
    (folder / "my_laws.py").write_text("# a comment\n" + (folder / "my_laws.py").read_text())
    assert prints() == before
    (folder / "mathematics.py").write_text("FACTOR = 2\n")
    changed = prints()
    assert [use for use in before if before[use] != changed[use]] == ["law"]
    (folder / "my_models.py").write_text(MODULES["my_models.py"].replace("-z", "-2 * z"))
    again = prints()
    assert all(again[use] != changed[use] for use in again)  # all ask the forward model


def test_files_and_modules_that_a_kind_selects(study: dict[str, Any]) -> None:
    modules = kind_modules(load({"studies": {"mine": study}}).studies["mine"], "law")
    assert {"my_laws.py", "my_models.py", "popinv.population.laws.base"} <= set(modules)
    assert fingerprint(*modules) == fingerprint(*modules)
