"""Linear algebra on one 512x512 matrix. Signs of vectors are free, so absolute values are compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Arrays, workload
from benchmarks.workloads.fused import F32


def any_matrix(rng: np.random.Generator, n: int) -> Arrays:
    return [rng.standard_normal((n, n), F32)]


def positive_matrix(rng: np.random.Generator, n: int) -> Arrays:
    """Symmetric, with eigenvalues spread between 1 and 5."""
    a = rng.standard_normal((n, n), F32)
    return [(a @ a.T / n + np.eye(n, dtype=F32)).astype(F32)]


def matrix_and_sides(rng: np.random.Generator, n: int) -> Arrays:
    return [*positive_matrix(rng, n), rng.standard_normal((n, 8), F32)]


SIZE: dict[str, Any] = {"size": (512,), "quick": (16,), "tolerance": 1e-3}


@workload("qr", "QR, 512x512", inputs=any_matrix, check=np.abs, **SIZE)
def qr(xp: Any, a: Any) -> Any:
    return tuple(xp.linalg.qr(a))


@workload("svd", "singular values and vectors, 512x512", inputs=any_matrix, check=np.abs, **SIZE)
def svd(xp: Any, a: Any) -> Any:
    return tuple(xp.linalg.svd(a))


@workload("eigh", "eigenvalues and vectors, symmetric 512x512", inputs=positive_matrix, check=np.abs, **SIZE)
def eigh(xp: Any, a: Any) -> Any:
    return tuple(xp.linalg.eigh(a))


@workload("cholesky", "Cholesky factor, 512x512", inputs=positive_matrix, **SIZE)
def cholesky(xp: Any, a: Any) -> Any:
    return xp.linalg.cholesky(a)


@workload("solve", "solution for 8 right sides, 512x512", inputs=matrix_and_sides, **SIZE)
def solve(xp: Any, a: Any, b: Any) -> Any:
    return xp.linalg.solve(a, b)


@workload("inv", "inverse, 512x512", inputs=positive_matrix, **SIZE)
def inv(xp: Any, a: Any) -> Any:
    return xp.linalg.inv(a)
