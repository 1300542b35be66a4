"""Write the documentation of the configuration from its models.

``python -m popinv.config.document`` writes ``config/README.md`` and ``config/schema.json``;
with ``--check`` it writes nothing and exits with 1 if either differs from what it would write.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from popinv.config.loading import json_schema

__all__ = ["main", "readme", "schema"]

_Schema = dict[str, Any]

_INTRODUCTION = """\
# The configuration

<!-- Written by `python -m popinv.config.document` from the models in src/popinv/config. -->

`config.yaml` says which populations are studied and how. It is checked as a whole before any
work: a key that does not exist, a value that cannot be, or sections that contradict each other
stop the run with a message that lists all of them.

The file has a few keys for everything, and a section for each study:

```yaml
seed: 1                 # every random number derives from it
results: results        # the folder of the results
studies:
  first_study: ...      # results/first_study
  second_study: ...     # results/second_study
```

Studies do not know of each other: adding one, or changing one, leaves the others as they are.

## A small study

A study needs a forward model and observations; all else has defaults. This one draws a synthetic
population of porous samples from a truth, adds noise, and recovers both:

```yaml
studies:
  small:
    forward: {kind: porous_flow}
    observations:
      truth:
        law: {mean: 0.5, standard_deviation: 0.6, length: 0.3}
        noise: {amplitude: 0.1, length: 0.1}
```

## Your own observations

Name your file instead of a truth, and say where your sensors are:

```yaml
studies:
  mine:
    forward:
      kind: porous_flow
      sensors: {positions: [0.1, 0.25, 0.4, 0.55, 0.7, 0.85]}
    observations:
      file: data/observations.csv
      heldout_fraction: 0.2
```

The path is relative to the working directory. Each row of the file is one system, each column one
sensor, in the order of `positions`. All values are finite numbers in the unit of the forward
model's output; leave out systems with missing values, and any column that only counts the rows.

- `.csv`: numbers separated by commas (or semicolons, or tabs), with or without a first line of
  column names.
- `.nc`: NetCDF; the variable `observations` of two dimensions (systems, sensors), or the only
  variable of two dimensions.
- `.zarr`: zarr; as NetCDF.

## All keys

In the tables below, `start.length` is the key `length` in the mapping `start`. "needed" stands
where a key has no default. Numbers may be written as `0.001` or `1e-3`. `schema.json` beside this
file is the same as a JSON schema; editors that know YAML schemas complete and check keys with it,
given a first line `# yaml-language-server: $schema=schema.json`.
"""


def schema() -> str:
    """Return the text of ``config/schema.json``."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def readme() -> str:
    """Return the text of ``config/README.md``."""
    return "\n".join([_INTRODUCTION, *_sections(json_schema())])


def _sections(root: _Schema) -> Iterator[str]:
    study = _resolved(root["properties"]["studies"]["additionalProperties"], root)
    simple, nested = _split(root, root)
    yield from _table("### The whole file", root, simple + nested, root)
    simple, nested = _split(study, root)
    yield from _table("### `studies.<name>`", study, simple + nested, root)
    for name, _ in nested:
        node = study["properties"][name]
        heading = f"### `studies.<name>.{name}`"
        members = node.get("oneOf")
        if members is None:
            yield from _table(heading, _resolved(node, root), None, root)
            continue
        yield f"{heading}\n\n{_described(node)} One of the following.\n"
        for member in (_resolved(entry, root) for entry in members):
            kind = member["properties"].get("kind")
            title = f"`kind: {kind['const']}`" if kind else member["description"].split(",")[0]
            yield from _table(f"#### `{name}`: {title}", member, None, root)


def _split(node: _Schema, root: _Schema) -> tuple[list[Any], list[Any]]:
    """Return the plain keys of a mapping, and those that are sections of their own."""
    entries = list(node["properties"].items())
    nested = [entry for entry in entries if _is_section(entry[1], root)]
    return [entry for entry in entries if entry not in nested], nested


def _is_section(node: _Schema, root: _Schema) -> bool:
    members = node.get("oneOf", [node])
    return all("properties" in _resolved(member, root) for member in members)


def _table(
    heading: str, node: _Schema, entries: Sequence[tuple[str, _Schema]] | None, root: _Schema
) -> Iterator[str]:
    yield f"{heading}\n"
    if text := node.get("description"):
        yield text.replace("\n\n", "\n") + "\n"
    yield "| Key | Type | Default | Allowed | Meaning |"
    yield "|---|---|---|---|---|"
    required = node.get("required", [])
    if entries is None:
        yield from _rows(node, "", root)
    else:
        for name, entry in entries:
            yield _row(name, entry, name in required, root)
    yield ""


def _rows(node: _Schema, prefix: str, root: _Schema) -> Iterator[str]:
    required = node.get("required", [])
    for name, entry in node["properties"].items():
        if _is_section(entry, root):
            # The mapping itself, then its keys: they have the defaults.
            yield _row(prefix + name, entry, name in required, root)
            yield from _rows(_resolved(entry, root), f"{prefix}{name}.", root)
        else:
            yield _row(prefix + name, entry, name in required, root)


def _row(path: str, node: _Schema, required: bool, root: _Schema) -> str:
    cells = (
        f"`{path}`",
        _type(node, root),
        _default(node, required, root),
        _allowed(node),
        _described(node) or _described(_resolved(node, root)),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _described(node: _Schema) -> str:
    return " ".join(str(node.get("description", "")).split())


def _default(node: _Schema, required: bool, root: _Schema) -> str:
    if required:
        return "needed"
    if "x-default" in node:
        return str(node["x-default"])
    if "default" not in node or isinstance(node["default"], dict):
        return "as below" if _is_section(node, root) else ""
    return f"`{json.dumps(node['default'])}`".replace('"', "")


def _type(node: _Schema, root: _Schema) -> str:
    node = _resolved(node, root)
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
        return "mapping" if inner == "mapping" else f"mapping of names to {inner}s"
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
        "--folder", type=Path, default=Path("config"), help="where the files are (config)"
    )
    options = parser.parse_args(arguments)
    drifted = False
    for name, text in (("README.md", readme()), ("schema.json", schema())):
        file = options.folder / name
        if options.check:
            if not file.is_file() or file.read_text(encoding="utf-8") != text:
                print(f"{file} differs; run python -m popinv.config.document", file=sys.stderr)
                drifted = True
        else:
            file.write_text(text, encoding="utf-8")
    return int(drifted)


if __name__ == "__main__":
    sys.exit(main())
