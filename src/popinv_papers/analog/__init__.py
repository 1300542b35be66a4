"""Training of networks whose weights are conductances of analog devices.

The change of a conductance is larger or smaller than the requested increment, depending on its
value and on the direction: ``devices`` holds the models, ``algorithms`` plain gradient descent,
Tiki-Taka and residual learning on them, and ``layers`` the same for networks. Wu, Gokmen, Rasch and
Chen (NeurIPS 2024, arXiv 2406.12774) show that plain descent then has an error that no learning
rate removes, and that a second array of devices removes it.

- ``quadratic``: the problems for which this error is exact, and the paper's statements on them;
- ``digits``: MNIST with the paper's dense and convolutional networks;
- ``check``: the test problem, with the paper's claims;
- ``study``: the last layers of a study's surrogate on such devices;
- ``accelerator``, ``deployment``: the surrogate and the answer on an accelerator with errors;
- ``use``: the effect of this on the surrogate's errors and the study's answer.
"""
