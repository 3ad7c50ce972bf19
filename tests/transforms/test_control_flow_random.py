# ruff: noqa: E731
"""Random programs of loops and branches in one another: as operations, and turn by turn under the eager switch."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import plait.core as pc
from plait.debug import eager

Values = list[pc.array]  # of shape (3,), in scope
Program = Callable[[Values], pc.array]


class Generator:
    """Programs from values in scope to another value, nested to a depth."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.captured = pc.array(np.random.default_rng(seed).uniform(-1, 1, 3), dtype=pc.float64)

    def value(self) -> Program:
        at = self.random.random()
        return lambda scope: scope[int(at * len(scope))]

    def program(self, depth: int) -> Program:
        simple = [
            self.sum,
            self.product,
            self.sine,
            self.scaled,
            self.difference,
            self.reversed,
            self.softmax,
            self.where,
        ]
        nested = [self.scan, self.scan, self.map, self.cond, self.while_loop]
        return self.random.choice(simple + nested if depth > 0 else simple)(max(depth - 1, 0))

    def sum(self, depth: int) -> Program:
        a, b = self.value(), self.value()
        return lambda scope: a(scope) + b(scope)

    def product(self, depth: int) -> Program:
        a, b = self.program(depth) if depth else self.value(), self.value()
        return lambda scope: a(scope) * b(scope) * 0.5

    def sine(self, depth: int) -> Program:
        a = self.program(depth) if depth else self.value()
        return lambda scope: pc.sin(a(scope))

    def scaled(self, depth: int) -> Program:
        a, factor = self.value(), self.random.random()
        return lambda scope: a(scope) * factor + 1

    def difference(self, depth: int) -> Program:
        a = self.value()
        return lambda scope: a(scope) - self.captured

    def reversed(self, depth: int) -> Program:
        a = self.value()
        return lambda scope: a(scope)[::-1]

    def softmax(self, depth: int) -> Program:
        a = self.value()
        return lambda scope: pc.softmax(a(scope))

    def where(self, depth: int) -> Program:
        a, b, c = self.value(), self.value(), self.value()
        return lambda scope: pc.where(a(scope) > 0, b(scope), pc.sin(c(scope)))

    def scan(self, depth: int) -> Program:
        init, first, step, kept = self.value(), self.value(), self.program(depth), self.program(depth)
        length, with_xs = self.random.choice([0, 1, 2, 3]), self.random.random() < 0.7
        options = {"reverse": self.random.random() < 0.5, "unroll": self.random.choice([1, 1, 2, 5])}
        weights = pc.arange(length).astype(pc.float64)[:, None]

        def run(scope: Values) -> pc.array:
            rows = pc.stack([first(scope) * (i + 1) for i in range(max(length, 1))])[:length]

            def f(c: pc.array, x: pc.array | None) -> Any:
                inner = [*scope, c] if x is None else [*scope, c, x]
                return step(inner), kept(inner)

            last, ys = pc.scan(f, init(scope), rows if with_xs else None, length=length, **options)
            return last + (ys * weights).sum(axis=0)

        return run

    def map(self, depth: int) -> Program:
        a, f = self.value(), self.program(depth)
        return lambda scope: pc.map(lambda x: f([*scope, x]), pc.stack([a(scope), a(scope) * 2])).sum(axis=0)

    def cond(self, depth: int) -> Program:
        a, yes, no = self.value(), self.program(depth), self.program(depth)
        return lambda scope: pc.cond(
            a(scope).sum() > 0.1, lambda x: yes([*scope, x]), lambda x: no([*scope, x]), a(scope)
        )

    def while_loop(self, depth: int) -> Program:
        a, turns = self.value(), self.random.choice([0, 1, 3])

        def run(scope: Values) -> pc.array:
            go_on = lambda v: v[0] < turns + (scope[0].sum() > 0)
            last = pc.while_loop(go_on, lambda v: (v[0] + 1, pc.sin(v[1] + scope[0])), (0, a(scope)))[1]
            return a(scope) + pc.stop_gradient(last)  # it has no gradient backwards

        return run


def same(got: Any, want: list[np.ndarray]) -> None:
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(np.array(a), b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(16))
def test_operations_equal_turns_by_hand(seed: int) -> None:
    make, numbers = Generator(seed), np.random.default_rng(seed + 1)
    first, second = make.program(4), make.program(3)
    f = lambda a, b: (first([a, b]) * pc.cos(second([b, a]))).sum()
    a, b = (pc.array(numbers.uniform(-1, 1, 3), dtype=pc.float64) for _ in range(2))
    rows = pc.array(numbers.uniform(-1, 1, (4, 3)), dtype=pc.float64)

    def derivatives(a: pc.array, b: pc.array) -> list[pc.array]:
        second = pc.grad(lambda a, b: (pc.grad(f)(a, b) * make.captured).sum(), (0, 1))(a, b)
        return [f(a, b), *pc.grad(f, (0, 1))(a, b), pc.jvp(f, [a, b], [b, a])[1][0], *second]

    with eager():
        want = [np.array(d) for d in derivatives(a, b)]
        by_row = [np.stack([np.array(pc.grad(f, k)(row, b)) for row in rows]) for k in (0, 1)]
    same(derivatives(a, b), want)
    same(pc.compile(derivatives)(a, b), want)
    for transform in (lambda g: g, pc.compile):
        same(transform(pc.vmap(pc.grad(f, (0, 1)), in_axes=(0, None)))(rows, b), by_row)
        of_batch = pc.grad(lambda a, b: pc.vmap(f, in_axes=(0, None))(a, b).sum(), (0, 1))
        same(transform(of_batch)(rows, b), [by_row[0], by_row[1].sum(axis=0)])
