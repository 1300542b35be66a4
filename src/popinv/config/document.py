"""Write the documentation of the configuration from its models.

``python -m popinv.config.document`` writes ``config/README.md``, and the schema where the catalog
of Snakemake workflows looks for it, ``workflow/schemas/config.schema.yaml``; with ``--check`` it
writes nothing and exits with 1 if either differs from what it would write.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from popinv.config.loading import json_schema

# Where they are in a checkout.
README = Path("config", "README.md")
SCHEMA = Path("workflow", "schemas", "config.schema.yaml")

_Schema = dict[str, Any]

_INTRODUCTION = """\
# The configuration

<!-- Written by `python -m popinv.config.document` from the models in src/popinv/config. -->

`config.yaml` says which populations are studied and how. It is checked as a whole before any
work: an unknown key, an invalid value, or sections that contradict each other
stop the run with a message that lists all of them.

The file has a few keys for everything, and a section for each study:

```yaml
seed: 1                 # every random number derives from it
results: results        # the folder of the results
studies:
  first_study: ...      # results/first_study
  second_study: ...     # results/second_study
```

Studies are independent: adding or changing one leaves the others unchanged.

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
sensor, in the order of `positions`. Where the forward model has time, the columns are all times
at the first sensor, then all times at the second, and so on. Values are in the unit of the forward
model's output.

- `.csv`: numbers separated by commas (or semicolons, or tabs), with or without a first line of
  column names. `system_column`, `replicate_column` and `noise_scale_column` name columns that hold
  something else. A file may be compressed: `.csv.gz`, `.csv.bz2`, `.csv.xz`.
- `.parquet`: Parquet, read as the CSV file of the same cells; it needs the extra `parquet`.
- `.nc`: NetCDF. The variable `observations` has the dimensions (system, observation) or (system,
  place, time); another name will do if no other variable has two or three dimensions. A variable
  `noise_scale` (system) and a coordinate of the dimension `system` are read where they are there,
  and a dimension `replicate` with `replicates: rows`. A file whose variables have one dimension is
  a long table.
- `.zarr`: zarr; as NetCDF.

**Missing values** are an empty cell, `NA` or `NaN` (in NetCDF and zarr `NaN` or the fill value);
text and infinities never are. They stop the run with the row and the column, unless
`missing: mask` is set. Then the entries that are missing hold the mean of those that are not, and
each simulated system lacks the entries that an observed system, drawn at random, lacks. Data and
model then have the same law at the right answer, provided that absence does not depend on the
value: a sensor that fails when the pressure is high biases the answer. Every system needs one
observation at least, every sensor two among the systems that are learned from.

**Known noise scales** say that some systems were observed with more noise than others: the noise of
system n has the covariance `s_n^2 Gamma`, and Gamma, which is recovered, is that of scale 1. The
scales are positive, without unit, and independent of the systems' parameters.

```yaml
studies:
  gaps_and_scales:
    forward:
      kind: porous_flow
      sensors: {positions: [0.1, 0.25, 0.4, 0.55, 0.7, 0.85]}
    observations:
      file: data/observations.csv       # a first line such as sample,scale,p1,p2,p3,p4,p5,p6
      missing: mask
      system_column: sample
      noise_scale_column: scale
```

## Your own simulator

Any simulator can replace the forward models of the package: a function in Python, a UM-Bridge
server, or a program that reads and writes files. Name its parameters, describe the observations
that it returns, and give the law of the parameters, which then has no default:

```yaml
studies:
  mine:
    forward:
      kind: python
      function: simulator:solve         # solve() in simulator.py
      path: my_simulator                # the folder of simulator.py
      parameters: [ka, {name: volume, units: L}]
      observations: {name: concentration, units: mg/L, times: [0.5, 1, 2, 4, 8]}
    law:
      kind: lognormal
      start:
        ka: {mean: 0, standard_deviation: 0.5}
        volume: {mean: 4, standard_deviation: 0.5}
    observations: {file: data/observations.csv}
```

- `python`: `def solve(z)` takes an array with a row for each system and a column for each
  parameter, and returns one with a row for each system and a column for each observation.
