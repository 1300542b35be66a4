"""A whole study with a guarded server, in whose folder no secret is found."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_study import Workflow

from popinv.forward.datasets import reasons_of
from popinv.store import storage

PASSWORD, TOKEN = "the-password-of-the-test", "the-token-of-the-test"
ONE = {"mean": 0.0, "standard_deviation": 1.0}


class Guarded(http.server.BaseHTTPRequestHandler):
    """A linear model behind a password and a token, which repeats both where it fails."""

    protocol_version = "HTTP/1.1"

    def answer(self, content: dict[str, Any]) -> None:
        user = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        right = self.headers["Authorization"] == user
        body = json.dumps(content if right else {"error": "who are you?"}).encode()
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer({"protocolVersion": 1.0, "models": ["forward"]})

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/Evaluate":
            ((a, b),) = given["input"]
            token = given["config"]["token"]
            if a > 1 or token != TOKEN:
                return self.answer({"error": f"a is too large for {token} and {PASSWORD}"})
            return self.answer({"output": [[a, a + b, b]]})
        return self.answer(
            {
                "/ModelInfo": {"support": {"Evaluate": True}},
                "/InputSizes": {"inputSizes": [2]},
                "/OutputSizes": {"outputSizes": [3]},
            }[self.path]
        )

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def workflow(tmp_path: Path) -> Iterator[Workflow]:
    y = np.random.default_rng(0).normal(size=(40, 2)) @ [[0.3, 0.3, 0.0], [0.0, 0.3, 0.3]]
    np.savetxt(tmp_path / "y.csv", y, delimiter=",")
    made = Workflow(tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded) as server:
        # It looks this often, in seconds, whether it is to end.
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        study = {
            "forward": {
                "kind": "umbridge",
                "url": f"http://me:${{TEST_PASSWORD}}@127.0.0.1:{server.server_port}",
                "config": {"token": "${TEST_TOKEN}"},
                "parameters": ["a", "b"],
                "observations": {"count": 3},
                "retries": 0,
            },
            "law": {"kind": "normal", "start": {"a": ONE, "b": ONE}, "spread": 0.3},
            "noise": {"kind": "isotropic"},
            "observations": {"file": "y.csv"},
            "active_learning": {
                "rounds": 1,
                "first_design": 100,
                "chunk_size": 100,
                "failure_budget": 0.9,
            },
            "surrogate": {"width": 16, "depth": 2, "max_epochs": 50},
            "polish": {"draws": 16},
            "descent": {"iterations": 20, "model_samples": 100, "directions": 16},
            "assessment": {"null_resamples": 20, "surrogate_check": 20},
        }
        made.configure({"studies": {"own": study}})
        yield made
        server.shutdown()


def searched(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield all files below a folder, and those in archives, with their content."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    for name in archive.namelist():
                        yield f"{path}/{name}", archive.read(name)


@pytest.mark.full
def test_no_secret_is_in_the_folder_of_a_study(workflow: Workflow, monkeypatch) -> None:
    monkeypatch.setenv("TEST_PASSWORD", PASSWORD)
    done = workflow.run()
    assert done.returncode == 1
    assert "config: it refers to ${TEST_TOKEN}" in done.stdout
    assert "Traceback" not in done.stdout

    monkeypatch.setenv("TEST_TOKEN", TOKEN)
    printed = workflow.printed("all", "report", "--verbose", "--printshellcmds")
    solves = storage.load(workflow.folder / "results/own/rounds/0/solves.zarr.zip")
    a, reasons = solves["z"].values[:, 0], reasons_of(solves)
    np.testing.assert_array_equal(reasons != "", a > 1.0)
    assert set(reasons) == {
        "",
        'the server answered 200: {"error": "a is too large for *** and ***"}',
    }

    files = dict(searched(workflow.folder))
    files["printed"] = printed.encode()
    for secret in (PASSWORD, TOKEN, base64.b64encode(f"me:{PASSWORD}".encode()).decode()):
        assert [name for name, content in files.items() if secret.encode() in content] == []
    # What is searched holds the settings: records, stores, pages, and what Snakemake remembers.
    holders = [name for name, content in files.items() if b"${TEST_PASSWORD}" in content]
    for part in ("/results/own/made/", ".zarr.zip/", "/results/report/", "/.snakemake/"):
        assert any(part in name for name in holders), part

    # Another password is no reason to repeat anything.
    monkeypatch.setenv("TEST_TOKEN", "another")
    assert "Nothing to be done" in workflow.run("all", "--dry-run").stdout
    before = (workflow.folder / "config.yaml").read_text()
    (workflow.folder / "config.yaml").write_text(before.replace("127.0.0.1", "localhost"))
    assert "solving chunk 0" in workflow.run("all", "--dry-run").stdout
