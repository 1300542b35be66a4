#!/usr/bin/env bash
# Builds an environment with AIHWKit, for the tests of analog devices against it:
#
#     benchmarks/peers/analog_environment.sh [FOLDER]
#
# The wheel of AIHWKit 1.1.0 was compiled for torch 2.10. PyPI's torch brings CUDA along: the
# downloads are 4 GB and the folder 7 GB. Any Python 3.11 serves, by PYTHON=...
set -euo pipefail

folder="${1:-$(dirname "$0")/../../build/aihwkit}"
"${PYTHON:-python3.11}" -m venv "$folder"
PIP_CONSTRAINT="" "$folder/bin/python" -m pip install --no-cache-dir \
    torch==2.10.0 aihwkit==1.1.0 "numpy<3"
"$folder/bin/python" -c 'import aihwkit, torch; print(aihwkit.__version__, torch.__version__)'
