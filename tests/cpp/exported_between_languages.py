"""exported_between_languages.py PROGRAM: functions cross between Python and a C++ program, with other extents.

PROGRAM is examples/cpp/exported.cpp.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import plait.core as pc

weight = pc.arange(12.0).reshape(3, 4) / 7


def network(x: pc.array) -> pc.array:
    return pc.softmax(x @ weight, axis=-1) * 4


with tempfile.TemporaryDirectory() as name:
    written, back = Path(name, "network"), Path(name, "twice")
    pc.export_function(str(written), network, pc.ones((2, 3)), shapeless=True, metadata="network")
    for rows in (1, 6, 40):
        run = subprocess.run([sys.argv[1], written, back, str(rows)], check=True, capture_output=True, text=True)
        x = pc.arange(3.0 * rows).reshape(rows, 3) / 10
        there = np.array([float(line) for line in run.stdout.split()], np.float32).reshape(rows, 4)
        np.testing.assert_allclose(there, np.asarray(network(x)), rtol=1e-6)
        twice, metadata = pc.import_function(str(back), return_metadata=True)
        assert metadata == "twice network"
        more = pc.concatenate([x, x, x])
        np.testing.assert_allclose(np.asarray(twice(more)[0]), 2 * np.asarray(network(more)), rtol=1e-6)

    damaged = bytearray(written.read_bytes())
    damaged[70] ^= 1
    written.write_bytes(damaged)
    run = subprocess.run([sys.argv[1], written, back, "2"], check=False, capture_output=True, text=True)
    assert run.returncode == 1, run.stdout
    assert "check sum" in run.stderr, run.stderr
