"""Lorenz-96 in time for any number of members, and their states and coefficients in blocks.

The equations, and how a block is laid out, are in `popinv_models.lorenz96.kernels`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv_models.lorenz96.kernels import MEMBERS, SLOW_DAMPING, advance_block


@dataclass(frozen=True)
class Coefficients:
    """The numbers in the equations, each of shape (n,): one for each member.

    Parameters
    ----------
    forcing : ndarray
        F.
    feedback : ndarray
        h c, of the fast on the slow variables.
    advection : ndarray
        c b, of the fast variables.
    decay : ndarray
        c, the damping of the fast variables.
    drive : ndarray
        h c / J, of the slow on the fast variables.
    """

    forcing: np.ndarray
    feedback: np.ndarray
    advection: np.ndarray
    decay: np.ndarray
    drive: np.ndarray

    @classmethod
    def of(cls, z: np.ndarray, subvariables: int) -> Coefficients:
        """Return the coefficients for z = F (n, 1), or z = (F, h, c, b) (n, 4) with J > 0."""
        if not subvariables:
            return cls(z[:, 0], *np.zeros((4, len(z))))
        forcing, h, c, b = z.T
        return cls(forcing, h * c, c * b, c, h * c / subvariables)

    def rows(self, chosen: np.ndarray, variables: int) -> np.ndarray:
        """Return the coefficients of a block beside each of K variables, shape (5, K MEMBERS).

        ``chosen`` holds the indices of the block's members.
        """
        each = (self.forcing, self.feedback, self.advection, self.decay, self.drive)
        of_members = np.array([coefficient[chosen] for coefficient in each])
        return np.repeat(of_members[:, None], variables, axis=1).reshape(len(each), -1)


def rows(slow: np.ndarray, fast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a block's states (MEMBERS, K) and (MEMBERS, K, J) as the integrator's rows.

    Returns
    -------
    (ndarray of shape (K MEMBERS,), ndarray of shape (J, K MEMBERS))
    """
    return np.ascontiguousarray(slow.T).reshape(-1), np.ascontiguousarray(
        fast.transpose(2, 1, 0)
    ).reshape(fast.shape[2], slow.size)


def advance(
    slow: np.ndarray,
    fast: np.ndarray,
    coefficients: Coefficients,
    time_step: float,
    steps: int,
    slow_damping: float = SLOW_DAMPING,
) -> tuple[np.ndarray, np.ndarray]:
    """Advance the states of any number of members.

    Parameters
    ----------
    slow : ndarray of float64, shape (n, K)
    fast : ndarray of float64, shape (n, K, J)
        J = 0 for one scale.
    slow_damping : float, default 1
        d in the equation of the slow variables; 0 lets the conserved energy be seen.

    Returns
    -------
    (ndarray of shape (n, K), ndarray of shape (n, K, J))
        The states at the end.
    """
    members, variables, subvariables = fast.shape
    slow_end, fast_end = np.empty_like(slow), np.empty_like(fast)
    for chosen in blocks(members):
        count = min(MEMBERS, members - chosen[0])
        x, y = advance_block(
            *rows(slow[chosen], fast[chosen]),
            coefficients.rows(chosen, variables),
            time_step,
            steps,
            slow_damping,
        )
        own = chosen[:count]
        slow_end[own] = x.reshape(variables, MEMBERS).T[:count]
        fast_end[own] = y.reshape(subvariables, variables, MEMBERS).transpose(2, 1, 0)[:count]
    return slow_end, fast_end


def blocks(members: int) -> np.ndarray:
    """Return the indices (n_blocks, MEMBERS) of each block's members.

    The last block repeats its last member.
    """
    count = -(-members // MEMBERS)
    return np.minimum(np.arange(count * MEMBERS), members - 1).reshape(count, MEMBERS)
