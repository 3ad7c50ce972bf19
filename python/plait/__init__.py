"""plait: lazy arrays with a NumPy-like API, composable transforms, and the packages to train networks with them.

- ``plait.core``: arrays, operations, transforms, devices (``import plait.core as pc``)
- ``plait.nn``: layers, losses, initialisers
- ``plait.optimizers``: optimizers and learning-rate schedules
- ``plait.utils``: functions over trees (nested dicts, lists and tuples) of arrays
"""

from plait._cuda_libraries import name_directories

name_directories()
del name_directories
