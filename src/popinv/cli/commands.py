"""The command `popinv`: steps before and after `snakemake`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from popinv import __version__
from popinv.cli.new_study_command import new_study
from popinv.cli.programs import program
from popinv.errors import PopinvError

_GROUPS = {
    "Run a study": ("new-study", "example", "try", "plan", "run", "show", "report"),
    "Use the answer": ("predict", "add", "design"),
    "Judge and compare": ("compare", "withdraw", "verify"),
    "Help": ("docs", "doctor", "unlock"),
}


class _InGroups(click.Group):
    """Commands in groups, in the order of use."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, names in _GROUPS.items():
            with formatter.section(heading):
                rows = [(name, self.commands[name].get_short_help_str(90)) for name in names]
                formatter.write_dl(rows, col_max=10)


_NEXT = """\b
A study from beginning to end:
  popinv new-study mine --observations data.csv
  popinv try mine.yaml         solve a few systems: does the simulator work, how fast is it?
  popinv run mine.yaml         run the study; after an interruption it continues
  popinv show mine.yaml        print the answer again
  popinv report mine.yaml      write pages with all figures
  popinv predict results/mine new.csv
  popinv docs                  read the documentation
"""


@click.group(cls=_InGroups, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_NEXT)
@click.version_option(__version__, prog_name="popinv")
def popinv() -> None:
    """Recover the law of a population's parameters and the covariance of the noise.

    Studies are run by Snakemake, which 'run' and 'report' call.
    """


popinv.add_command(new_study)


@popinv.command(short_help="List the example studies, or copy one into this folder.")
@click.argument("name", required=False)
def example(name: str | None) -> None:
    """List the example studies, or copy the example NAME and its files into config/examples."""
    from popinv.cli.example_studies import copy_example, example_studies

    if name is None:
        for known, text in example_studies().items():
            click.echo(f"{known:25s} {text}")
        click.echo(f"\n{program('popinv')} example NAME copies one into this folder")
        return
    try:
        written = copy_example(name)
    except PopinvError as error:
        raise click.ClickException(str(error)) from None
    for path in written:
        click.echo(f"wrote {path}")
    click.echo(f"Look at it, then\n  {program('popinv')} run {written[0]}")


@popinv.command(
    "try",
    short_help=("Solve a few systems of a configuration: does it work, and how fast is it?"),
)
@click.argument("configuration", type=click.Path(path_type=Path))
@click.option(
    "--systems",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help=("Number of systems to solve."),
)
def attempt(configuration: Path, systems: int) -> None:
    """Check a CONFIGURATION and solve a few systems of its first design.

    It reports how long the solves may take. Then it prints the results, the time for a solve, and
    the number and the time of the solves that the study needs.
    """
    from popinv.cli.try_study import try_studies

    try:
        solved = try_studies(configuration, systems, click.echo)
    except PopinvError as error:
        raise click.ClickException(str(error)) from None
    if not solved:
        raise click.ClickException("no system was solved")


_TO_SNAKEMAKE: dict[str, Any] = {
    "context_settings": {"ignore_unknown_options": True},
    "options_metavar": "",
}
_ARGUMENTS = click.argument(
    "arguments",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[CONFIGURATION] [-- OPTIONS OF SNAKEMAKE]",
)


@popinv.command(short_help="Print what the studies of a configuration will take.")
@click.argument("configuration", required=False, type=click.Path(path_type=Path))
def plan(configuration: Path | None) -> None:
    """Print the jobs of the studies of a CONFIGURATION, their time, memory and disk.

    The numbers are upper limits for a new run. They follow from measurements of other studies, and
    from the time of a solve, which 'popinv try' measures. For jobs that have run, the command also
    prints the memory and the time that they requested and used.
    """
    from popinv.cli.plan import plan as planned
    from popinv.config.loading import load_file
    from popinv.location import default_configuration

    try:
        click.echo(planned(load_file(configuration or default_configuration())))
    except PopinvError as error:
        raise click.ClickException(str(error)) from None


@popinv.command("run", short_help="Run the studies of a configuration.", **_TO_SNAKEMAKE)
@_ARGUMENTS
def run_studies(arguments: tuple[str, ...]) -> None:
    """Run the studies of a CONFIGURATION, or continue a run that was stopped.

    \b
      popinv run mine.yaml
      popinv run mine.yaml -n             print what would run, and run nothing
      popinv run mine.yaml --cores 4      use four cores; the default is all
      popinv run mine.yaml --verbose      print all messages of Snakemake and the jobs
      popinv run mine.yaml -- --profile slurm --default-resources slurm_partition=short

    Snakemake runs the studies. Its own options and targets follow the configuration, best after
    '--'; 'snakemake --help' lists them. Without a configuration, popinv runs
    config/config.yaml of this folder, or else the example study of the package.
    """  # noqa: D301
    from popinv.cli.run import after_the_run, is_dry, shows_steps, split

    configuration, options = split(arguments)
    _snakemake(configuration, options)
    if shows_steps(options) and not is_dry(options):
        click.echo("\n" + after_the_run(configuration, options))


