"""Damaged answers of a server end in an error of popinv, a failed solve, or the right numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from external_sections import section
from umbridge_imitation import Imitation, serving

from popinv.errors import PopinvError
from popinv.forward.umbridge import model as umbridge_model

Rng = np.random.Generator
Response = tuple[int, dict[str, str], bytes]


def right(z: np.ndarray) -> np.ndarray:
    return np.stack([z[..., 0] + z[..., 1], z[..., 0] * z[..., 1], -z[..., 0]], axis=-1)


def sent(content: Any, status: int = 200, **headers: str) -> Response:
    return status, headers, content if isinstance(content, bytes) else json.dumps(content).encode()


def with_entry(value: Any) -> Callable[[Rng, list[list[float]]], Response]:
    """Return a damage that puts a value in the place of one number."""

    def damage(rng: Rng, output: list[list[float]]) -> Response:
        part = output[rng.integers(2)]
        part[rng.integers(len(part))] = value(rng) if callable(value) else value
        return sent({"output": output})

    return damage


def cut(rng: Rng, output: list[list[float]]) -> Response:
    body = json.dumps({"output": output}).encode()
    return sent(body[: rng.integers(len(body))])


def cut_short_of_its_length(rng: Rng, output: list[list[float]]) -> Response:
    status, _, body = cut(rng, output)
    return status, {"Content-Length": str(len(body) + int(rng.integers(1, 9)))}, body


def other_shape(rng: Rng, output: list[list[float]]) -> Response:
    (a, b), (c,) = output
    shapes = [
        [[a, b, c]],
        [[a], [b, c]],
        [[a], [b], [c]],
        [[a, b], [c], []],
        [[], [a, b], [c]],
        [[a, b, c], []],
        [[a, b]],
        [[a, b], []],
        [[a, b], [c], [c]],
        [[a, b, c], [c]],
        [a, b, c],
        [[[a, b], [c]]],
        [[[a], [b]], [[c]]],
        [{"0": a, "1": b}, {"0": c}],
        {"0": [a, b], "1": [c]},
        {"01": 1, "2": 2},
        "12",
        ["12", "3"],
        [],
        a,
        None,
    ]
    return sent({"output": shapes[rng.integers(len(shapes))]})


def other_object(rng: Rng, output: list[list[float]]) -> Response:
    text = json.dumps(output)
    wrong = json.dumps([[1.0, 2.0], [3.0]])
    bodies = [
        text,
        f'{{"Output": {text}}}',
        f'{{"output": {wrong}, "output": {text}}}',
        f'{{"output": {text}, "output": {wrong}}}',
        f'{{"output": {text}}}{{"output": {wrong}}}',
        f'[{{"output": {text}}}]',
        f'{{"error": {{"type": "ModelError"}}, "output": {text}}}',
        f'{{"output": {text}}} ; ',
        f'{{"result": {{"output": {text}}}}}',
        "",
        "null",
        "<html><body>Bad gateway</body></html>",
        "[" * int(rng.integers(1, 100_000)),
        '{"output": ' + "[" * 500 + "]" * 500 + "}",
        text.replace(".", ","),
        "{'output': " + text + "}",
    ]
    return sent(bodies[rng.integers(len(bodies))].encode())


def other_bytes(rng: Rng, output: list[list[float]]) -> Response:
    body = bytearray(json.dumps({"output": output}).encode())
    # A changed digit would be another number, which nobody could notice.
    places = [i for i, sign in enumerate(body) if chr(sign) not in "0123456789.e+-"]
    for _ in range(rng.integers(1, 4)):
        body[rng.choice(places)] = rng.choice([0, 9, 34, 44, 58, 91, 93, 123, 125, 128, 195, 255])
    return sent(bytes(body))


def other_text(rng: Rng, output: list[list[float]]) -> Response:
    text = json.dumps({"output": output})
    coding = ["utf-16", "utf-32", "utf-8-sig", "utf-8", "latin-1"][rng.integers(5)]
    return sent(text.encode(coding), **{"Content-Type": f"application/json; charset={coding}"})


def other_type(rng: Rng, output: list[list[float]]) -> Response:
    types = ["text/html", "image/png", "", "multipart/form-data", "x" * 3000]
    return sent({"output": output}, **{"Content-Type": types[rng.integers(len(types))]})


def other_status(rng: Rng, output: list[list[float]]) -> Response:
    statuses = [201, 202, 204, 206, 304, 400, 401, 403, 404, 407, 418, 429, 500, 502, 503, 599, 999]
    return sent({"output": output}, statuses[rng.integers(len(statuses))])


def redirected(rng: Rng, output: list[list[float]]) -> Response:
    to = ["/Info", "http://127.0.0.1:1/", "//[", "", "file:///etc/hosts"][rng.integers(5)]
    return sent({"output": output}, int(rng.choice([301, 302, 303, 307, 308])), Location=to)


def other_headers(rng: Rng, output: list[list[float]]) -> Response:
    headers: list[dict[str, str]] = [
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "br, gzip"},
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "-5"},
        {"Content-Length": "many"},
        {"Content-Length": "9" * 30},
        {"Content-Length": "0"},
        {"Content-Length": "3, 4"},
        {"Bad header": "\x00"},
        {"Set-Cookie": "a" * 60_000},
        {f"X-{i}": "x" for i in range(120)},
    ]
    return sent({"output": output}, **headers[rng.integers(len(headers))])


def broken_http(rng: Rng, output: list[list[float]]) -> Response:
    lines = [
        b"",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"\x00\xff" * 40,
        b"200 OK\r\n\r\n",
    ]
    return -1, {}, lines[rng.integers(len(lines))] + b'{"output": [[1, 2], [3]]}'


def too_large(rng: Rng, output: list[list[float]]) -> Response:
    filled = [
        {"output": output, "note": " " * 1_200_000},
        {"output": [[0.125] * 300_000, [1.0]]},
        {"output": [output[0]] * 100_000},
    ]
    return sent(filled[rng.integers(3)])


DAMAGES: list[Callable[[Rng, list[list[float]]], Response]] = [
    with_entry(lambda rng: str(rng.normal())),
    with_entry(lambda rng: [rng.normal()]),
    with_entry(lambda rng: bool(rng.integers(2))),
    with_entry(lambda rng: [float("nan"), float("inf"), -float("inf")][rng.integers(3)]),
    with_entry(lambda rng: 10 ** int(rng.integers(309, 4000))),
    with_entry(lambda rng: {"value": rng.normal()}),
    with_entry(None),
    with_entry("nan"),
    cut,
    cut_short_of_its_length,
    other_shape,
    other_shape,
    other_object,
    other_object,
    other_bytes,
    other_text,
    other_type,
    other_status,
    redirected,
    other_headers,
    broken_http,
    too_large,
]


# After these an answer may still say what it said.
HARMLESS = [other_bytes, other_text, other_type, other_headers]


class Damaged(Imitation):
    """A server that damages the answer to one of the next evaluations."""

    rng = np.random.default_rng(0)
    due = 0
    damage = staticmethod(cut)
    answers: ClassVar[dict[str, Any]] = {
        **Imitation.answers,
        "/OutputSizes": {"outputSizes": [2, 1]},
    }

    def answer(self, question: bytes) -> None:
        if self.path != "/Evaluate":
            return super().answer(question)
        y = right(np.array(json.loads(question)["input"][0])).tolist()
        output = [y[:2], y[2:]]
        cls = type(self)
        cls.due -= 1
        if cls.due != 0:
            return self.reply({"output": output})
        status, headers, body = cls.damage(cls.rng, output)
        self.close_connection = True
        if status < 0:
            self.wfile.write(body)
            return None
        return self.send(body, status, **{"Content-Length": str(len(body)), **headers})


def run_cases(seeds: range, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Solve with one damaged answer in each case, and return how often each outcome came."""
    monkeypatch.setattr(umbridge_model, "_PATIENCE", 0.2)
    outcomes, longest = {"stopped": 0, "failed": 0, "right": 0}, 0
    handler = type("Handler", (Damaged,), {})
    with serving(handler) as address:
        own = section(kind="umbridge", url=address, model="m", retries=0, time_limit=5)
        for seed in seeds:
            handler.rng = rng = np.random.default_rng(seed)
            handler.damage = staticmethod(DAMAGES[rng.integers(len(DAMAGES))])
            # Two systems are four requests. The last one repeats another, and may fail.
            handler.due = int(rng.integers(1, 4))
            z = rng.normal(size=(2, 2))
            try:
                solutions = own.model(1).solve(z)
            except PopinvError as error:
                longest = max(longest, len(str(error)))
                outcomes["stopped"] += 1
                continue
            good = ~solutions.failed
            np.testing.assert_array_equal(
                solutions.observations[good], right(z)[good], err_msg=f"seed {seed}"
            )
            assert np.isnan(solutions.observations[~good]).all(), seed
            assert all(solutions.reason[~good]), seed
            assert not good.all() or handler.damage in HARMLESS, seed
            outcomes["right" if good.all() else "failed"] += 1
    assert longest < 1500
    return outcomes


@pytest.mark.parametrize(
    "seeds", [range(50), pytest.param(range(1000, 2000), marks=pytest.mark.full)], ids=str
)
def test_a_damaged_answer_is_an_error_a_failed_solve_or_right(
    seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = run_cases(seeds, monkeypatch)
    assert min(outcomes.values()) > 0, outcomes
