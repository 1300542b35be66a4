"""Write the documentation of the configuration from its models.

``python -m popinv.config.document`` writes ``config/README.md``, and the schema where the catalog
of Snakemake workflows looks for it, ``workflow/schemas/config.schema.yaml``; with ``--check`` it
writes nothing and exits with 1 if either differs from what it would write.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from popinv.config.loading import json_schema
from popinv.location import project_folder

# Where they are in a checkout.
README = Path("config", "README.md")
SCHEMA = Path("workflow", "schemas", "config.schema.yaml")

# Kinds that share this many keys have one list for them; what all kinds share is listed once.
_FEWEST_SHARED = 4

_Schema = dict[str, Any]


class _Key(NamedTuple):
    """A key of the configuration, and its type, default, bounds and meaning in words."""

    path: str
    text: str


_INTRODUCTION = "config/introduction.md"
"""The text before the list of keys."""


def schema() -> str:
    """Return the text of ``workflow/schemas/config.schema.yaml``."""
    head = "# Written by python -m popinv.config.document.\n"
    # Through JSON, so that equal parts are written out instead of as YAML's aliases.
    plain = json.loads(json.dumps(json_schema()))
    return head + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def readme() -> str:
    """Return the text of ``config/README.md``."""
    introduction = (project_folder() / _INTRODUCTION).read_text(encoding="utf-8")
    return "\n".join([introduction, *_sections(json_schema())])


def _sections(root: _Schema) -> Iterator[str]:
    study = _resolved(root["properties"]["studies"]["additionalProperties"], root)
    simple, nested = _split(root, root)
    yield from _part("### The whole file", root, _entries(root, simple + nested, root))
    for name, entry in nested:
        section = _resolved(entry, root)
        yield from _part(f"### `{name}`", section, _keys(section, "", root))
    simple, nested = _split(study, root)
    yield from _part("### `studies.<name>`", study, _entries(study, simple + nested, root))
    for name, _ in nested:
        node = study["properties"][name]
        heading = f"### `studies.<name>.{name}`"
        members = node.get("oneOf")
        if members is None:
            section = _resolved(node, root)
            yield from _part(heading, section, _keys(section, "", root))
        else:
            yield f"{heading}\n\n{_described(node)} It is one of the following.\n"
            yield from _kinds(name, [_resolved(member, root) for member in members], root)


def _kinds(name: str, members: Sequence[_Schema], root: _Schema) -> Iterator[str]:
    """Yield the keys of the kinds of a section; keys of several kinds are listed once."""
    titles = [_title(member) for member in members]
    lists = [list(_keys(member, "", root)) for member in members]
    owners: dict[_Key, list[int]] = {}
    for k, keys in enumerate(lists):
        for key in keys:
            owners.setdefault(key, []).append(k)
    shared: dict[tuple[int, ...], list[_Key]] = {}
    for key, kinds in owners.items():
        if len(kinds) > 1:
            shared.setdefault(tuple(kinds), []).append(key)
    shared = {
        kinds: keys
        for kinds, keys in shared.items()
        if len(keys) >= _FEWEST_SHARED or len(kinds) >= len(members) - 1
    }
    for k, (member, keys) in enumerate(zip(members, lists, strict=True)):
        further: list[str] = []
        for owned, common in shared.items():
            if k not in owned:
                continue
            named = _owners([titles[each] for each in owned], len(members))
            if k == owned[0]:
                yield from _part(f"#### `{name}`: keys of {named}", {}, common)
            keys = [key for key in keys if key not in common]
            further.append(f"the keys of {named}")
        also = f" It also has {' and '.join(further)}, above." if further else ""
        yield from _part(f"#### `{name}`: {_heading(member)}", member, keys, also)


def _title(member: _Schema) -> str:
    kind = member["properties"].get("kind")
    return f"`{kind.get('const', 'module:Class')}`" if kind else ""


def _heading(member: _Schema) -> str:
    title = _title(member)
    return f"`kind: {title[1:]}" if title else str(member["description"]).split(",")[0]


def _owners(titles: Sequence[str], members: int) -> str:
    # One member stands for the kinds of the user's own, which state all of their keys.
    if len(titles) == members - 1:
        return "all kinds"
    return f"{', '.join(titles[:-1])} and {titles[-1]}"


def _split(node: _Schema, root: _Schema) -> tuple[list[Any], list[Any]]:
    """Return the plain keys of a mapping, and those that are sections of their own."""
    entries = list(node["properties"].items())
    nested = [entry for entry in entries if _is_section(entry[1], root)]
    return [entry for entry in entries if entry not in nested], nested


def _is_section(node: _Schema, root: _Schema) -> bool:
    members = node.get("oneOf", [node])
    return all("properties" in _resolved(member, root) for member in members)


def _optional_section(node: _Schema, root: _Schema) -> _Schema | None:
    """Return the section of a key that may be null instead."""
    others = [member for member in node.get("anyOf", []) if member.get("type") != "null"]
    if len(others) != 1 or len(node["anyOf"]) != 2:
        return None
    section = _resolved(others[0], root)
    return section if "properties" in section else None


def _part(heading: str, node: _Schema, keys: Iterable[_Key], further: str = "") -> Iterator[str]:
    """Yield a heading, the description of a section, and its keys."""
    yield f"{heading}\n"
    if text := " ".join(node.get("description", "").split()) + further:
        yield _filled(text) + "\n"
    yield from (_filled(key.text, "  ") for key in keys)
    yield ""


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, 120, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def _entries(
    node: _Schema, entries: Sequence[tuple[str, _Schema]], root: _Schema
) -> Iterator[_Key]:
    required = node.get("required", [])
    for name, entry in entries:
        yield _key(name, entry, name in required, root)


def _keys(node: _Schema, prefix: str, root: _Schema) -> Iterator[_Key]:
    required = node.get("required", [])
    known: dict[tuple[_Key, ...], str] = {}
    for name, entry in node["properties"].items():
        key = _key(prefix + name, entry, name in required, root)
        if _is_section(entry, root):
            # The mapping itself, then its keys: they have the defaults.
            yield key
            yield from _keys(_resolved(entry, root), f"{prefix}{name}.", root)
        elif section := _optional_section(entry, root):
            inner = tuple(_keys(section, "", root))
            if inner in known:
                also = f" It has the keys of `{known[inner]}`."
                yield _key(prefix + name, entry, name in required, root, also)
                continue
            known[inner] = name
            yield key
            yield from _keys(section, f"{prefix}{name}.", root)
        else:
            yield key


def _key(path: str, node: _Schema, required: bool, root: _Schema, also: str = "") -> _Key:
    meaning = (_described(node) or _described(_resolved(node, root))) + also
    kinds, allowed = _type(node, root), _allowed(node)
    # A choice of names says by itself that it is one.
    kind = kinds.replace("name", allowed) if "`" in allowed else f"{kinds}, {allowed}".rstrip(", ")
    facts = "; ".join(filter(None, (kind, _default(node, required, root))))
    return _Key(path, f"- **`{path}`** ({facts}). {meaning}".rstrip())


def _described(node: _Schema) -> str:
    return " ".join(str(node.get("description", "")).split())


def _default(node: _Schema, required: bool, root: _Schema) -> str:
    if required:
        return "needed"
    if "x-default" in node:
        return f"default: {node['x-default']}"
    default, section = node.get("default", {}), _is_section(node, root)
    if isinstance(default, dict) and (section or not default):
        return ""
    return f"default: `{json.dumps(default)}`".replace('"', "")


def _type(node: _Schema, root: _Schema) -> str:
    node = _resolved(node, root)
    if "x-type" in node:
        return str(node["x-type"])
    for union in ("anyOf", "oneOf"):
        if union in node:
            names = [_type(member, root) for member in node[union]]
            return " or ".join(dict.fromkeys(names))
    if "const" in node or "enum" in node:
        return "name"
    if node.get("type") == "array":
        items = _type(node["items"], root)
        return f"list of {items}s" if " " not in items else f"list of ({items})"
    if node.get("type") == "object":
        each = node.get("additionalProperties")
        inner = _type(each, root) if isinstance(each, dict) else "mapping"
        plural = inner if inner.endswith("s") else f"{inner}s"
        return "mapping" if inner == "mapping" else f"mapping of names to {plural}"
    return {
        "boolean": "true or false",
        "integer": "whole number",
        "null": "null",
        "number": "number",
        "string": "text",
    }[node["type"]]


def _allowed(node: _Schema) -> str:
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{choice}`" for choice in node["enum"])
    for member in node.get("anyOf", []) + node.get("oneOf", []):
        if text := _allowed(member):
            return text
    bounds = [
        f"{words} {node[key]:g}"
        for key, words in (
            ("exclusiveMinimum", "more than"),
            ("minimum", "at least"),
            ("exclusiveMaximum", "less than"),
            ("maximum", "at most"),
        )
        if key in node
    ]
    return ", ".join(bounds)


def _resolved(node: _Schema, root: _Schema) -> _Schema:
    reference = node.get("$ref")
    return root["$defs"][reference.rsplit("/", 1)[1]] if reference else node


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the documentation; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only compare; exit with 1 on drift")
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="the top of the checkout (this folder)"
    )
    options = parser.parse_args(arguments)
    drifted = False
    for name, text in ((README, readme()), (SCHEMA, schema())):
        file = options.folder / name
        if options.check:
            if not file.is_file() or file.read_text(encoding="utf-8") != text:
                print(f"{file} differs; run python -m popinv.config.document", file=sys.stderr)
                drifted = True
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return int(drifted)


if __name__ == "__main__":
    sys.exit(main())