@popinv.command("report", short_help="Write the pages of the report.", **_TO_SNAKEMAKE)
@_ARGUMENTS
def write_report(arguments: tuple[str, ...]) -> None:
    """Write the report of a CONFIGURATION, and run what is missing for it.

    \b
      popinv report mine.yaml
      popinv report results       only the first page, from what is in this folder

    The arguments are the same as for 'popinv run'. For a folder of results, nothing is run and no
    configuration is read.
    """  # noqa: D301
    from popinv.cli.run import report_page, split

    configuration, options = split(arguments)
    if len(options) == 1 and Path(options[0]).is_dir():
        from popinv.report.pages import write_index_of

        try:
            click.echo(write_index_of(Path(options[0])))
        except PopinvError as error:
            raise click.ClickException(str(error)) from None
        return
    try:
        page = report_page(configuration, options)
    except PopinvError as error:
        raise click.ClickException(str(error)) from None
    _snakemake(configuration, [page, *options])
    click.echo(page)


def _snakemake(configuration: str | None, options: Sequence[str]) -> None:
    """Run Snakemake, and leave with its status if it fails."""
    from popinv.cli.run import check_there, run

    try:
        check_there(configuration, options)
    except PopinvError as error:
        raise click.ClickException(str(error)) from None
    if status := run(configuration, options):
        sys.exit(status)


@popinv.command(short_help="Print what studies found.")
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@click.option("--systems", is_flag=True, help="Print the parameters of each system.")
def show(results: tuple[Path, ...], systems: bool) -> None:
    """Print what studies and their uses found.

    RESULTS are configurations, folders of studies, of uses or of test problems, or files such as
    their metrics.json; all studies in the folder 'results' by default.
    """
    from popinv.cli.show import metrics_files, outdated, table
    from popinv.cli.show import systems as of_systems

    try:
        files = metrics_files(results)
        for line in outdated(results):
            click.echo(line, err=True)
        click.echo((of_systems if systems else table)(files))
    except PopinvError as error:
        raise click.ClickException(str(error)) from None


@popinv.command("design", short_help="Choose where to observe how many systems.")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--sensors", metavar="N,...", help="Places or times of each system; default all.")
@click.option("--systems", metavar="N,...", help="Number of systems.")
@click.option("--replicates", metavar="N,...", help="Observations at each place; default 1.")
@click.option(
    "--for", "wanted", multiple=True, metavar="NAME", help="Parameter to be known; default all."
)
@click.option(
    "--criterion",
    type=click.Choice(["D", "A", "systems"]),
    default="D",
    show_default=True,
    help="Confidence ellipsoid, mean square error, or parameters of single systems.",
)
@click.option("--candidates", metavar="PLACES", help="Times or places: 1,2,5 or FIRST:LAST:STEP.")
@click.option(
    "--choose", multiple=True, metavar="NAME=1,2,4", help="Candidates for a dose or load."
)
@click.option(
    "--groups", type=click.IntRange(1), default=1, help="Groups with places of their own."
)
@click.option("--budget", type=float, help="The largest cost.")
@click.option(
    "--costs",
    type=(float, float),
    metavar="SYSTEM OBSERVATION",
    help="Cost of a system and of an observation; default 1 0.",
)
@click.option("--width", metavar="W", help="Wished width of the 95 % intervals: 0.1, or 20%.")
@click.option("--robust", is_flag=True, help="Average over plausible truths.")
@click.option("--alone", is_flag=True, help="Leave out the information of the finished study.")
@click.option(
    "--checked",
    type=click.IntRange(0),
    default=2000,
    show_default=True,
    help="Simulated systems that check the prediction.",
)
@click.option("--study", metavar="NAME", help="The study, if there are several.")
@click.option("--to", type=click.Path(path_type=Path), help="Folder of the design.")
def design_of(
    source: Path,
    sensors: str | None,
    systems: str | None,
    replicates: str | None,
    wanted: tuple[str, ...],
    alone: bool,
    to: Path | None,
    **settings: Any,
) -> None:
    """Choose where to observe how many systems, so that law and noise are known best.

    \b
      popinv design mine.yaml --sensors 10 --systems 200 --for length
      popinv design mine.yaml --sensors 2:10:2 --budget 1000 --costs 5 1
      popinv design mine.yaml --sensors 4 --width 20% --for rate
      popinv design mine.yaml --sensors 4 --systems 60 --choose dose=1,2,4
      popinv design results/mine --sensors 5 --systems 50

    SOURCE is a configuration that need not have run, or the folder of a finished study. Of a
    finished study, the answer counts as true, and its information counts. The command prints the
    places, and the standard errors of law and noise. It writes tables, pictures, and a
    configuration that can be run.
    """  # noqa: D301
    from popinv.cli.design import told_design

    sizes = {"sensors": sensors, "systems": systems, "replicates": replicates}
    try:
        click.echo(
            told_design(source, to, sizes=sizes, parameters=wanted, previous=not alone, **settings)
        )
    except PopinvError as error:
        raise click.ClickException(str(error)) from None


