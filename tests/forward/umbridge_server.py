"""A UM-Bridge server for the tests: ``python umbridge_server.py PORT``."""

from __future__ import annotations

import math
import sys
import time

import umbridge


class Good(umbridge.Model):
    """Two input vectors, two output vectors: (a), (b) to (factor a, a^2), (-a); b spoils it."""

    def get_input_sizes(self, config):
        return [1, 1]

    def get_output_sizes(self, config):
        return [2, 1]

    def supports_evaluate(self):
        return True

    def __call__(self, parameters, config):
        (a,), (b,) = parameters
        if b == 1:
            raise ValueError("no root")
        if b == 4:
            time.sleep(3)
        if b == 7:
            return [[a]]
        return [[config.get("factor", 1.0) * a, float("nan") if b == 6 else a * a], [-a]]


class Derivative(Good):
    """A model that cannot be evaluated."""

    def supports_evaluate(self):
        return False


class Curved(Good):
    """(a), (b) to (a b, a^2), (sin b), with those derivatives that its name says.

    ``bad_jacobian`` and ``bad_gradient`` err in one entry.
    """

    def supports_gradient(self):
        return self.name != "apply_jacobian"

    def supports_apply_jacobian(self):
        return self.name != "gradient"

    def __call__(self, parameters, config):
        (a,), (b,) = parameters
        if b == 7:
            raise ValueError("no root")
        return [[a * b, a * a], [math.sin(b)]]

    def blocks(self, out_wrt, in_wrt, parameters, wrong):
        (a,), (b,) = parameters
        if b == 7:
            raise ValueError("no slope")
        slope = math.cos(b) * (1.1 if wrong else 1.0)
        return [[[b, 2 * a], [a, 0.0]], [[0.0], [slope]]][out_wrt][in_wrt]

    def gradient(self, out_wrt, in_wrt, parameters, sens, config):
        block = self.blocks(out_wrt, in_wrt, parameters, self.name == "bad_gradient")
        return [sum(s * entry for s, entry in zip(sens, block, strict=True))]

    def apply_jacobian(self, out_wrt, in_wrt, parameters, vec, config):
        block = self.blocks(out_wrt, in_wrt, parameters, self.name == "bad_jacobian")
        return [entry * vec[0] for entry in block]


if __name__ == "__main__":
    curved = ("both", "gradient", "apply_jacobian", "bad_gradient", "bad_jacobian")
    models = [Good("good"), Derivative("derivative"), *map(Curved, curved)]
    umbridge.serve_models(models, int(sys.argv[1]), max_workers=4)
