"""The tables of the method: the answers of all ways, and the rounds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popinv.inference.problem import Problem
from popinv.methods.federated.channel import Channel
from popinv.methods.federated.comparison import WAYS, Compared


def answers_table(compared: Compared, problem: Problem) -> pd.DataFrame:
    """Return one row for each site and parameter.

    Standard errors are over the pooled ones, and distances are from the pooled answer in its
    standard errors, both of the unconstrained parameters.
    """
    ratio = {way: compared.ratio(way) for way in WAYS}
    distance = {way: compared.distance(way) for way in WAYS}
    rows = []
    for site, name in enumerate(compared.sites):
        natural = {}
        for way in WAYS:
            answer = compared.of_site(way, site)
            nothing = np.full(len(compared.names), np.nan)
            natural[way] = nothing if answer is None else problem.natural(answer.p)
        for i, parameter in enumerate(compared.names):
            row: dict[str, object] = {
                "site": name,
                "systems": compared.sizes[name],
                "parameter": parameter,
            }
            row |= {way: natural[way][i] for way in WAYS}
            row["pooled: standard error, unconstrained"] = compared.errors_of("pooled")[site, i]
            for way in ("federated", "alone"):
                row[f"{way}: standard error over pooled"] = ratio[way][site, i]
                row[f"{way}: distance from pooled [standard errors]"] = distance[way][site, i]
            rows.append(row)
    return pd.DataFrame(rows)


def rounds_table(channel: Channel) -> pd.DataFrame:
    """Return one row for each round, with the bytes to and from one site."""
    return pd.DataFrame(
        {
            "round": range(1, len(channel.rounds) + 1),
            "question": [r.question for r in channel.rounds],
            "bytes to a site": [r.bytes_down // channel.count for r in channel.rounds],
            "bytes from a site": [r.bytes_up // channel.count for r in channel.rounds],
        }
    )
