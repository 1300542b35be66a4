"""Training of networks whose weights are conductances of analog devices.

A conductance answers a wished increment by more or less than what was wished, depending on where
it stands and on the direction: ``devices`` holds the models, ``algorithms`` what plain gradient
descent, Tiki-Taka and residual learning do with them, ``layers`` the same for networks. Wu, Gokmen,
Rasch and Chen (NeurIPS 2024, arXiv 2406.12774) show that plain descent then keeps an error that no
learning rate takes away, and that a second array of devices removes it.

- ``least_squares``: the quadratic problems on which that is seen exactly; ``quadratic``, what the
  paper says of them, measured;
- ``digits``: MNIST with the paper's dense and convolutional networks;
- ``problem``: the test problem, with the paper's claims;
- ``study``: the last layers of a study's surrogate on such devices;
- ``answer``: what that does to the surrogate's errors and to the study's answer.
"""
