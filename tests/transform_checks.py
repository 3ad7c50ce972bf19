"""What holds for every function under every transform: checks of one call against differences, loops and eager runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import plait.core as pc
from op_cases import name_of, numpy_of
from transform_cases import Arrays, Batch, Mapping, Scalar, grads_of, listed

STEP = 1e-6
COARSE_STEP = 2.0**-7  # where results have fewer bits than arguments


def dot(xs: Arrays, ys: Arrays) -> float:
    """Without conjugation: what a gradient and a direction make."""
    return float(sum((numpy_of(x) * numpy_of(y)).sum() for x, y in zip(xs, ys, strict=True)).real)


def moved(xs: Arrays, along: Arrays, by: float) -> Arrays:
    return [pc.array(numpy_of(x) + by * numpy_of(d), dtype=x.dtype) for x, d in zip(xs, along, strict=True)]


def slope(f: Callable[..., float], xs: Arrays, along: Arrays, step: float = STEP) -> float:
    return (f(*moved(xs, along, step)) - f(*moved(xs, along, -step))) / (2 * step)


def coarse(f: Scalar) -> bool:
    """Whether it gives fewer bits than it takes: its derivatives have no more, whatever their dtype."""
    return any(o.dtype in (pc.float32, pc.complex64) for o in f.outputs(*f.inputs()))


def same(a: pc.array, want: np.ndarray, dtype: pc.Dtype, about: str, of: pc.Dtype | None = None) -> None:
    """`of`: the dtype by whose tolerance to judge."""
    have = numpy_of(a)
    assert have.shape == want.shape and a.dtype == dtype, f"{about}: {have.shape} {a.dtype}, not {want.shape} {dtype}"
    tolerance = {"float64": 1e-11, "float16": 4e-3, "bfloat16": 3e-2, "complex64": 2e-5}.get(name_of(of or dtype), 3e-6)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance, err_msg=about)


def all_same(have: Arrays, want: Arrays, about: str, of: pc.Dtype | None = None) -> None:
    for a, b in zip(have, want, strict=True):
        same(a, numpy_of(b), b.dtype, about, of)


# ---- derivatives ----------------------------------------------------------------------------------------------------


def gradients(f: Scalar) -> None:
    """vjp and jvp against differences and each other, of all arguments at once and of each alone."""
    xs, along = f.inputs(), f.directions()
    grads = grads_of(f, len(xs))(*xs)
    for x, g in zip(xs, grads, strict=True):
        assert g.shape == x.shape and g.dtype == x.dtype, f"{f}: a gradient {g.shape} {g.dtype}"
    near, exact, step = (1e-4, 1e-5, COARSE_STEP) if coarse(f) else (2e-6, 1e-9, STEP)
    want = slope(lambda *a: f(*a).item(), xs, along, step)
    scale = 1 + abs(want)
    assert abs(dot(grads, along) - want) < near * scale, f"{f}: grad {dot(grads, along)}, differences {want}"
    tangent = pc.jvp(f, xs, along)[1][0].item()
    assert abs(tangent - dot(grads, along)) < exact * scale, f"{f}: jvp {tangent}, vjp {dot(grads, along)}"
    for i, g in enumerate(grads):
        others = [along[i] if k == i else pc.zeros_like(d) for k, d in enumerate(along)]
        alone = pc.grad(f, argnums=i)(*xs)
        tangent = pc.jvp(lambda x, i=i: f(*xs[:i], x, *xs[i + 1 :]), [xs[i]], [along[i]])[1][0]
        beside_zeros = pc.jvp(f, xs, others)[1][0]
        pc.eval(alone, tangent, beside_zeros)
        same(alone, numpy_of(g), g.dtype, f"{f}: argument {i}")
        scale = 1 + abs(dot([g], [along[i]]))
        assert abs(tangent.item() - dot([g], [along[i]])) < exact * scale, f"{f}: argument {i}"
        assert abs(beside_zeros.item() - tangent.item()) < exact * scale, f"{f}: argument {i} beside zeros"


def weighted(g: Callable[..., Arrays], along: Arrays) -> Callable[..., pc.array]:
    """How far results go along directions, as one real number."""

    def total(*a: pc.array) -> pc.array:
        return sum((pc.real(pc.sum(x * d)) for x, d in zip(g(*a), along, strict=True)), pc.array(0.0, pc.float64))

    return total


def second_derivatives(f: Scalar) -> None:
    """The Hessian between two directions, in four ways, against differences; and it is symmetric."""
    xs, along, other = f.inputs(), f.directions(), f.directions()
    grads = grads_of(f, len(xs))

    first = weighted(grads, along)

    def forward(*a: pc.array) -> pc.array:
        return pc.jvp(f, list(a), along)[1][0]

    ways = {
        "vjp of vjp": (grads_of(first, len(xs))(*xs), other),
        "vjp of jvp": (grads_of(forward, len(xs))(*xs), other),
        "jvp of vjp": (pc.jvp(lambda *a: grads(*a), xs, along)[1], other),
        "jvp of jvp": (pc.jvp(forward, xs, other)[1], [pc.array(1.0, pc.float64)]),
        "the other way round": (pc.jvp(lambda *a: grads(*a), xs, other)[1], along),
    }
    pc.eval([a for a, _ in ways.values()])
    near, step = (1e-3, COARSE_STEP) if coarse(f) else (1e-5, STEP)
    want = slope(lambda *a: first(*a).item(), xs, other, step)
    for name, (have, direction) in ways.items():
        found = dot(have, direction)
        assert abs(found - want) < near * (1 + abs(want)), f"{f}, {name}: {found}, differences {want}"


def linear_parts(f: Scalar) -> None:
    """Gradients are linear in cotangents, tangents in those of the arguments: each is the other's derivative."""
    xs, along = f.inputs(), f.directions()
    outs, tangents = pc.jvp(f.outputs, xs, along)
    ones = [f.random(o.shape).astype(o.dtype) for o in outs]
    _, grads = pc.vjp(f.outputs, xs, ones)
    _, pushed = pc.vjp(lambda *w: pc.vjp(f.outputs, xs, list(w))[1], ones, along)
    _, pulled = pc.vjp(lambda *d: pc.jvp(f.outputs, xs, list(d))[1], along, ones)
    _, again = pc.jvp(lambda *d: pc.jvp(f.outputs, xs, list(d))[1], along, along)
    _, back = pc.jvp(lambda *w: pc.vjp(f.outputs, xs, list(w))[1], ones, ones)
    pc.eval(tangents, grads, pushed, pulled, again, back)
    all_same(pushed, tangents, f"{f}: the derivative of vjp by its cotangents")
    all_same(again, tangents, f"{f}: jvp of jvp by its tangents")
    all_same(pulled, grads, f"{f}: the derivative of jvp by its tangents")
    all_same(back, grads, f"{f}: jvp of vjp by its cotangents")
    # Many directions at once: the rows and columns of a Jacobian.
    rows = [[f.random(o.shape).astype(o.dtype) for o in outs] for _ in range(2)]
    columns = [f.directions() for _ in range(2)]
    row_grads = pc.vmap(lambda *w: pc.vjp(f.outputs, xs, list(w))[1])(*stacked(rows))
    column_tangents = pc.vmap(lambda *d: pc.jvp(f.outputs, xs, list(d))[1])(*stacked(columns))
    want_rows = stacked([pc.vjp(f.outputs, xs, w)[1] for w in rows])
    want_columns = stacked([pc.jvp(f.outputs, xs, d)[1] for d in columns])
    pc.eval(row_grads, column_tangents, want_rows, want_columns)
    all_same(row_grads, want_rows, f"{f}: rows of the Jacobian")
    all_same(column_tangents, want_columns, f"{f}: columns of the Jacobian")


