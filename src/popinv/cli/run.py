"""Run studies by Snakemake with the workflow of this package."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from popinv.cli.programs import program, snakefile_option
from popinv.cli.show import metrics_files, table
from popinv.cli.unlock import why_locked
from popinv.config.loading import load_file
from popinv.config.study import Config
from popinv.config.yaml_files import read_yaml
from popinv.errors import ConfigError
from popinv.judgement.files import METRICS_FILE
from popinv.location import default_configuration, project_folder
from popinv.workflow.job import GO_ON, PROGRESS, SPOKEN_FOR

_CONFIGURATIONS = {".json", ".yaml", ".yml"}
_OPTIONS, _DIRECTORY = {"--configfile", "--configfiles"}, {"--directory", "-d"}
# Where Snakemake looks for a profile in the working directory.
_PROFILES = ("default", "profiles/default")
# Options with which Snakemake prints its own messages, or no run takes place.
_PLAIN = {
    "--verbose", "--quiet", "-q", "--logger", "--unlock",
    "--summary", "--detailed-summary", "-D", "-S", "--dag", "--rulegraph", "--filegraph", "--d3dag",
    "--lint", "--list-rules", "-l", "--list-target-rules", "--lt", "--list-changes",
    "--list-untracked", "--printshellcmds", "-p", "--debug-dag", "--touch", "-t", "--archive",
    "--version", "-v",
}  # fmt: skip
_DRY = {"--dry-run", "--dryrun", "-n"}
# The tables of more studies are not printed after a run.
_MOST_TABLES = 3
# What a shell reports of a program that Ctrl+C has ended.
_INTERRUPTED = 130


def split(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the configuration, if the first argument is one, and what is left for Snakemake.

    Examples
    --------
    >>> split(["mine.yaml", "-n"])
    ('mine.yaml', ['-n'])
    >>> split(["--cores", "2"])
    (None, ['--cores', '2'])
    """
    first = arguments[0] if arguments else ""
    if Path(first).suffix in _CONFIGURATIONS and not first.startswith("-"):
        return arguments[0], list(arguments[1:])
    return None, list(arguments)


def check_there(configuration: str | None, options: Sequence[str]) -> None:
    """Check that the configurations can be read, and that Snakemake can keep its records.

    Snakemake itself ends with a traceback, or takes very long, before it reads the workflow.

    Raises
    ------
    ConfigError
        As :func:`popinv.config.yaml_files.read_yaml`, or if the working directory cannot be written
        to.
    """
    folder = _working_folder(options)
    records = folder / ".snakemake"
    kept = records if records.exists() else folder
    if kept.exists() and not os.access(kept, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{kept.resolve()} cannot be written to, and Snakemake keeps its records there, for a "
            "dry run too. Make it writable, or name another working directory with --directory."
        )
    given = [] if configuration is None else [configuration]
    for path in [*given, *_named(options)]:
        if Path(path).suffix != ".json":
            read_yaml(path)


def _named(options: Sequence[str]) -> list[str]:
    """Return the configurations in options of Snakemake."""
    return _values(options, _OPTIONS)


def _configuration(configuration: str | None, options: Sequence[str]) -> Config:
    """Return the configuration of a run; of several in the options, the last one counts."""
    named = [configuration] if configuration else _named(options)[-1:]
    return load_file(named[0] if named else default_configuration())


def _working_folder(options: Sequence[str]) -> Path:
    """Return the folder in which Snakemake runs."""
    return Path([*_values(options, _DIRECTORY), "."][0])


def _values(options: Sequence[str], names: set[str]) -> list[str]:
    """Return the values of options of Snakemake with these names."""
    found: list[str] = []
    for i, option in enumerate(options):
        name, equal, value = option.partition("=")
        if name in names and equal:
            found.append(value)
        elif name in names:
            found += takewhile(lambda word: not word.startswith("-"), options[i + 1 :])
    return found


def report_page(configuration: str | None, options: Sequence[str] = ()) -> str:
    """Return the page on which the report of a configuration begins, the target that makes it.

    It is in the folder of results of the configuration, be it named by itself or in the options of
    Snakemake. Of several in the options Snakemake takes the last one's folder.

    Raises
    ------
    ConfigError
        If the configuration does not pass the checks.
    """
    return f"{_configuration(configuration, options).results}/report/index.html"


# The package's extras by the executors of Snakemake that they install.
_EXTRAS = {"slurm": "slurm", "cluster-generic": "cluster"}


def command(configuration: str | None, options: Sequence[str]) -> list[str]:
    """Return the arguments of ``snakemake`` that run a configuration.

    Parameters
    ----------
    configuration : str, optional
        By default the configuration of this folder, or popinv's own.
    options : sequence of str
        Options and targets of Snakemake. They come first, as --configfile takes all that follow.
    """
    named = [] if configuration is None else ["--configfile", configuration]
    with_profiles = _with_own_profiles(options)
    for profile in _values(with_profiles, {"--profile"}):
        _check_executor(Path(profile))
    return [*with_profiles, *snakefile_option(), *_profile(options), *named]


def _with_own_profiles(options: Sequence[str]) -> list[str]:
    """Return options in which ``--profile slurm`` names the profile of the package."""
    found: list[str] = []
    for before, option in zip(["", *options], options, strict=False):
        if before == "--profile":
            option = _own_profile(option)
        elif option.startswith("--profile="):
            option = f"--profile={_own_profile(option.removeprefix('--profile='))}"
        found.append(option)
    return found


