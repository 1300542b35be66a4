from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from popinv.config.document import README, SCHEMA, main, readme, schema
from popinv.config.loading import load
from popinv.forward.kinds import KINDS
from popinv.forward.section import section_class

ROOT = Path(__file__).parents[2]


def test_documentation_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--folder", str(ROOT)]) == 0, capsys.readouterr().err


def test_drift_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ["--folder", str(tmp_path)]
    assert main(["--check", *folder]) == 1
    assert main(folder) == 0
    assert main(["--check", *folder]) == 0
    for name in (README, SCHEMA):
        file = tmp_path / name
        whole = file.read_text()
        file.write_text(whole + "\n")
        capsys.readouterr()
        assert main(["--check", *folder]) == 1, name
        assert str(name) in capsys.readouterr().err
        file.write_text(whole)


def test_every_key_has_a_type_and_a_meaning() -> None:
    text = readme().replace("\n  ", " ")
    keys = re.findall(r"^- \*\*`([\w.<>]+)`\*\* \((.*?)\)\. (.*)$", text, re.MULTILINE)
    assert len(keys) > 60
    assert len(keys) == len(re.findall(r"^- \*\*`", text, re.MULTILINE))
    for key, facts, meaning in keys:
        assert facts, key
        assert meaning.endswith("."), key


def test_a_key_states_its_choices_bounds_and_default() -> None:
    text = " ".join(readme().split())
    assert "**`device`** (`auto`, `cpu`, `cuda`; default: `auto`)." in text
    assert "**`seed`** (whole number, at least 0; default: `1`)." in text
    assert "**`studies`** (mapping; needed)." in text


def test_every_key_of_the_schema_is_documented() -> None:
    text = readme()
    keys: set[str] = set()

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            keys.update(node.get("properties", ()))
            for value in node.values():
                collect(value)

    collect(yaml.safe_load(schema()))
    # Keys of parameters named by the user are explained in the text.
    for key in keys:
        assert re.search(rf"\b{key}\b", text), key


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_noise_is_the_documented_one(kind: str) -> None:
    default = section_class(kind).model_construct(kind=kind).default_noise()["kind"]
    text = readme().split(f"#### `forward`: `kind: {kind}`\n")[1].split("\n- **")[0]
    found = re.search(r"The default noise is `{kind: (\w+)}`", " ".join(text.split()))
    assert default == (found[1] if found else "diagonal")


def test_examples_in_the_text_are_valid() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", readme(), re.DOTALL)
    assert len(examples) >= 4
    for example in examples[1:]:
        load(yaml.safe_load(example))
