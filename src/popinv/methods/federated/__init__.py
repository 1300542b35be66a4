"""Inference of law and noise by sites that keep their observations.

Sites share the surrogate and the law of the noise. In each round the server sends the parameters,
each site answers with sums over its systems, and the server takes a step.

``channel``    one round of questions and answers, secure aggregation, and the record of all rounds
``site``       a site: its systems, and its answers to the server's questions
``server``     the answer with one law for all sites
``own_laws``   the answer with a law for each site, which does not leave it
``noisy``      the answer from clipped contributions under noise, with its guarantee
``reference``  the answers from all observations in one place, and of each site alone
``attack``     reconstruction of observations from the messages
"""