def complex_derivatives(f: Scalar) -> None:
    """A gradient g of a real f tells how f moves with z: by the real part of g dz."""
    xs, along = f.inputs(), f.directions()
    grads = grads_of(f, len(xs))(*xs)
    assert all(g.dtype == x.dtype for g, x in zip(grads, xs, strict=True)), f
    tangent = pc.jvp(f, xs, along)[1][0].item()
    want = slope(lambda *a: f(*a).item(), xs, along, 2.0**-14)  # values stand 2**-12 apart
    scale = 1 + abs(want) + sum(np.abs(numpy_of(g)).sum() for g in grads)
    assert abs(tangent - dot(grads, along)) < 2e-5 * scale, f"{f}: jvp {tangent}, vjp {dot(grads, along)}"
    assert abs(tangent - want) < 5e-3 * scale, f"{f}: jvp {tangent}, differences {want}"
    # Second derivatives by other ways round.
    other = f.directions()
    pull = grads_of(f, len(xs))
    push = grads_of(lambda *a: pc.jvp(f, list(a), along)[1][0], len(xs))(*xs)
    twice = grads_of(weighted(pull, along), len(xs))(*xs)
    pulls = [pc.jvp(lambda *a: pull(*a), xs, d)[1] for d in (along, other)]
    ways = [dot(push, other), dot(twice, other), dot(pulls[0], other), dot(pulls[1], along)]
    scale = 1 + sum(np.abs(numpy_of(g)).sum() for g in pulls[0])
    assert np.ptp(ways) < 5e-4 * scale, f"{f}: second derivatives {ways}"


