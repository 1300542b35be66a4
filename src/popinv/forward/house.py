"""The record of forward models that are installed together.

An entry point of the group ``popinv.models`` names one. It is light: nothing computes here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelHouse:
    """Forward models that are installed together.

    Each kind is a package with the modules ``section``, its keys, and ``model``, its solver. It may
    have ``states``, ``drawing`` and ``distributed``, and a first study, ``example.yaml``.

    Parameters
    ----------
    package : str
        The package that holds a package for each kind.
    kinds : tuple of str
    depends : tuple of str
        Names of installed packages on which solves depend; a study records their versions.
    compiler_flags : tuple of str
        Variables of the environment: flags with which its solvers compile.
    doctor : str
        The module whose function ``examine`` tells `popinv doctor` whether its solvers work; empty
        if there is nothing to examine. It runs in broken environments, so it imports nothing that
        is not of the standard library.
    """

    package: str
    kinds: tuple[str, ...]
    depends: tuple[str, ...] = ()
    compiler_flags: tuple[str, ...] = ()
    doctor: str = ""
