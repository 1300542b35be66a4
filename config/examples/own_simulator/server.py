"""The same simulator behind UM-Bridge: python server.py [PORT]; the port is 4242 by default."""

import sys

import numpy as np
import umbridge
from simulator import TIMES, solve


class Pharmacokinetics(umbridge.Model):
    """One input vector (ka, clearance, volume), one output vector (the concentrations)."""

    def get_input_sizes(self, config):
        """Return the lengths of the input vectors."""
        return [3]

    def get_output_sizes(self, config):
        """Return the lengths of the output vectors."""
        return [len(TIMES)]

    def supports_evaluate(self):
        """Return True: the model can be evaluated."""
        return True

    def __call__(self, parameters, config):
        """Return the concentrations of one person."""
        return solve(np.array(parameters)).tolist()


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 4242
    umbridge.serve_models([Pharmacokinetics("pharmacokinetics")], port)