def kept_dtypes(f: Scalar, tolerance: float) -> None:
    """Tangents have the dtypes of the results, gradients those of the arguments, and both are near those of float64."""
    xs = f.inputs()
    wide = [x.astype(pc.float64) for x in xs]
    outs, tangents = pc.jvp(f.outputs, xs, f.directions())
    assert [t.dtype for t in tangents] == [o.dtype for o in outs], f
    weights = [f.random(o.shape, o.dtype) for o in outs]
    _, grads = pc.vjp(f.outputs, xs, weights)
    _, exact = pc.vjp(f.outputs, wide, [w if w.dtype == pc.complex64 else w.astype(pc.float64) for w in weights])
    pc.eval(tangents, grads, exact)
    for x, g, e in zip(xs, grads, exact, strict=True):
        assert g.dtype == x.dtype and g.shape == x.shape, f"{f}: a gradient of {g.dtype}"
        have, want = numpy_of(g).astype(np.float64), numpy_of(e)
        assert np.abs(have - want).max(initial=0) <= tolerance * (1 + np.abs(want).max(initial=0)), f


# ---- batches --------------------------------------------------------------------------------------------------------


def fitting(axis: int, rank: int) -> int:
    """The axis, or the last one where a result has fewer."""
    return axis if axis < 0 else min(axis, rank)


def loops_of(batch: Batch, f: Callable[..., Arrays]) -> dict[tuple[int, ...], list[Arrays]]:
    """Results of each example, for each set of mapped arguments."""
    rows = range(len(batch.arrays))
    return {s: [f(*batch.example(s, k)) for k in rows] for s in batch.sets}


def equals_a_loop(batch: Batch) -> None:
    """Every set of mapped arguments along several axes."""
    loops = loops_of(batch, batch.f)
    ranks = [len(a.shape) for a in loops[batch.sets[0]][0]]

    def together(mapping: Mapping) -> Arrays:
        out_axes = [fitting(mapping.out, rank) for rank in ranks]
        return pc.vmap(batch.f, in_axes=mapping.axes, out_axes=out_axes)(*batch.given(mapping))

    results = [(mapping, together(mapping)) for mapping in batch.mappings()]
    pc.eval([outs for _, outs in results], list(loops.values()))
    for mapping, outs in results:
        loop = loops[mapping.mapped]
        for i, out in enumerate(outs):
            want = np.stack([numpy_of(row[i]) for row in loop], fitting(mapping.out, ranks[i]))
            same(out, want, loop[0][i].dtype, f"{batch}, {mapping}")


def batches_of_one_and_none(batch: Batch) -> None:
    alone = batch.f(*batch.example(batch.arguments, 0))
    for subset in {batch.sets[0], batch.sets[-1]}:
        mapping = batch.mapping(subset, lambda k, rank: 0, 0)
        over = pc.vmap(batch.f, in_axes=mapping.axes)
        one, none = over(*batch.given(mapping, range(1))), over(*batch.given(mapping, ()))
        pc.eval(one, none)
        for a, b, c in zip(one, none, alone, strict=True):
            same(a, numpy_of(c)[None], c.dtype, f"{batch}, one example")
            assert b.shape == (0, *c.shape) and b.dtype == c.dtype, f"{batch}, no example: {b.shape} {b.dtype}"


def nested_equals_loops(batch: Batch, outer: int, inner: int) -> None:
    """Of `outer * inner` examples: what the inner vmap maps, what the outer one, and what both."""
    every, first = batch.sets[-1], batch.sets[0]
    last = every[-1:]
    for above, below in ((every, every), (first, last), (last, first), (first, every), (every, last)):

        def row(i: int, k: int, j: int, above: tuple[int, ...] = above, below: tuple[int, ...] = below) -> int:
            return k * inner * (i in above) + j * (i in below)

        given: list[object] = []
        for i, a in enumerate(batch.arrays[0]):
            if i in above and i in below:
                given.append(
                    pc.stack([batch.stacked(i, -1, [row(i, k, j) for j in range(inner)]) for k in range(outer)], 0)
                )
            elif i in above:
                given.append(batch.stacked(i, 0, [row(i, k, 0) for k in range(outer)]))
            else:
                given.append(batch.stacked(i, -1, [row(i, 0, j) for j in range(inner)]) if i in below else a)
        numbers = range(len(given))
        within = pc.vmap(batch.f, in_axes=tuple(-1 if i in below else None for i in numbers))
        together = pc.vmap(within, in_axes=tuple(0 if i in above else None for i in numbers))(*given)
        loop = [
            [batch.f(*[batch.arrays[row(i, k, j)][i] for i in numbers]) for j in range(inner)] for k in range(outer)
        ]
        pc.eval(together, loop)
        for n, out in enumerate(together):
            want = np.stack([np.stack([numpy_of(one[n]) for one in row]) for row in loop])
            same(out, want, loop[0][0][n].dtype, f"{batch}, {above} above {below}")


