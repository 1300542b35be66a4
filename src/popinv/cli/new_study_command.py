"""The command `popinv new-study`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from popinv.cli.programs import program
from popinv.errors import PopinvError
from popinv.forward.examples import example_kinds


@click.command("new-study")
@click.argument("name")
@click.option(
    "--forward",
    type=click.Choice(example_kinds()),
    default="python",
    show_default=True,
    help="The forward model; python, executable and umbridge are simulators of your own.",
)
@click.option(
    "--observations",
    type=click.Path(path_type=Path),
    help="Your observations (CSV, NetCDF or zarr): a row for each system, or for each observation.",
)
@click.option(
    "--layout",
    type=click.Choice(["long", "wide", "replicates"]),
    help="Each row of a CSV file is one observation (long), a system (wide), or one more "
    "observation vector of its system (replicates).  [default: seen from the file]",
)
@click.option("--system", metavar="COLUMN", help="Column that names the systems.")
@click.option("--time", metavar="COLUMN", help="Column of times of a long table.")
@click.option("--value", metavar="COLUMN", help="Column of observed values of a long table.")
@click.option("--label", metavar="COLUMN", help="Column of observed quantities of a long table.")
@click.option(
    "--replicate",
    metavar="COLUMN",
    help="Column that distinguishes replicates of a system, which have the same parameters; 'rows' "
    "if rows of a system are replicates without such a column, 'none' if there are none.",
)
def new_study(
    name: str,
    forward: str,
    observations: Path | None,
    layout: str | None,
    system: str | None,
    time: str | None,
    value: str | None,
    label: str | None,
    replicate: str | None,
) -> None:
    """Write a runnable configuration NAME.yaml, which you can then edit.

    The command finds the use of each column of a CSV file and prints it. It asks about what it
    cannot know, or takes it from --layout, --system, --time, --value, --label and --replicate.
    """
    from popinv.cli.first_observations import described
    from popinv.cli.new_study import new_study as write
    from popinv.observation_files.columns import Given, refuse_to_ask

    if layout == "replicates":
        layout, replicate = "wide", replicate or "rows"
    given = Given(layout, system, time, label, value, replicate)
    if observations is None and given != Given():
        raise click.UsageError("--layout and the columns describe a file: state --observations")
    ask = _ask if _at_a_terminal() else refuse_to_ask
    try:
        written, surveyed = write(name, forward, observations, given, ask)
    except PopinvError as error:
        raise click.ClickException(str(error)) from None
    for path in written:
        click.echo(f"wrote {path}")
    if surveyed and observations:
        for line in [*described(observations, surveyed), *_of_the_table(f"{name}.yaml")]:
            click.echo(line)
    if forward == "umbridge":
        click.echo(f"Start the server in another terminal: python {name}/server.py")
    click.echo(
        f"Look at {'them' if len(written) > 1 else 'it'}, then\n"
        f"  {program('popinv')} try {name}.yaml\n"
        f"  {program('popinv')} run {name}.yaml"
    )


def _of_the_table(configuration: str) -> list[str]:
    """Return what a new study says of its values, of equal systems, and of too few for its law."""
    from popinv.cli.enough import too_few_systems
    from popinv.config.data_files import check_observation_file
    from popinv.config.loading import load_file
    from popinv.config.observations import FileObservations
    from popinv.observation_files.table import described

    (study,) = load_file(configuration).studies.values()
    if not isinstance(study.observations, FileObservations):
        return []
    covariates = study.law.covariate_names()
    levels = study.law.level_columns()
    table = check_observation_file(study.observations, study.forward, covariates, levels)
    of_table = [f"  {line}" for line in described(table)]
    return [*of_table, *(["", *few] if (few := too_few_systems(study, table)) else [])]


def _at_a_terminal() -> bool:
    """Return whether someone can answer."""
    return sys.stdin.isatty()


def _ask(option: str, question: str, answers: Sequence[str]) -> str:
    """Ask at the terminal; the option would have answered."""
    choice = click.Choice(list(answers))
    return str(click.prompt(f"{question} ({option})", type=choice))
