"""All workloads, in the order of the report."""

from benchmarks.workload import REGISTRY as REGISTRY
from benchmarks.workloads import fused as fused
from benchmarks.workloads import products as products
from benchmarks.workloads import small as small
from benchmarks.workloads import training as training
