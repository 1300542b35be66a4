"""Requests to a UM-Bridge server that misbehaves: all are limited, and none is redirected."""

from __future__ import annotations

import json
import threading
from typing import Any, ClassVar

import numpy as np
import pytest
from tiers import parameters
from umbridge_imitation import Imitation, serving

from popinv.errors import PopinvError, SolverError
from popinv.forward.external.evaluation import CallFailed
from popinv.forward.umbridge import model as umbridge_model
from popinv.forward.umbridge.model import UMBridgeClient

DESCRIPTIONS = ["/Info", "/ModelInfo", "/InputSizes", "/OutputSizes"]
MODEL_CALLS = ["/Evaluate", "/Gradient", "/ApplyJacobian"]


class Complete(Imitation):
    """A server that answers everything, but one path in a way of its own."""

    path_at_fault = ""
    answers: ClassVar[dict[str, Any]] = {
        **Imitation.answers,
        "/ModelInfo": {"support": dict.fromkeys(("Evaluate", "Gradient", "ApplyJacobian"), 1)},
        "/Evaluate": {"output": [[1.0, 2.0, 3.0]]},
        "/Gradient": {"output": [1.0, 2.0]},
        "/ApplyJacobian": {"output": [1.0, 2.0, 3.0]},
    }

    def answer_at_fault(self) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.answer_at_fault() if self.path == self.path_at_fault else super().do_GET()

    def answer(self, question: bytes) -> None:
        at_fault = self.path == self.path_at_fault
        self.answer_at_fault() if at_fault else super().answer(question)


def saying(body: bytes, status: int = 200, **headers: str) -> type[Complete]:
    """Return a server that says this at the path at fault."""

    class Saying(Complete):
        def answer_at_fault(self) -> None:
            self.send(body, status, **headers)

    return Saying


def used(handler: type[Complete], path: str) -> np.ndarray:
    """Let a client make the request of the path, and return the numbers."""
    z, unit, none = np.ones((1, 2)), np.ones((1, 1, 2)), np.zeros(1)
    faulty = type("Faulty", (handler,), {"path_at_fault": path})
    with serving(faulty) as address:
        client = UMBridgeClient(address, "m", {}, 2, 3, seconds=1.0, patience=0.1)
        if path == "/Gradient":
            return client.vjp(z, np.ones((1, 3)), none)
        return client.jvp(z, unit, none) if path == "/ApplyJacobian" else client.call(z, none)


class Dripping(Complete):
    """It is never silent for long, and needs 10 s for a right answer."""

    stopped: threading.Event

    def answer_at_fault(self) -> None:
        self.send(b"")
        for _ in range(40):
            if self.stopped.wait(0.25):
                return
            self.wfile.write(b" ")
        self.wfile.write(json.dumps(self.answers[self.path]).encode())


