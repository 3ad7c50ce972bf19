"""All workloads, in the order of the report."""

from importlib import import_module

from benchmarks.workload import REGISTRY as REGISTRY

for _name in ("fused", "products", "quantised", "small", "training", "transformer", "arrays", "networks", "linalg"):
    import_module(f"{__name__}.{_name}")
