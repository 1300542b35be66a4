"""Whatever is damaged in a configuration, it is loaded or refused by a message."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from tiers import parameters

from popinv.config.loading import Config, load_file
from popinv.errors import PopinvError

ROOT = Path(__file__).parents[2]
FILES = sorted([ROOT / "config/config.yaml", *(ROOT / "config/examples").glob("*.yaml")])
# What a value or a key can be in YAML.
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 10**9, 10**30, 1e308, float("nan")),
    *(float("inf"), "", "x", "1e400", "\0", "\ud7ff", "../..", "/dev/zero", "a: b", "x" * 5000),
    *([], {}, [[]], [None], [1, "a"], {"a": 1}, {1: 2}, {None: None}, ["x"] * 300),
    *({"kind": "none"}, {"count": 10**9}, [[1, 2], [3]], {"file": "missing.csv"}, b"\xff"),
    *(yaml.safe_load("2024-02-30x"), yaml.safe_load("2024-02-28"), yaml.safe_load("12:30:00")),
]
TOKENS = (
    *("*a", "&a ", "<<: *a", "? ", "- ", ": ", "[", "]", "{", "}", "|", ">", "%", "@", "`", "#"),
    *("!!python/object:os.system ", "!!set ", "!!binary ", "!!timestamp ", "!!int ", "\t", "\r"),
    *("---\n", "...\n", "\ufeff", "\x85", "\u2028", "'", '"', "\\", "1_0", "0o7", ".inf", "~", "="),
    *("0x", "-.", "1e", "2024-13-45", "99:99:99", "0b"),
    *("9" * 5000, "[" * 3000, "{a: " * 3000, "- " * 3000),
    # As deep as the reader of YAML can just go, and what comes after it perhaps not.
    *("[" * depth + "]" * depth for depth in (80, 160, 240, 320)),
    *("{a: " * depth + "1" + "}" * depth for depth in (80, 160, 240)),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the keys of all that is in a value."""
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


def inside(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def other_value(content: Any, rng: random.Random) -> None:
    *path, last = rng.choice(places(content)[1:])
    inside(content, tuple(path))[last] = copy.deepcopy(rng.choice(ODD))


def other_key(content: Any, rng: random.Random) -> None:
    path = rng.choice(
        [place for place in places(content) if isinstance(inside(content, place), dict)]
    )
    section = inside(content, path)
    key = rng.choice([0, None, True, "", "kind", "x" * 500, "a.b", -1, "count", "\u00e9", 1.5])
    section[key] = section.pop(rng.choice(list(section))) if section else 1


def lost(content: Any, rng: random.Random) -> None:
    *path, last = rng.choice(places(content)[1:])
    del inside(content, tuple(path))[last]


def moved(content: Any, rng: random.Random) -> None:
    """Put a part of the configuration in another place."""
    found = places(content)[1:]
    part = copy.deepcopy(inside(content, rng.choice(found)))
    *path, last = rng.choice(found)
    inside(content, tuple(path))[last] = part


def nested(content: Any, rng: random.Random) -> None:
    part: Any = 1
    for _ in range(rng.choice([5, 60, 120])):
        part = [part] if rng.random() < 0.5 else {"a": part}
    *path, last = rng.choice(places(content)[1:])
    inside(content, tuple(path))[last] = part


OF_CONTENT: tuple[Callable[[Any, random.Random], None], ...] = (
    *(other_value, other_value, other_key, lost, moved, nested),
)


def changed_text(text: bytes, rng: random.Random) -> bytes:
    """Return the text of a file with one thing changed."""
    at, kind = rng.randrange(len(text)), rng.randrange(5)
    if kind == 0:
        return text[:at] + bytes([text[at] ^ 1 << rng.randrange(8)]) + text[at + 1 :]
    if kind == 1:
        return text[:at] + rng.choice(TOKENS).encode() + text[at:]
    if kind == 2:
        return text[:at] + text[at + rng.randrange(1, 60) :]
    lines = text.splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    if kind == 3:
        lines[one] = lines[one] + lines[other]
    else:
        lines[one] = b" " * rng.randrange(9) + lines[one].lstrip()
    return b"".join(lines)


@cache
def content_of(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def damaged(file: Path, rng: random.Random) -> bytes:
    """Return a configuration with one to three things changed."""
    if rng.random() < 0.5:
        text = file.read_bytes()
        for _ in range(rng.randrange(1, 4)):
            text = changed_text(text, rng)
        return text
    content = copy.deepcopy(content_of(file))
    for _ in range(rng.randrange(1, 4)):
        if len(places(content)) > 1:
            rng.choice(OF_CONTENT)(content, rng)
    return yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass")


@parameters("cases", [60], full=[1000])
def test_a_damaged_configuration_is_loaded_or_refused_by_a_message(tmp_path, monkeypatch, cases):
    # Paths in the examples are relative to the project.
    monkeypatch.chdir(ROOT)
    rng, refused = random.Random(cases), 0
    for number in range(cases):
        file = tmp_path / "config.yaml"
        file.write_bytes(damaged(rng.choice(FILES), rng))
        try:
            assert isinstance(load_file(file), Config)
        except PopinvError:
            refused += 1
        except Exception as error:
            kept = file.read_bytes()[:3000]
            raise AssertionError(f"case {number}: {type(error).__name__} of\n{kept!r}") from error
    assert refused > cases / 3