@popinv.command(short_help="Predict new systems from a finished study.")
@click.argument("results", type=click.Path(path_type=Path))
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--at", multiple=True, metavar="PLACE,...", help="Times or sensors to predict.")
@click.option(
    "--through",
    type=click.Choice(["surrogate", "solver"]),
    default="surrogate",
    show_default=True,
    help="Solve the kept draws in place of the surrogate.",
)
@click.option(
    "--fixed", is_flag=True, help="Take law and noise as known; by default their error counts."
)
@click.option("--draws", type=click.IntRange(20), default=400, help="Draws kept of each system.")
@click.option("--seed", type=click.IntRange(0), help="By default that of the study.")
@click.option("--cores", type=click.IntRange(1), default=1, help="Number of processes.")
@click.option("--to", type=click.Path(path_type=Path), help="Folder of the results.")
def predict(
    results: Path,
    table: Path,
    at: tuple[str, ...],
    through: str,
    fixed: bool,
    draws: int,
    seed: int | None,
    cores: int,
    to: Path | None,
) -> None:
    """Predict the systems of a TABLE from the folder RESULTS of a finished study.

    \b
      popinv predict results/mine new.csv
      popinv predict results/mine new.csv --at 24,48     what is observed at these times
      popinv predict results/mine new.csv --through solver

    The TABLE has the form of the study's own, with any of its sensors or times. Nothing is fitted.
    The command writes the parameters of each system, what is observed at every sensor with and
    without noise, whether the system belongs to the population (a p-value), and a picture of each.
    """  # noqa: D301
    from popinv.cli.predict import predicted

    try:
        text = predicted(
            results,
            table,
            to,
            at,
            through=through,
            seed=seed,
            cores=cores,
            kept_draws=draws,
            law_and_noise="fixed" if fixed else "uncertain",
        )
    except PopinvError as error:
        raise click.ClickException(str(error)) from None
    click.echo(text)


@popinv.command(short_help="Print the comparisons of the models of a configuration.")
@click.argument("configuration", type=click.Path(path_type=Path))
def compare(configuration: Path) -> None:
    """Print the tables of the comparisons of a CONFIGURATION, after snakemake has run them.

    The key `comparisons` names them: each is a list of studies of the same observations.
    """
    from popinv.cli.show import comparisons_of

    try:
        click.echo(comparisons_of(configuration))
    except PopinvError as error:
        raise click.ClickException(str(error)) from None


