"""Passwords and tokens for a UM-Bridge server: they reach it, and nothing else."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from external_sections import problem, section
from umbridge_imitation import Imitation, serving

from popinv.errors import ConfigError, SolverError
from popinv.forward.external.journal import simulator_key
from popinv.workflow.records import identity

# Signs that addresses, JSON and HTML write in another way.
PASSWORD, TOKEN, KEY = 'pa/ss@wo:rd "<ü', "tok&en=?#1", "the-key"
Z = np.array([[1.0, 2.0], [3.0, 4.0]])


class Guarded(Imitation):
    """It wants all of a password, a token in the address and a key, and repeats them in errors."""

    def refused(self) -> bool:
        parts = urlsplit(self.path)
        self.path = parts.path
        user = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        right = self.headers["Authorization"] == user and parse_qs(parts.query) == {"t": [TOKEN]}
        if not right:
            self.send(b"", 401, **{"Content-Length": "0"})
        return not right

    def do_GET(self) -> None:
        if not self.refused():
            super().do_GET()

    def answer(self, question: bytes) -> None:
        if self.refused():
            return None
        if self.path != "/Evaluate":
            return super().answer(question)
        given = question.decode()
        return self.reply({"error": [given, PASSWORD, TOKEN, self.headers["Authorization"]]})


@pytest.fixture
def address() -> Iterator[str]:
    with serving(Guarded) as given:
        yield given


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("OWN_PASSWORD", PASSWORD), ("OWN_TOKEN", TOKEN), ("OWN_KEY", KEY)):
        monkeypatch.setenv(name, value)


def guarded(address: str, **keys):
    url = address.replace("://", "://me:${OWN_PASSWORD}@") + "/?t=${OWN_TOKEN}"
    settings = {"api_key": "Bearer ${OWN_KEY}", "deep": [{"x": "${OWN_KEY}"}], "level": 2}
    keys = {"url": url, "model": "m", "config": settings, "retries": 0, **keys}
    return section(kind="umbridge", **keys)


def test_secrets_reach_the_server_and_no_reason(address: str) -> None:
    solutions = guarded(address).model(seed=1).solve(Z)
    assert solutions.failed.all()
    reason = solutions.reason[0]
    # The server has repeated the request, and has therefore received it.
    assert r"\"api_key\": \"Bearer ***\"" in reason
    assert r"\"deep\": [{\"x\": \"***\"}], \"level\": 2" in reason
    assert reason.endswith('"***", "***", "Basic ***"]}')


def test_a_refusal_shows_no_password(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_PASSWORD", "wrong-one")
    with pytest.raises(SolverError) as caught:
        guarded(address).model(seed=1)
    assert "me:${OWN_PASSWORD}@127.0.0.1" in str(caught.value)
    assert "refused access to /Info (it answered 401 Unauthorized)" in str(caught.value)
    assert "wrong-one" not in str(caught.value)


def test_a_host_from_the_environment_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_HOST", "hidden.invalid")
    with pytest.raises(SolverError, match="no UM-Bridge server answers there") as caught:
        guarded("http://${OWN_HOST}:1").model(seed=1)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("value", [None, ""])
def test_an_absent_variable_is_told_before_the_run(value, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = guarded("http://localhost:1")
    forward.check_files()
    if value is None:
        monkeypatch.delenv("OWN_KEY")
    else:
        monkeypatch.setenv("OWN_KEY", value)
    with pytest.raises(ConfigError, match=r"config: it refers to \$\{OWN_KEY\}.*export OWN_KEY="):
        forward.check_files()


def test_another_secret_is_the_same_simulator_and_another_address_is_not(monkeypatch) -> None:
    def known_as(address: str, **keys) -> tuple[str, str]:
        forward = guarded(address, **keys)
        return simulator_key(forward), identity([{"forward": forward}])

    before = known_as("http://localhost:1")
    monkeypatch.setenv("OWN_KEY", "another")
    assert known_as("http://localhost:1") == before
    for other in (known_as("http://localhost:2"), known_as("http://localhost:1", config={})):
        assert other[0] != before[0]
        assert other[1] != before[1]


LITERAL = "s3cr3t"


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"url": f"http://me:{LITERAL}@localhost:1"}, "forward.url"),
        ({"url": f"http://{LITERAL}@localhost:1"}, "forward.url"),
        ({"url": f"http://me:{LITERAL}/x@localhost:1"}, "forward.url"),
        ({"url": f"http://me:{LITERAL}#@localhost:1"}, "forward.url"),
        ({"url": f"http://localhost:1?token={LITERAL}"}, "forward.url"),
        ({"url": f"http://localhost:1?a=1&sig={LITERAL}"}, "forward.url"),
        ({"url": [f"http://me:{LITERAL}@localhost:1"]}, "forward.url"),
        ({"config": {"token": LITERAL}}, "forward.config.token"),
        ({"config": {"deep": [{"apiKey": LITERAL}]}}, "forward.config.deep[0].apiKey"),
        ({"config": {"X-Auth-Token": {"x": LITERAL}}}, "forward.config.X-Auth-Token.x"),
        ({"config": {"mirror": f"ftp://me:{LITERAL}@host/x"}}, "forward.config.mirror"),
        ({"password": LITERAL}, "forward.password"),
        ({"address": f"http://me:{LITERAL}@localhost:1"}, "forward.address"),
    ],
)
def test_a_secret_in_plain_text_is_refused_and_not_shown(keys, place: str) -> None:
    message = problem(kind="umbridge", **{"url": "http://localhost:1", **keys})
    assert place in message
    assert LITERAL not in message


@pytest.mark.parametrize(
    "words", [[f"--token={LITERAL}"], ["--api-key", LITERAL], [f"http://me:{LITERAL}@host/x"]]
)
def test_a_secret_on_a_command_line_is_refused_and_not_shown(words: list[str]) -> None:
    for files in (["{input}", "{output}"], []):
        message = problem(kind="executable", command=["./program", *files, *words])
        assert f"forward.command[{len(files) + len(words)}]" in message
        assert "read it from the environment" in message
        assert LITERAL not in message


def test_settings_that_only_look_like_secrets_are_allowed() -> None:
    settings = {
        "tokenizer": "bpe",
        "tokens": 100,
        "key": "a",
        "token": None,
        "password": "${OWN_KEY}",
        "secret": True,
        "page": "https://host/@1.0?a=b",
    }
    assert section(kind="umbridge", url="http://a:1/b?c=d", config=settings).config == settings
    command = ["./program", "{input}", "{output}", "--token", "--n=1", "key=a"]
    assert section(kind="executable", command=command).command == command
