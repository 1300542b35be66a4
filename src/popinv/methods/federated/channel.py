"""Rounds of questions and answers between the server and the sites.

In a round the server sends a question with the parameters, each site answers with a message, and
the server receives the sum. With secure aggregation it sees nothing else. All numbers that are sent
are counted, eight bytes each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from popinv.methods.federated.masks import decoded, encoded, masked, summed
from popinv.methods.federated.messages import Message, packed, unpacked


@dataclass(frozen=True)
class Round:
    """The record of one round.

    Attributes
    ----------
    question : str
    sent : ndarray of shape (n,)
        What the server sent to each site.
    bytes_down, bytes_up : int
        From the server to all sites, and back.
    """

    question: str
    sent: np.ndarray
    bytes_down: int
    bytes_up: int


@dataclass
class Channel:
    """The connection of the server with the sites.

    Parameters
    ----------
    count : int
        Number of sites.
    secure : bool
        Whether messages are masked.
    seed : int
        Of the masks.
    rounds : list of Round
        The rounds so far.
    """

    count: int
    secure: bool
    seed: int
    rounds: list[Round] = field(default_factory=list)

    def ask(
        self,
        question: str,
        sent: np.ndarray,
        answers: Sequence[Callable[[], Message]],
        units: Message,
    ) -> dict[str, np.ndarray]:
        """Return the sum of the sites' messages.

        Parameters
        ----------
        question : str
            Its name.
        sent : ndarray
            The numbers that go to each site.
        answers : sequence of callable
            Return the message of each site.
        units : mapping
            Public units of the entries of messages, in which they are rounded if masked.
        """
        messages = [answer() for answer in answers]
        vectors = [packed(message) for message in messages]
        if self.secure:
            scale = packed({name: units[name] for name in messages[0]})
            index = len(self.rounds)
            hidden = [
                masked(encoded(vector / scale, self.count), site, self.count, self.seed, index)
                for site, vector in enumerate(vectors)
            ]
            total, sizes = scale * decoded(summed(hidden)), [array.nbytes for array in hidden]
        else:
            total, sizes = np.sum(vectors, axis=0), [vector.nbytes for vector in vectors]
        down = np.asarray(sent, dtype=float).nbytes * self.count
        self.rounds.append(Round(question, np.array(sent, dtype=float), down, sum(sizes)))
        return unpacked(total, messages[0])

    def send(self, name: str, sent: np.ndarray) -> None:
        """Send numbers to each site, which does not answer."""
        self.rounds.append(Round(name, np.array(sent, dtype=float), sent.nbytes * self.count, 0))