@parameters("path", [*DESCRIPTIONS, MODEL_CALLS[0]], full=MODEL_CALLS[1:])
def test_every_answer_has_a_time_limit(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(umbridge_model, "_ANSWER_LIMIT", 0.3)
    monkeypatch.setattr(Dripping, "stopped", threading.Event(), raising=False)
    try:
        if path in DESCRIPTIONS:
            with pytest.raises(SolverError, match=rf"no complete answer to {path} within 0.3 s"):
                used(Dripping, path)
        else:
            with pytest.raises(CallFailed, match="time limit of a solve: 1 s"):
                used(Dripping, path)
    finally:
        Dripping.stopped.set()


class Endless(Complete):
    """It writes until the client leaves; 64 MB, so that a client without a limit ends too."""

    written: list[int]

    def answer_at_fault(self) -> None:
        self.send(b"")
        for _ in range(1024):
            self.wfile.write(b" " * 2**16)
            self.written.append(2**16)


@pytest.mark.parametrize("path", [*DESCRIPTIONS, *MODEL_CALLS])
def test_every_answer_has_a_size_limit(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endless, "written", [], raising=False)
    # A number has 64 characters at most.
    numbers = {"/Evaluate": 3, "/ApplyJacobian": 3, "/Gradient": 2}.get(path, 0)
    most = 2**20 + 64 * numbers
    with pytest.raises(SolverError, match=rf"answer to {path} has more than {most} bytes"):
        used(Endless, path)
    # The rest is in the buffers of the system.
    assert sum(Endless.written) < 2**25


@pytest.mark.parametrize("path", ["/Info", "/Evaluate", "/Gradient"])
def test_an_answer_that_says_it_is_too_large_is_not_read(path: str) -> None:
    # Nothing comes, which a client that reads would wait for.
    announcing = saying(b"", **{"Content-Length": "80000000"})
    with pytest.raises(SolverError, match=rf"answer to {path} has 80000000 bytes and is not read"):
        used(announcing, path)


@pytest.mark.parametrize("status", [201, 204, 400, 404, 500, 503])
@pytest.mark.parametrize("path", [*DESCRIPTIONS, *MODEL_CALLS])
def test_an_answer_with_another_status_is_a_failure(path: str, status: int) -> None:
    body = json.dumps(Complete.answers[path]).encode()
    failing = saying(body, status, **{"Content-Length": str(len(body))})
    error = CallFailed if path in MODEL_CALLS else SolverError
    with pytest.raises(error, match=rf"answered.* {status}"):
        used(failing, path)


def test_of_a_long_page_about_a_failure_the_beginning_is_told() -> None:
    page = saying(b"no convergence " + b"." * 2**22, 500)
    with pytest.raises(CallFailed, match="answered 500 Internal Server Error: no convergence"):
        used(page, "/Evaluate")


DEEP = b"[" * 900 + b"]" * 900
DEEPEST = b"[" * 100_000 + b"]" * 100_000
LONG = b"9" * 4000


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        *((path, DEEPEST, "not a UM-Bridge server") for path in DESCRIPTIONS),
        *((path, b"[]", "not a UM-Bridge server") for path in DESCRIPTIONS),
        *((path, b'{"n": ' + LONG + LONG + b"}", "not a UM-Bridge") for path in DESCRIPTIONS),
        ("/Info", b'{"protocolVersion": %s}' % DEEP, "speaks version"),
        ("/Info", b'{"protocolVersion": 1.0, "models": %s}' % DEEP, "not a list of names"),
        (
            "/Info",
            b'{"protocolVersion": 1.0, "models": ["' + b"x" * 10_000 + b'"]}',
            "the server at .* has: xxx",
        ),
        ("/ModelInfo", b'{"support": %s}' % DEEP, "does not support Evaluate"),
        ("/InputSizes", b'{"inputSizes": %s}' % DEEP, "no 'inputSizes' that is a list of whole"),
        ("/OutputSizes", b'{"outputSizes": [%s]}' % LONG, "no 'outputSizes' that is a list"),
        ("/OutputSizes", b'{"outputSizes": [%s]}' % b",".join([b"1"] * 9999), "has 9999"),
        *((path, DEEPEST, "the server answered 200 OK") for path in MODEL_CALLS),
        *((path, b'{"output": %s}' % DEEP, "no 'output'") for path in MODEL_CALLS),
        *((path, b'{"error": %s}' % DEEP, "the server answered 200") for path in MODEL_CALLS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_deep_or_huge_answer_gives_a_short_message(path, body: bytes, message: str) -> None:
    with pytest.raises((PopinvError, CallFailed), match=message) as caught:
        used(saying(body, **{"Content-Length": str(len(body))}), path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/Info", "/InputSizes", "/Evaluate"])
def test_a_redirection_is_not_followed(path: str, status: int) -> None:
    reached: list[str] = []

    class Other(Complete):
        def parse_request(self) -> bool:
            understood = super().parse_request()
            reached.append(self.path)
            return understood

    with serving(Other) as other:
        headers = {"Location": f"{other}{path}?session=abc", "Content-Length": "0"}
        with pytest.raises(SolverError) as caught:
            used(saying(b"", status, **headers), path)
    assert reached == []
    message = str(caught.value)
    assert message.startswith("http://127.0.0.1:")
    assert f"{path} with {status}, a redirection to {other}{path}." in message
    assert "Set 'forward.url'" in message
    assert "session" not in message


def test_a_compressed_answer_is_not_read() -> None:
    with pytest.raises(SolverError, match=r"is compressed \(gzip\)"):
        used(saying(b"", **{"Content-Encoding": "gzip"}), "/Info")


def test_a_password_of_netrc_is_not_sent(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str | None] = []

    class Listening(Complete):
        def do_GET(self) -> None:
            sent.append(self.headers.get("Authorization"))
            super().do_GET()

    (tmp_path / "netrc").write_text("default login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert used(Listening, "/nothing").tolist() == [[1.0, 2.0, 3.0]]
    assert sent == [None]
