"""A loss of power takes nothing that was said to be done.

A writer fills a file system in an image, and says after each file that it is done. Copies of the
image at random moments are what a disk holds when the power fails then: what the system has kept in
memory is not in them. Each copy is mounted, which replays its journal, and read.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from mounting import mounted

from popinv.store import storage

MEGABYTES = 24
CUTS = 5

WRITER = """
    import itertools, sys
    from pathlib import Path
    import numpy as np, xarray as xr
    from popinv.store import storage
    from popinv.store.variables import variable
    from popinv.store.whole_files import write_text

    folder, done = Path(sys.argv[1]), open(sys.argv[2], "a", buffering=1)
    for number in itertools.count():
        y = variable(("row", "column"), np.full((50, 20), float(number)), "values")
        name = f"{number % 40}"
        storage.save(xr.Dataset({"y": y}), folder / f"{name}.zarr.zip", config={}, seed=1,
                     created_by="test")
        write_text(folder / f"{name}.json", f"{number} " * 3000)
        print(number, file=done)
"""


def written(folder: Path, name: str) -> tuple[int, int]:
    """Return the numbers that the store and the text of a name hold, each of which is whole."""
    store = storage.load(folder / f"{name}.zarr.zip")["y"].values
    assert np.all(store == store[0, 0])
    words = (folder / f"{name}.json").read_text().split()
    assert len(words) == 3000
    assert len(set(words)) == 1
    return int(store[0, 0]), int(words[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="mkfs.ext4 is not installed")
def test_what_was_done_before_the_power_failed_is_there(tmp_path: Path) -> None:
    image, said = tmp_path / "image", tmp_path / "said"
    with image.open("wb") as file:
        file.truncate(MEGABYTES * 2**20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    said.touch()
    moments = np.random.default_rng(1).uniform(0.05, 0.35, CUTS)
    cuts: list[tuple[int, Path]] = []
    with mounted(str(image), tmp_path / "live", "-o", "loop"):
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path / "live"), str(said)]
        writer = subprocess.Popen(command)
        try:
            while not said.read_text():
                assert writer.poll() is None
                time.sleep(0.02)
            for number, moment in enumerate(moments):
                time.sleep(moment)
                os.kill(writer.pid, signal.SIGSTOP)
                cuts.append((int(said.read_text().split()[-1]), tmp_path / f"cut{number}"))
                # The system may be writing while the image is copied: two copies then differ.
                shutil.copyfile(image, cuts[-1][1])
                while not filecmp.cmp(image, cuts[-1][1], shallow=False):
                    shutil.copyfile(image, cuts[-1][1])
                os.kill(writer.pid, signal.SIGCONT)
        finally:
            writer.kill()
            writer.wait()
    assert len({last for last, _ in cuts}) > CUTS // 2
    for last, copy in cuts:
        with mounted(str(copy), tmp_path / "after", "-o", "loop"):
            for number in range(max(0, last - 39), last + 1):
                # The writer may have been at the next file, whose end it had not yet told.
                store, text = written(tmp_path / "after", f"{number % 40}")
                assert store >= number
                assert text >= number
        copy.unlink()
