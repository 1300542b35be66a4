"""Secrets: the configuration names them as ``${NAME}``, and the environment holds them.

Sections keep the text ``${NAME}``. Whatever is stored, printed or compared therefore shows that
text, and only the code that needs the value reads it, with :class:`Environment`. Passwords that the
configuration holds in plain text are refused, and messages about it mask them.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from popinv.errors import ConfigError

HIDDEN = "***"
"""What stands in place of a secret."""

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:pass|passwords?|passwd|passphrase|pwd|secrets?|token|credentials?|authorization"
    r"|auth|bearer|apikey|(?:api|access|private|secret)_key)$"
)
# Names that mean a secret in the query of an address only.
_SECRET_IN_QUERY = ("code", "key", "sig", "signature")
# All of user:password in an address. A password may hold signs that an address must not hold.
_USER = re.compile(r"(?<=://)(?:[^\s/?#]*|[^\s]*:[^\s]*)(?=@)")
# name=value, alone, as an option of a program, or in the query of an address.
_ASSIGNED = re.compile(r"(^|[\s?&;])(-{0,2})([A-Za-z][\w.-]*)=([^\s&;]+)")


def masked(value: Any) -> Any:
    """Return a value of the configuration with passwords and the like replaced by ``***``.

    Masked are the user in an address (``http://user:password@host``), values of names such as
    ``token`` or ``api_key`` (in mappings, as ``name=value``, and as an option before its value),
    but not texts with a reference ``${NAME}``.
    """
    return _masked(value, secret=False)


def plain_secrets(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the places in a value that :func:`masked` changes."""
    yield from _changes(value, masked(value), place)


def _changes(
    value: Any, hidden: Any, place: tuple[str | int, ...]
) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _changes(entry, hidden[key], (*place, key))
    elif isinstance(value, list | tuple):
        for i, (entry, other) in enumerate(zip(value, hidden, strict=True)):
            yield from _changes(entry, other, (*place, i))
    elif value is not hidden and value != hidden:
        yield place


def _masked(value: Any, secret: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(entry, secret or _is_secret(key)) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        before = [None, *value]
        return [
            _masked(entry, secret or (_is_option(option) and not _is_dash(entry)))
            for option, entry in zip(before, value, strict=False)
        ]
    if secret and isinstance(value, str | int | float) and not isinstance(value, bool):
        return value if _REFERENCE.search(str(value)) else HIDDEN
    return _masked_text(value) if isinstance(value, str) else value


def _masked_text(text: str) -> str:
    def user(found: re.Match[str]) -> str:
        name, colon, password = found[0].partition(":")
        return found[0] if _REFERENCE.search(password if colon else name) else HIDDEN

    def assigned(found: re.Match[str]) -> str:
        start, dashes, name, given = found.groups()
        in_query = start in ("?", "&") and name.lower() in _SECRET_IN_QUERY
        if not (in_query or _is_secret(name)) or _REFERENCE.search(given):
            return found[0]
        return f"{start}{dashes}{name}={HIDDEN}"

    return _ASSIGNED.sub(assigned, _USER.sub(user, text))


def _is_secret(name: Any) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name))
    return bool(_SECRET_NAME.search(re.sub(r"[^a-z0-9]+", "_", words.lower())))


def _is_option(word: Any) -> bool:
    return _is_dash(word) and "=" not in word and _is_secret(word)


def _is_dash(word: Any) -> bool:
    return isinstance(word, str) and word.startswith("-")


class Environment:
    """The values of the variables that some values of the configuration refer to.

    Parameters
    ----------
    values : dict of str to Any
        Values with references ``${NAME}``, at any depth, by the keys that hold them.

    Raises
    ------
    ConfigError
        If the environment lacks one of the variables, or has it empty.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values: dict[str, str] = {}
        for key, value in values.items():
            for name in _references(value):
                if not os.environ.get(name):
                    raise ConfigError(
                        f"{key}: it refers to ${{{name}}}, but the environment has no variable "
                        f"'{name}', or an empty one; set it where popinv is started: export "
                        f"{name}=..."
                    )
                self._values[name] = os.environ[name]
        self._hidden = {form for value in self._values.values() for form in _forms(value)}

    def hide(self, *texts: str) -> None:
        """Hide further texts, and what base64 makes of them, as Basic authentication does."""
        for text in texts:
            self._hidden |= {*_forms(text), base64.b64encode(text.encode()).decode()}

    def filled(self, value: Any, written: Callable[[str], str] = str) -> Any:
        """Return a value with the variables in place of its references.

        Parameters
        ----------
        value : Any
            Text, or mappings and lists that hold texts. Keys of mappings stay as they are.
        written : callable
            How the value of a variable is written, such as with the escapes of an address.
        """
        if isinstance(value, Mapping):
            return {key: self.filled(entry, written) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.filled(entry, written) for entry in value]
        if isinstance(value, str):
            return _REFERENCE.sub(lambda found: written(self._values[found[1]]), value)
        return value

    def masked(self, text: str) -> str:
        """Return a text, such as the answer of a server, without the values of the variables."""
        # A long value may contain a short one.
        for form in sorted(self._hidden, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
        return text


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _references(entry)
    elif isinstance(value, str):
        yield from _REFERENCE.findall(value)


def _forms(value: str) -> set[str]:
    """Return the ways in which addresses, JSON, Python and HTML write a text."""
    in_json = (json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
    forms = {value, quote(value, safe=""), quote_plus(value), repr(value)[1:-1], *in_json}
    return {*forms, html.escape(value)}
