"""Stochastic gradient descent near critical points: convergence, sticking and escape.

    X_{n+1} = X_n - epsilon f'(X_n) + epsilon xi_{n+1}

in one dimension, with noise of finite or infinite variance. The question is that of Dudukalov,
Logachov, Lotov, Prasolov, Prokopenko and Tarasenko (arXiv 2505.18535), of whose paper only the
abstract and the introduction were readable to us: the formulas here are reconstructions from
standard probability, and no constant should be taken for theirs.

``landscapes``  slopes f' as piecewise polynomials
``noises``      laws of xi
``simulation``  many paths, each until it leaves an interval
``theory``      sticking radius and time, escape probabilities, exit times, Markov rates
``problem``     the test problem: theory against simulation
``slices``      the descent loss of a study along lines: its critical points and gradient noise
``study``       two such lines through a study's answer
"""
