"""The UM-Bridge server of the tests, running in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER = Path(__file__).with_name("umbridge_server.py")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """Yield the address of the server, which is there until the end of the block."""
    port = free_port()
    log = (folder / "log").open("w")
    server = subprocess.Popen(
        [sys.executable, str(SERVER), str(port)], stdout=log, stderr=subprocess.STDOUT
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, Path(log.name).read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
        log.close()