# ---- compositions ---------------------------------------------------------------------------------------------------


def stacked(rows: Sequence[Arrays]) -> Arrays:
    return [pc.stack(list(of_one), 0) for of_one in zip(*rows, strict=True)]


Composed = dict[str, tuple[Callable[..., Arrays], Arrays, Arrays]]  # a function, its arguments, what it has to give


def composed(f: Scalar, rows: list[Arrays], mapped: list[int]) -> Composed:
    """Transforms of transforms of f, with examples of the arguments `mapped`, beside loops over them."""
    n = len(rows[0])
    axes = tuple(0 if i in mapped else None for i in range(n))
    grads, compiled = grads_of(f, n), pc.compile(f)
    examples = [[rows[k if i in mapped else 0][i] for i in range(n)] for k in range(len(rows))]
    directions = [f.directions() for _ in rows]
    shared = [[d if i in mapped else directions[0][i] for i, d in enumerate(ds)] for ds in directions]

    def push(*a: pc.array, f: Callable[..., pc.array] = f) -> Arrays:
        return pc.jvp(f, list(a[:n]), list(a[n:]))[1]

    def total(*a: pc.array, f: Callable[..., pc.array] = f) -> pc.array:
        return pc.vmap(f, in_axes=axes)(*a).sum()

    def given(stacks: Arrays, alone: Arrays) -> Arrays:
        return [a if i in mapped else alone[i] for i, a in enumerate(stacks)]

    batch, along = given(stacked(examples), rows[0]), stacked(directions)
    loop = [grads(*x) for x in examples]
    per_example = stacked(loop)
    summed = given(per_example, [pc.sum(g, axis=0) for g in per_example])
    tangents = stacked([push(*x, *d) for x, d in zip(examples, directions, strict=True)])
    shared_tangents = stacked([push(*x, *d) for x, d in zip(examples, shared, strict=True)])
    over_all = (*axes, *(0 for _ in range(n)))
    return {
        "grad": (grads, examples[0], loop[0]),
        "grad of compile": (grads_of(compiled, n), examples[0], loop[0]),
        "jvp of compile": (
            lambda *a: push(*a, f=compiled),
            [*examples[0], *directions[0]],
            [t[0] for t in tangents],
        ),
        "vmap of grad": (pc.vmap(grads, in_axes=axes), batch, per_example),
        "grad of vmap": (grads_of(total, n), batch, summed),
        "vmap of jvp": (pc.vmap(push, in_axes=over_all), [*batch, *along], tangents),
        "jvp of vmap": (
            lambda *a: push(*a, f=pc.vmap(f, in_axes=axes)),
            [*batch, *given(along, directions[0])],
            shared_tangents,
        ),
        "vmap of grad of compile": (pc.vmap(grads_of(compiled, n), in_axes=axes), batch, per_example),
        "grad of vmap of compile": (grads_of(lambda *a: total(*a, f=compiled), n), batch, summed),
    }


def compositions(f: Scalar, rows: list[Arrays]) -> None:
    """Batches of derivatives and derivatives of batches against loops, and compiled. `rows`: arguments of examples."""
    n = len(rows[0])
    for mapped in [list(range(n))] if n == 1 else [list(range(n)), [0], [n - 1]]:
        results: dict[str, tuple[Arrays, Arrays]] = {}
        for name, (g, xs, want) in composed(f, rows, mapped).items():
            again = pc.compile(g)
            results[name] = (listed(g(*xs)), want)
            results[f"compile of {name}"] = (listed(again(*xs)), want)
            results[f"compile of {name}, replayed"] = (listed(again(*xs)), want)
        pc.eval(list(results.values()))
        for name, (have, want) in results.items():
            all_same(have, want, f"{f}, {name}, mapped {mapped}", pc.float32 if coarse(f) else None)