- `umbridge`: one request for each system; input and output vectors are concatenated.
- `executable`: `command: [./simulator, "{input}", "{output}"]` is run in the working directory,
  with two files in a temporary folder.

`config/examples/own_simulator.yaml`, `own_simulator_umbridge.yaml` and
`own_simulator_executable.yaml` call one simulator in the three ways.

**Failures.** A system whose call raises an exception, ends with an error, crashes, exceeds
`time_limit` or returns a value that is not finite, or is masked, is recorded as failed, with the
reason, and the others are kept. A call of several systems that fails is halved until the systems at
fault stand alone; the systems of a call that takes too long are tried one at a time. The reasons
and their numbers are in `logs/collect_solves.*.log` and in `metrics.json`;
`active_learning.failure_budget` says how many failures a study tolerates. A simulator that cannot
be used at all stops the run: it cannot be imported, started or reached, it returns an array of
another shape than described, or ten systems, each called alone, crashed it or ran out of time
before any succeeded.

**Each row on its own.** The observations of a system must depend on its own parameters only, not on
what else is in the call, on earlier calls, or on chance. Each job therefore solves two of its
systems twice, at most: the first one alone before its call, and a random one alone after all
others; where the results differ the run stops. A job with one system solves it twice. Results may
differ by 1e-5 of the usual size of an observation, since sums in another order differ in their last
digits, or by 1e-4 in single precision. A simulator that draws random numbers takes them from a seed
that it is given for each system: as the argument `seeds` of the function, or as the column `seed`
of the program's input (`pass_seed: true`). A server uses a fixed seed.

**Derivatives.** Set `derivatives` for a function that returns a Jacobian or is written in torch; a
server reports its own. Derivatives are used if the estimates use the forward model itself
(`polish.solver_seconds`). At the start they are compared with differences of solves, and wrong ones
stop the run.

**Changes.** The solves are repeated when the simulator changes: the module of the function and what
it imports from the folder `path` (comments do not count), or the program and those of its arguments
that are files; and the files listed under `files`. The code of a server is not visible to popinv:
change `version` when the code has changed.

**Cores.** Jobs run side by side, each with one call at a time, and libraries are told to use one
thread (`OMP_NUM_THREADS=1`). `parallel` allows more calls within a job, for a server with several
workers above all.

## All keys

In the tables below, `start.length` is the key `length` in the mapping `start`. "needed" stands
where a key has no default. Numbers may be written as `0.001` or `1e-3`.
`workflow/schemas/config.schema.yaml` is the same as a JSON schema; editors that know YAML schemas
complete and check keys with it, given a first line
`# yaml-language-server: $schema=../workflow/schemas/config.schema.yaml`.
"""


def schema() -> str:
    """Return the text of ``workflow/schemas/config.schema.yaml``."""
    head = "# Written by python -m popinv.config.document.\n"
    # Through JSON, so that equal parts are written out instead of as YAML's aliases.
    plain = json.loads(json.dumps(json_schema()))
    return head + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def readme() -> str:
    """Return the text of ``config/README.md``."""
    return "\n".join([_INTRODUCTION, *_sections(json_schema())])


def _sections(root: _Schema) -> Iterator[str]:
    study = _resolved(root["properties"]["studies"]["additionalProperties"], root)
    simple, nested = _split(root, root)
    yield from _table("### The whole file", root, simple + nested, root)
    for name, entry in nested:
        yield from _table(f"### `{name}`", _resolved(entry, root), None, root)
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
            named = kind.get("const", "module:Class") if kind else ""
            title = f"`kind: {named}`" if named else member["description"].split(",")[0]
            yield from _table(f"#### `{name}`: {title}", member, None, root)


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
            continue
        yield _row(prefix + name, entry, name in required, root)
        if section := _optional_section(entry, root):
            yield from _rows(section, f"{prefix}{name}.", root)


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
    default, section = node.get("default", {}), _is_section(node, root)
    if isinstance(default, dict) and (section or not default):
        return "as below" if section else ""
    return f"`{json.dumps(default)}`".replace('"', "")


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
