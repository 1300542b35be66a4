"""A small server that looks like one of UM-Bridge, for tests of servers that misbehave."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar


class Imitation(http.server.BaseHTTPRequestHandler):
    """A server whose evaluations end the connection, and which may be gone afterwards."""

    gone = False
    answers: ClassVar[dict[str, Any]] = {
        "/Info": {"protocolVersion": 1.0, "models": ["m"]},
        "/ModelInfo": {"support": {"Evaluate": True}},
        "/InputSizes": {"inputSizes": [2]},
        "/OutputSizes": {"outputSizes": [3]},
    }

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def reply(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send(body, **{"Content-Length": str(len(body))})

    def do_GET(self) -> None:
        if not self.gone:
            self.reply(self.answers["/Info"])

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, question: bytes) -> None:
        if self.path in self.answers:
            self.reply(self.answers[self.path])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Yield the address of a server with this handler."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        # The client may leave in the middle of an answer.
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        # It looks this often, in seconds, whether it is to end.
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
