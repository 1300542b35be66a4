"""A UM-Bridge server for the tests: ``python umbridge_server.py PORT``."""

from __future__ import annotations

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


if __name__ == "__main__":
    models = [Good("good"), Derivative("derivative")]
    umbridge.serve_models(models, int(sys.argv[1]), max_workers=4)
