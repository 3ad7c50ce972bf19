"""einsum of random expressions: results against NumPy in float64, costs of its order against opt_einsum and NumPy."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import plait.core as pc

LETTERS = "abcdefG"


@dataclass
class Expression:
    subscripts: str
    shapes: list[tuple[int, ...]]

    def arrays(self) -> list[np.ndarray]:
        rng = np.random.default_rng(len(self.subscripts))
        return [rng.integers(-3, 4, shape).astype(np.float64) for shape in self.shapes]


@st.composite
def expressions(draw: st.DrawFn, fewest: int = 1, most: int = 8, smallest: int = 0, largest: int = 4) -> Expression:
    extents = {letter: draw(st.integers(smallest, largest)) for letter in LETTERS}
    under = tuple(draw(st.lists(st.integers(1, 3), max_size=2))) if draw(st.booleans()) else None
    terms, shapes = [], []
    for _ in range(draw(st.integers(fewest, most))):
        letters = draw(st.lists(st.sampled_from(LETTERS), max_size=3))
        shape = [extents[letter] for letter in letters]
        if under is not None and draw(st.booleans()):
            at = draw(st.integers(0, len(letters)))
            covered = under[draw(st.integers(0, len(under))) :]  # of the last axes, any of which may be broadcast
            shape[at:at] = [draw(st.sampled_from([1, n])) for n in covered]
            letters[at:at] = ["..."]
        terms.append("".join(letters))
        shapes.append(tuple(shape))
    text = ",".join(terms)
    used = sorted(set(text) - {",", "."})
    if draw(st.booleans()):
        kept = draw(st.permutations(draw(st.lists(st.sampled_from(used), unique=True)) if used else []))
        output = list(kept)
        if "..." in text:
            output.insert(draw(st.integers(0, len(output))), "...")
        text += "->" + "".join(output)
    return Expression(text, shapes)


@settings(max_examples=300, deadline=None)
@given(expressions())
def test_results_are_those_of_numpy(case: Expression) -> None:
    arrays = case.arrays()
    want = np.einsum(case.subscripts, *arrays)
    got = pc.einsum(case.subscripts, *(pc.array(x, dtype=pc.float64) for x in arrays))
    assert got.shape == want.shape, case
    np.testing.assert_allclose(np.array(got), want, rtol=1e-12, atol=1e-9, err_msg=str(case))
    narrow = pc.einsum(case.subscripts, *(pc.array(x, dtype=pc.int32) for x in arrays))
    np.testing.assert_allclose(np.array(narrow), want, err_msg=str(case))


@settings(max_examples=40, deadline=None)
@given(expressions(most=4))
def test_compiled_and_batched(case: Expression) -> None:
    arrays = [pc.array(x, dtype=pc.float64) for x in case.arrays()]
    want = pc.einsum(case.subscripts, *arrays)

    def run(*args: pc.array) -> pc.array:
        return pc.einsum(case.subscripts, *args)

    np.testing.assert_allclose(np.array(pc.compile(run)(*arrays)), np.array(want), rtol=1e-12, atol=1e-9)
    batched = pc.vmap(run)(*(pc.stack([a, 2 * a]) for a in arrays))
    np.testing.assert_allclose(np.array(batched[0]), np.array(want), rtol=1e-12, atol=1e-9)


def cost(subscripts: str, path: list[tuple[int, ...]], extents: dict[str, int]) -> float:
    """What einsum_path counts: for each step a product of each element, and an addition where something is summed."""
    inputs, output = subscripts.split("->")
    left = [set(term) for term in inputs.split(",")]
    total = 0.0
    for step in path:
        taken = [left.pop(i) for i in sorted(step, reverse=True)]
        union = set().union(*taken)
        after = union & set().union(output, *left)
        total += np.prod([extents[c] for c in union]) * (len(taken) if after != union else max(1, len(taken) - 1))
        left.append(after)
    return total


@settings(max_examples=120, deadline=None)
@given(expressions(fewest=2, smallest=1, largest=9))
def test_no_order_costs_less(case: Expression) -> None:
    """Of four to eight arrays none at all; of two and three, as recorded, no other that NumPy's greedy way finds."""
    assume("." not in case.subscripts)
    arrays = [np.zeros(shape) for shape in case.shapes]
    subscripts = re.search(r"Complete contraction:\s*(\S+)", pc.einsum_path(case.subscripts, *map(pc.array, arrays))[1])
    assert subscripts
    text = subscripts[1]
    path, report = pc.einsum_path(case.subscripts, *(pc.array(x) for x in arrays))
    extents = {
        c: n
        for term, x in zip(text.split("->")[0].split(","), arrays, strict=True)
        for c, n in zip(term, x.shape, strict=True)
    }
    ours = cost(text, path, extents)
    assert f"Optimized FLOP count:  {int(ours)}\n" in report
    others = [np.einsum_path(text, *arrays, optimize="greedy")[0][1:]]
    if len(arrays) >= 4:
        oe = pytest.importorskip("opt_einsum")
        others.append(oe.contract_path(text, *arrays, optimize="optimal" if len(arrays) < 6 else "dp")[0])
    for theirs in others:
        if all(len(step) == 2 for step in theirs):  # others sum single terms first, or contract all at once
            assert ours <= cost(text, theirs, extents), case


def test_what_the_path_says() -> None:
    path, report = pc.einsum_path("ij,jk,kl->il", pc.ones((2, 3)), pc.ones((3, 4)), pc.ones((4, 5)))
    assert path == [(1, 2), (0, 1)]
    assert report == (
        "  Complete contraction:  ij,jk,kl->il\n         Naive scaling:  4\n     Optimized scaling:  3\n"
        "      Naive FLOP count:  360\n  Optimized FLOP count:  180\n"
    )
    assert pc.einsum_path("ii->i", pc.ones((3, 3)))[0] == [(0,)]
    huge = [pc.broadcast_to(pc.array(1.0), (1 << 20, 1 << 20))] * 4  # more operations than 64 bits count
    assert "Naive FLOP count:  5070602400912917605986812821504\n" in pc.einsum_path("ab,bc,cd,de->ae", *huge)[1]


def test_many_arrays() -> None:
    """Past eight arrays the order is the recorded one."""
    rng = np.random.default_rng(0)
    chain = [rng.integers(-2, 3, (3, 3)).astype(np.float64) for _ in range(12)]
    letters = "abcdefghijklm"
    text = ",".join(letters[i : i + 2] for i in range(12)) + "->am"
    want = np.linalg.multi_dot(chain)
    assert np.array_equal(np.array(pc.einsum(text, *(pc.array(x, dtype=pc.float64) for x in chain))), want)
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    one = pc.ones((1,) * 7)
    wide = ",".join(alphabet[6 * i : 6 * i + 7] for i in range(8))
    assert pc.einsum(wide + "->", *([one] * 8)).item() == 1


@pytest.mark.parametrize(
    "subscripts", ["ij,jk->ik->", "i$", "i..j", "...i...", "ij->ijj", "i->j", "i", "ij,jk", "ii->i", ",", "->", "i->"]
)
def test_what_does_not_fit_is_refused(subscripts: str) -> None:
    with pytest.raises(ValueError):
        pc.einsum(subscripts, pc.ones((2, 3)))
