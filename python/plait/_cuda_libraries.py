"""Where NVIDIA's wheels put their libraries."""

import os
import sys


def name_directories() -> None:
    """Set PLAIT_CUDA_LIBRARY_PATH, which the CUDA backend reads when it needs a library, unless the user has."""
    if "PLAIT_CUDA_LIBRARY_PATH" in os.environ:
        return
    found = []
    for entry in filter(None, sys.path):
        packages = os.path.join(entry, "nvidia")
        try:
            names = os.listdir(packages)
        except OSError:
            continue
        found += [path for name in names if os.path.isdir(path := os.path.join(packages, name, "lib"))]
    if found:
        os.environ["PLAIT_CUDA_LIBRARY_PATH"] = ":".join(found)
