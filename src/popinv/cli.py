"""The command `popinv`: what a user does before and after `snakemake`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from popinv import __version__
from popinv.errors import PopinvError

__all__ = ["popinv"]

# Of the forward models; naming them here keeps `popinv --help` quick.
_KINDS = ("porous_flow", "elastodynamics", "lorenz96", "python")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="popinv")
def popinv() -> None:
    """Find the law of a population's parameters, and of the noise, from one look at each system.

    Studies are run by snakemake; these commands help before and after.
    """


@popinv.command()
@click.option("--quiet", is_flag=True, help="Print only what is wrong.")
def doctor(quiet: bool) -> None:
    """Say what the environment is made of and whether it works."""
    from popinv import doctor as examination

    sys.exit(examination.main(["--quiet"] if quiet else []))


@popinv.command("new-study")
@click.argument("name")
@click.option(
    "--forward",
    type=click.Choice(_KINDS),
    default="porous_flow",
    show_default=True,
    help="The forward model; python is a simulator of your own.",
)
@click.option(
    "--observations",
    type=click.Path(path_type=Path),
    help="Your observations (CSV, NetCDF or zarr): a row for each system.",
)
def new_study(name: str, forward: str, observations: Path | None) -> None:
    """Write a configuration NAME.yaml that runs, to be changed."""
    from popinv.new_study import new_study as write

    try:
        written = write(name, forward, observations)
    except PopinvError as error:
        raise click.ClickException(str(error)) from None
    for path in written:
        click.echo(f"wrote {path}")
    click.echo(f"Look at it, then run\n  snakemake --configfile {name}.yaml")


@popinv.command()
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
def show(results: tuple[Path, ...]) -> None:
    """Print what studies found: folders of RESULTS, or their metrics.json; all by default."""
    from popinv.summary import table

    asked = results or (Path("results"),)
    found = [path for given in asked for path in _metrics_in(given)]
    if not found:
        places = ", ".join(map(str, asked))
        raise click.ClickException(f"no metrics.json in {places}: no study is finished there")
    try:
        click.echo(table(found))
    except PopinvError as error:
        raise click.ClickException(str(error)) from None


def _metrics_in(given: Path) -> list[Path]:
    """Return the file itself, that of a study's folder, or those of all studies in a folder."""
    if given.suffix == ".json":
        return [given]
    own = given / "metrics.json"
    return [own] if own.is_file() else sorted(given.glob("*/metrics.json"))


@popinv.command()
@click.option(
    "--configfile", default="config/config.yaml", show_default=True, help="Of the studies."
)
def demand(configfile: str) -> None:
    """Print what jobs asked of the machine beside what they needed."""
    from popinv import demand as comparison

    sys.exit(comparison.main(["--configfile", configfile]))


@popinv.command()
def unlock() -> None:
    """Take away the lock that a killed snakemake has left, unless something still runs."""
    from popinv import unlock as lock

    sys.exit(lock.main([]))
