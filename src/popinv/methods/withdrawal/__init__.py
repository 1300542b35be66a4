r"""The withdrawal of observed systems: the answer without them, and what it takes to forget them.

The influence :math:`I_n` of system n on the answer p, which the study keeps, says how far the
answer of N systems moves without a set S of them, to first order
(:mod:`popinv.inference.folds`):

.. math:: p_{-S} - p \approx -\frac{N}{N - |S|} \sum_{n \in S} I_n .

:mod:`~popinv.methods.withdrawal.influence` ranks all systems by it,
:mod:`~popinv.methods.withdrawal.refit` repeats the fit without some of them, and
:mod:`~popinv.methods.withdrawal.rerun` is the whole study without them.
"""
