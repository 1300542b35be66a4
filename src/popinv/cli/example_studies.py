"""The example studies that the package carries."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from popinv.errors import ConfigError, nearest
from popinv.location import project_folder

# Their place in a checkout, which the paths in them begin with.
FOLDER = Path("config", "examples")


def example_studies() -> dict[str, str]:
    """Return what each example is, the first sentence of its file, by name."""
    files = sorted((project_folder() / FOLDER).glob("*.yaml"))
    return {file.stem: _first_sentence(file.read_text()) for file in files}


def _first_sentence(text: str) -> str:
    words = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    return re.split(r"(?<=[.?:])\s", words, maxsplit=1)[0].rstrip(".:")


def copy_example(name: str) -> list[Path]:
    """Copy an example, and the files that it uses, into the working directory.

    Returns
    -------
    list of Path
        The configuration first, then what has been copied beside it.

    Raises
    ------
    ConfigError
        If there is no such example, or a file of it is there already.
    """
    studies = example_studies()
    if name not in studies:
        raise ConfigError(f"there is no example '{name}'.{nearest(name, studies)}")
    source = project_folder() / FOLDER
    configuration = FOLDER / f"{name}.yaml"
    used = re.findall(rf"{FOLDER.as_posix()}/(\w+)", (source / f"{name}.yaml").read_text())
    folders = [folder for folder in dict.fromkeys(used) if (source / folder).is_dir()]
    wanted = [configuration, *(FOLDER / folder for folder in folders)]
    if configuration.exists():
        raise ConfigError(f"{configuration} is there already; it is not overwritten")
    FOLDER.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / f"{name}.yaml", configuration)
    for folder in wanted[1:]:
        # Examples share folders, of which one's own changes are kept.
        if not folder.exists():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source / folder.name, folder, ignore=ignored)
    return wanted
