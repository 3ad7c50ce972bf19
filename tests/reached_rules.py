"""Prints as JSON which rules of which primitives the cases of tests/transforms call: run with PLAIT_COUNT_RULES=1.

Transforms are traced, as the tests trace them, and nothing is evaluated; arguments are files of tests to run besides.
Keys are those of `plait.trace_counters()`.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator

import pytest

import plait.core as pc
import transform_checks as check
from gen.samples import Function
from op_cases import Case
from transform_cases import EXAMPLES, SAMPLED, Batch, Scalar, batches, grads_of
from written_functions import WRITTEN, WRITTEN_COMPLEX, rows_of

Parts = Iterator[tuple[Scalar | None, Batch]]


def calls(function: Function) -> Parts:
    """Each sample as a function to differentiate, where it has that dtype, and as a batch."""
    for batch in batches(function):
        yield None, batch
    for dtype in ("float64", "complex64"):
        for sample in function.samples:
            try:
                rows = [Case(function, sample, dtype, row) for row in range(EXAMPLES)]
                f = Scalar(rows[0])
            except pc.DTypeError:
                continue
            if f.moving and f.weights:
                yield f, Batch(rows)


def derivatives(f: Scalar, batch: Batch) -> None:
    xs, along = f.inputs(), f.directions()
    n = len(xs)
    grads = grads_of(f, n)
    grads(*xs)
    pc.jvp(f, xs, along)
    for i in range(n):
        pc.grad(f, argnums=i)(*xs)
        pc.jvp(lambda x, i=i: f(*xs[:i], x, *xs[i + 1 :]), [xs[i]], [along[i]])

    pc.jvp(lambda *a: grads(*a), xs, along)
    grads_of(lambda *a: pc.jvp(f, list(a), along)[1][0], n)(*xs)
    grads_of(check.weighted(grads, along), n)(*xs)
    ones = [pc.ones_like(o) for o in f.outputs(*xs)]
    pc.vjp(lambda *w: pc.vjp(f.outputs, xs, list(w))[1], ones, along)
    pc.vjp(lambda *d: pc.jvp(f.outputs, xs, list(d))[1], along, ones)
    pc.vmap(lambda *w: pc.vjp(f.outputs, xs, list(w))[1])(*check.stacked([ones, ones]))
    pc.vmap(lambda *d: pc.jvp(f.outputs, xs, list(d))[1])(*check.stacked([along, along]))
    pc.jvp(lambda *w: pc.vjp(f.outputs, xs, list(w))[1], ones, ones)
    pc.jvp(lambda *d: pc.jvp(f.outputs, xs, list(d))[1], along, along)
    pc.jvp(lambda *a: pc.jvp(f, list(a), along)[1][0], xs, along)
    if xs[0].dtype == pc.complex64:
        return
    for mapping in batch.mappings():
        axes = [mapping.axes[i] for i in f.moving]
        if all(axis is None for axis in axes):
            continue
        given = batch.given(mapping)
        moving = [given[i] for i in f.moving]
        pc.vmap(lambda *a: pc.jvp(f, list(a[:n]), list(a[n:]))[1], in_axes=(*axes, *axes))(*moving, *moving)
        pc.vmap(grads, in_axes=tuple(axes))(*moving)
        grads_of(lambda *a, axes=axes: pc.vmap(f, in_axes=tuple(axes))(*a).sum(), n)(*moving)


def main() -> None:
    parts = [part for function in SAMPLED for part in calls(function)]
    for name in (*WRITTEN, *WRITTEN_COMPLEX):
        rows = rows_of(name, EXAMPLES)
        parts.append((Scalar(rows[0]), Batch(rows)))
    for f, batch in parts:
        for mapping in batch.mappings():
            pc.vmap(batch.f, in_axes=mapping.axes)(*batch.given(mapping))
        if f is not None:
            derivatives(f, batch)


if __name__ == "__main__":
    for device in (pc.cpu, pc.gpu):  # some functions are made of other primitives there
        pc.set_default_device(device)
        main()
    pc.set_default_device(pc.cpu)
    with contextlib.redirect_stdout(sys.stderr):
        failed = pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]]) if sys.argv[1:] else 0
    if failed:
        sys.exit(failed)
    json.dump({name: n for name, n in pc.trace_counters().items() if name.startswith("rule: ")}, sys.stdout)
