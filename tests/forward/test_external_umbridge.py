"""A simulator behind UM-Bridge, with a real server of the package ``umbridge``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from external_sections import refused, section
from umbridge_imitation import Imitation, serving
from umbridge_running import free_port, running_server

from popinv.errors import ConfigError, SolverError
from popinv.forward.external.evaluation import CallFailed
from popinv.forward.umbridge import model as umbridge_model
from popinv.forward.umbridge.model import UMBridgeClient

pytest.importorskip("umbridge")

GOOD = np.column_stack([np.random.default_rng(0).normal(size=9), np.zeros(9)])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("server")) as address:
        yield address


def model(url: str, **keys: Any):
    keys = {"model": "good", "time_limit": 20, "retries": 0, **keys}
    return section(kind="umbridge", url=url, **keys).model(seed=1)


def expected(z: np.ndarray, factor: float = 1.0) -> np.ndarray:
    return np.stack([factor * z[:, 0], z[:, 0] ** 2, -z[:, 0]], axis=1)


def test_each_system_is_a_request(url: str) -> None:
    solutions = model(url).solve(GOOD)
    assert not solutions.failed.any()
    np.testing.assert_allclose(solutions.observations, expected(GOOD), rtol=1e-15)
    together = model(url, parallel=4).solve(GOOD)
    np.testing.assert_array_equal(together.observations, solutions.observations)


def test_settings_are_passed_on(url: str) -> None:
    solutions = model(url + "/", config={"factor": 3.0}).solve(GOOD)
    np.testing.assert_allclose(solutions.observations, expected(GOOD, 3.0), rtol=1e-15)


def test_failed_evaluations_are_rows_with_reasons(url: str) -> None:
    z = GOOD.copy()
    z[[1, 3, 4, 8], 1] = 1, 6, 7, 4
    solutions = model(url, time_limit=1).solve(z)
    good = np.array([i not in (1, 3, 4, 8) for i in range(len(z))])
    np.testing.assert_array_equal(solutions.failed, ~good)
    np.testing.assert_allclose(solutions.observations[good], expected(z[good]), rtol=1e-15)
    assert solutions.reason[1].startswith("the server answered 500 Internal Server Error")
    assert solutions.reason[3] == "the simulator returned a value that is not finite"
    assert "InvalidOutput" in solutions.reason[4]
    assert solutions.reason[8] == "time limit of a solve: 1 s"


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ({"model": "god"}, ["forward.model", "'god'", "good, derivative", "Did you mean 'good'?"]),
        ({"model": "derivative"}, ["does not support Evaluate"]),
        ({"observations": {"count": 4}}, ["forward.observations: 4", "has 3", "[2, 1]"]),
        ({"parameters": ["a"]}, ["forward.parameters: 1", "has 2", "[1, 1]"]),
    ],
)
def test_a_model_that_does_not_fit_is_refused(url: str, keys: Any, parts: list[str]) -> None:
    with refused(ConfigError, *parts):
        model(url, **keys).solve(GOOD[:, : len(keys.get("parameters", "ab"))])


def test_an_absent_server_is_told() -> None:
    with pytest.raises(SolverError, match=r"no UM-Bridge server answers there.*forward\.url"):
        model(f"http://127.0.0.1:{free_port()}").solve(GOOD)


@pytest.mark.parametrize(("gone", "error"), [(False, CallFailed), (True, SolverError)])
def test_a_lost_connection_is_the_rows_fault_only_if_the_server_lives(gone, error) -> None:
    handler = type("Handler", (Imitation,), {"gone": False})
    with serving(handler) as address:
        client = UMBridgeClient(address, "m", {}, 2, 3, seconds=5.0, patience=1.0)
        handler.gone = gone
        with pytest.raises(error):
            client.call(GOOD[:1], np.zeros(1))


def answering(body: bytes, pause: float = 0.0) -> type[Imitation]:
    """Return a server that answers an evaluation so, in ten pieces with pauses between them."""

    class Answering(Imitation):
        def answer(self, question: bytes) -> None:
            if self.path != "/Evaluate":
                return super().answer(question)
            self.send(b"", **{"Content-Length": str(len(body))})
            size = -(-len(body) // 10)
            for start in range(0, len(body), size):
                time.sleep(pause)
                self.wfile.write(body[start : start + size])
                self.wfile.flush()

    return Answering


def evaluated(handler: type[Imitation], seconds: float = 5.0) -> np.ndarray:
    with serving(handler) as address:
        client = UMBridgeClient(address, "m", {}, 2, 3, seconds, patience=1.0)
        return client.call(GOOD[:1], np.zeros(1))


def test_a_server_that_dribbles_its_answer_runs_out_of_time() -> None:
    # Never silent for long enough to look dead, and yet without end.
    slow = answering(b'{"output": [[1.0, 2.0, 3.0]]}', pause=0.5)
    with pytest.raises(CallFailed, match=r"time limit of a solve: 1 s"):
        evaluated(slow, seconds=1.0)
    assert evaluated(answering(b'{"output": [[1.0, 2.0, 3.0]]}')).tolist() == [[1.0, 2.0, 3.0]]


def test_an_answer_beyond_all_measure_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(umbridge_model, "largest_text", lambda count: 100 * count)
    assert evaluated(answering(b'{"output": [[1.0, 2.0, 3.0]]}'.ljust(300))).size == 3
    with pytest.raises(SolverError, match="has 301 bytes and is not read; at most 300"):
        evaluated(answering(b" " * 301))


@pytest.mark.parametrize(
    "output", ["[[1, 2], [3]]", "[[], [1, 2, 3]]", "[[1, 2]]", "[[1, 2, 3, 4]]"]
)
def test_vectors_of_other_lengths_than_stated_are_refused(output: str) -> None:
    with pytest.raises(SolverError, match=r"by /OutputSizes there are \[3\]"):
        evaluated(answering(f'{{"output": {output}}}'.encode()))


@pytest.mark.parametrize(
    "answer",
    [
        b'{"output": [["1", "2", "3"]]}',
        b'{"output": [[true, 2, 3]]}',
        b'{"output": [[[1, 2, 3]]]}',
        b'{"output": 1}',
        b'{"output": [[1e5, 1, 1' + b"0" * 400 + b"]]}",
        b"[]",
    ],
)
def test_an_answer_that_is_no_list_of_numbers_is_refused(answer: bytes) -> None:
    with pytest.raises(SolverError, match="no 'output' that is a list of lists of numbers"):
        evaluated(answering(answer))


# The last one has the same key twice, so that nobody can tell which of the two is meant.
@pytest.mark.parametrize(
    "answer",
    [b"[" * 100_000, b"not JSON", b'{"output": [[1, 2, 3]], "output": [[1, 2, 4]]}'],
    ids=["deep", "words", "twice"],
)
def test_an_answer_that_is_not_json_is_a_failed_evaluation(answer: bytes) -> None:
    with pytest.raises(CallFailed, match="the server answered 200 OK"):
        evaluated(answering(answer))


def test_what_has_no_value_is_not_finite() -> None:
    assert np.isnan(evaluated(answering(b'{"output": [[null, NaN, nan]]}'))).all()


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        ("/InputSizes", {"inputSizes": "2"}, "no 'inputSizes' that is a list of whole numbers"),
        ("/InputSizes", {"inputSizes": [1.5]}, "no 'inputSizes' that is a list of whole numbers"),
        ("/ModelInfo", {"support": 1}, "does not support Evaluate"),
    ],
)
def test_a_server_that_describes_itself_badly_is_refused(path, answer, message) -> None:
    wrong = type("Wrong", (Imitation,), {"answers": {**Imitation.answers, path: answer}})
    with pytest.raises((ConfigError, SolverError), match=message):
        evaluated(wrong)


def test_something_else_than_a_umbridge_server() -> None:
    class Page(Imitation):
        def do_GET(self) -> None:
            self.send(b"<html>welcome</html>")

    welcome = pytest.raises(SolverError, match=r"not a UM-Bridge server.*welcome")
    with serving(Page) as address, welcome:
        model(address).solve(GOOD)