@popinv.command(
    short_help="Find the answer of a study without some of its systems.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("configuration", type=click.Path(path_type=Path))
@click.option("--study", metavar="NAME", help="The study, if the configuration has several.")
@click.option(
    "--systems",
    metavar="SYSTEM,...",
    default="",
    help="The systems that withdraw, by name, or by number if they have none; separated by commas. "
    " [default: none, which gives the influence of every system]",
)
@click.option("--rerun", is_flag=True, help="Run the whole study again without them, too.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF SNAKEMAKE]...")
def withdraw(
    configuration: Path, study: str | None, systems: str, rerun: bool, options: tuple[str, ...]
) -> None:
    """Find the answer without the systems that withdraw from a study, and the effect of each.

    \b
      popinv withdraw mine.yaml                          the influence of every system
      popinv withdraw mine.yaml --systems 17,bore_3      the answer without two of them
      popinv withdraw mine.yaml --systems 17 --rerun     and the answer of a new run

    A study that is not finished runs first. The configuration's key downstream.withdrawal does the
    same.
    """  # noqa: D301
    from popinv.cli.withdraw import configured, told

    named = [name.strip() for name in systems.split(",") if name.strip()]
    try:
        written, folder = configured(configuration, study, named, rerun)
    except PopinvError as error:
        raise click.ClickException(str(error)) from None
    _snakemake(str(written), [f"{folder}/metrics.json", *options])
    if (folder / "metrics.json").exists() and not {"-n", "--dry-run"} & set(options):
        click.echo(told(folder))


@popinv.command(
    short_help="Add systems to a finished study, and go on from its answer.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("configuration", type=click.Path(path_type=Path))
@click.argument("file")
@click.option("--study", metavar="NAME", help="The study, if the configuration has several.")
@click.option(
    "--inputs", metavar="TABLE", help="Inputs over time of the systems, if FILE has none."
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF SNAKEMAKE]...")
def add(
    configuration: Path,
    file: str,
    study: str | None,
    inputs: str | None,
    options: tuple[str, ...],
) -> None:
    """Add the systems of a FILE, of the form of the study's own, to a finished study.

    \b
      popinv add mine.yaml more.csv

    Only what the systems change is computed. A test says whether they have the same law and the
    same noise. The file is written into the configuration, as 'observations.additions', and taken
    out again if the run fails.
    """  # noqa: D301
    from popinv.cli.add import checked_addition, told

    try:
        addition = checked_addition(configuration, file, study, inputs)
    except PopinvError as error:
        raise click.ClickException(str(error)) from None
    dry = bool({"-n", "--dry-run", "--dryrun"} & set(options))
    addition.write()
    try:
        _snakemake(str(configuration), list(options))
    except BaseException:
        addition.take_back()
        raise
    if dry:
        addition.take_back()
        return
    click.echo(told(addition))


@popinv.command(short_help="Compare results with the records of the jobs that made them.")
@click.argument("folders", nargs=-1, metavar="[RESULTS]...", type=click.Path(path_type=Path))
@click.option(
    "--configfile",
    type=click.Path(path_type=Path),
    help="Also report the results that were made with other settings than these.",
)
@click.option("--seal", is_flag=True, help="Write the hash of all records, if everything is whole.")
@click.option("--sealed", metavar="HASH", help="The hash that the records must have.")
def verify(
    folders: tuple[Path, ...], configfile: Path | None, seal: bool, sealed: str | None
) -> None:
    """Read the results of folders or of a configuration, and report which are whole.

    Each job has left a record of its settings, its inputs and its outputs beside them. The command
    reads the folder 'results' by default. It runs nothing, and writes nothing but a seal. The exit
    status is 1 if anything is not whole.

    \b
      popinv verify results/mine --seal            the hash to publish with the results
      popinv verify results/mine --sealed 8c1f...  whether they are the published results
    """  # noqa: D301
    from popinv.cli.verify import verified

    try:
        text, whole = verified(folders or (Path("results"),), configfile, sealed, seal)
    except PopinvError as error:
        raise click.ClickException(str(error)) from None
    click.echo(text)
    if not whole:
        raise SystemExit(1)


@popinv.command(short_help="Open the documentation in a browser.")
@click.argument("page", default="index")
@click.option("--no-browser", is_flag=True, help="Print the file and open nothing.")
def docs(page: str, no_browser: bool) -> None:
    """Open a PAGE of the documentation, such as 'data', in a browser.

    The site is the one that 'make docs' has built in a checkout. Otherwise the command says where
    the documentation is.
    """
    import webbrowser

    from popinv.cli.documentation import built_site, page_named, where_to_read

    if (site := built_site()) is None:
        click.echo(where_to_read())
        return
    try:
        file = page_named(site, page)
    except PopinvError as error:
        raise click.ClickException(str(error)) from None
    click.echo(file)
    if not no_browser and not webbrowser.open(file.as_uri()):
        click.echo("no browser was found; open this file in one", err=True)


@popinv.command(short_help="Report what is installed and whether it works.")
@click.argument("configuration", required=False, type=click.Path(path_type=Path))
@click.option("--quiet", is_flag=True, help="Print only what is wrong.")
def doctor(configuration: Path | None, quiet: bool) -> None:
    """Report what is installed and whether it works, for the studies of a CONFIGURATION.

    Without a configuration, everything installed must work, and optional packages may be missing.
    """
    from popinv.cli import doctor as examination

    kinds: list[str] = []
    if configuration is not None:
        from popinv.config.loading import load_file

        try:
            kinds = sorted(
                {study.forward.kind for study in load_file(configuration).studies.values()}
            )
        except PopinvError as error:
            raise click.ClickException(str(error)) from None
    sys.exit(examination.main([*(["--quiet"] if quiet else []), *kinds]))


@popinv.command(short_help="Remove the lock that a killed snakemake has left.")
def unlock() -> None:
    """Remove the lock that a killed snakemake has left, unless something still runs."""
    from popinv.cli import unlock as lock

    sys.exit(lock.main())