def _check_executor(profile: Path) -> None:
    """Check that the plugin which a profile needs is installed; Snakemake prints its usage else."""
    file = profile / "config.yaml"
    executor = str(read_yaml(file).get("executor", "")) if file.is_file() else ""
    plugin = f"snakemake_executor_plugin_{executor.replace('-', '_')}"
    if executor in ("", "local", "dryrun", "touch") or find_spec(plugin) is not None:
        return
    package = plugin.replace("_", "-")
    extra = _EXTRAS.get(executor)
    extras = f" (popinv's extra: python -m pip install 'popinv[{extra}]')" if extra else ""
    raise ConfigError(
        f"{file}: its executor '{executor}' needs the package {package}, which is not installed: "
        f"python -m pip install {package}{extras}"
    )


def _own_profile(name: str) -> str:
    """Return the package's profile of a name, or the name where Snakemake finds one itself."""
    profile = project_folder() / "workflow/profiles" / name
    known = Path(name), Path(click.get_app_dir("snakemake"), name)
    own = name != "default" and profile.is_dir() and not any(path.exists() for path in known)
    return str(profile) if own else name


def _profile(options: Sequence[str]) -> list[str]:
    """Return the option that names popinv's own profile, where this folder has another one.

    Snakemake would take it without a request, and a profile can hold expressions that are run.
    """
    found = [path for path in _PROFILES if Path(path).exists()]
    if not found or not snakefile_option() or _values(options, {"--workflow-profile"}):
        return []
    click.echo(
        f"{found[0]} of this folder is not used, since a profile can run code. To use it: "
        f"--workflow-profile {found[0]}",
        err=True,
    )
    return ["--workflow-profile", str(project_folder() / "profiles/default")]


def _with_profile_stated(arguments: Sequence[str]) -> list[str]:
    """Return arguments with the options of popinv's own profile, if Snakemake would take it.

    Snakemake announces each profile that it takes.
    """
    profile = project_folder() / "profiles/default"
    taken = _values(arguments, {"--workflow-profile"}) or [str(profile)]
    if Path(taken[-1]).resolve() != profile.resolve():
        return list(arguments)
    options: list[str] = []
    for key, value in read_yaml(profile / "config.yaml").items():
        values = value if isinstance(value, list) else [value] if value is not True else []
        options += [f"--{key}", *map(str, values)]
    without = ["--workflow-profile", "none"]
    # The first ends a list of values, before a target; the last one counts.
    return [*options, *without, *arguments, *without]


# Snakemake, which ends without a traceback if Ctrl+C comes before it listens.
_SNAKEMAKE = """
import sys
def quietly(kind, *rest, told=sys.excepthook):
    if kind is not KeyboardInterrupt:
        told(kind, *rest)
sys.excepthook = quietly
from snakemake.cli import main
main()
"""


def run(configuration: str | None, options: Sequence[str]) -> int:
    """Run Snakemake and return its exit status, 130 if it was interrupted.

    A line for each step of a study is printed (:mod:`popinv.workflow.display`). Snakemake's own
    messages are printed in its place where the options ask for more or less than that. What one
    would type is then printed first.
    """
    arguments = command(configuration, options)
    with ExitStack() as stack:
        environment = {**os.environ, SPOKEN_FOR: "1"}
        if shows_steps(options):
            environment[PROGRESS] = stack.enter_context(TemporaryDirectory(prefix="popinv_"))
            arguments = [*_with_profile_stated(arguments), "--logger", "popinv"]
        else:
            click.echo(shlex.join([program("snakemake"), *arguments]), err=True)
        process = subprocess.Popen([sys.executable, "-c", _SNAKEMAKE, *arguments], env=environment)
        # Snakemake ends after the jobs that are at work. It would otherwise go on alone.
        before = signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        stack.callback(signal.signal, signal.SIGTERM, before)
        interrupted = False
        while True:
            try:
                status = process.wait()
            except KeyboardInterrupt:
                # The terminal has interrupted Snakemake too, which ends its jobs first.
                interrupted = True
            else:
                break
    if interrupted:
        click.echo(GO_ON, err=True)
        return _INTERRUPTED
    # Snakemake ends before its message of a lock has come through.
    if status and (why := why_locked(_working_folder(options))):
        click.echo(why, err=True)
    return status


def shows_steps(options: Sequence[str]) -> bool:
    """Return whether a run with these options prints a line for each step."""
    return _PLAIN.isdisjoint(option.partition("=")[0] for option in options)


def is_dry(options: Sequence[str]) -> bool:
    """Return whether a run with these options would only say what it runs."""
    return not _DRY.isdisjoint(options)


def after_the_run(configuration: str | None, options: Sequence[str]) -> str:
    """Return what the finished studies of a configuration found, and where all messages are."""
    config, folder = _configuration(configuration, options), _working_folder(options)
    results = folder / config.results
    studies = [results / name for name in config.studies]
    told = [study for study in studies if (study / METRICS_FILE).is_file()]
    blocks = []
    if len(told) > _MOST_TABLES:
        blocks.append(f"'{program('popinv')} show {results}' prints what each study found")
    elif told:
        blocks.append(table(metrics_files(told)))
    if logs := sorted(folder.glob(".snakemake/log/*.snakemake.log")):
        of_jobs = " ".join(str(study / "logs") for study in studies[:_MOST_TABLES])
        blocks.append(f"log of the run: {logs[-1]}; logs of its jobs: {of_jobs}")
    return "\n\n".join(blocks)
