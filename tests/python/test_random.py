"""Random numbers: recorded values, the state, and what transforms do with keys."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import plait.core as pc

GOLDEN = json.loads((Path(__file__).parent.parent / "facts/golden/random.json").read_text())
CALLS = [(call, key) for call, by_key in GOLDEN["calls"].items() for key in by_key]


def recorded(entry: dict) -> np.ndarray:
    def number(v: object) -> object:
        if isinstance(v, str):
            return np.frombuffer(bytes.fromhex(v)[::-1], np.float32)[0]
        return complex(number(v[0]), number(v[1])) if isinstance(v, list) else v

    return np.array([number(v) for v in entry["values"]]).reshape(entry["shape"])


def values(a: pc.array) -> np.ndarray:
    return np.array(a.astype(pc.float32) if a.dtype in (pc.bfloat16, pc.float16) else a)


@pytest.mark.parametrize(("call", "key"), CALLS)
def test_gives_recorded_values(call: str, key: str) -> None:
    want = GOLDEN["calls"][call][key]
    names = {n: getattr(pc.random, n) for n in dir(pc.random)}
    dtypes = {n: getattr(pc, n) for n in ("float16", "bfloat16", "complex64", "int8", "uint32")}
    seed = int(key.removeprefix("key(").removesuffix(")"))
    got = eval(call, {"mx": pc, "key": pc.random.key(seed), **{n: v for n, v in names.items() if n != "key"}, **dtypes})
    assert str(got.dtype).rpartition(".")[2] == want["dtype"]
    if got.dtype in (pc.uint32, pc.int8, pc.int32, pc.bool_):
        np.testing.assert_array_equal(values(got), recorded(want))
    else:
        tolerance = {pc.float16: 1e-3, pc.bfloat16: 8e-3}.get(got.dtype, 1e-6)
        np.testing.assert_allclose(values(got), recorded(want), rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize("seed", [0, 42])
def test_state_follows_the_recorded_sequence(seed: int) -> None:
    pc.random.seed(seed)
    for step in GOLDEN["global_state_sequence"][f"seed({seed})"]:
        if step["call"].startswith("state"):
            np.testing.assert_array_equal(values(pc.random.state[0]), recorded(step))
        else:
            got = eval(f"pc.random.{step['call']}", {"pc": pc})
            np.testing.assert_allclose(values(got), recorded(step), rtol=1e-6)


def test_keys() -> None:
    for seed, words in GOLDEN["keys"].items():
        assert pc.random.key(int(seed)).tolist() == words
    for bad in (-1, 2**64, "a"):
        with pytest.raises(TypeError):
            pc.random.key(bad)
        with pytest.raises(TypeError):
            pc.random.seed(bad)


def test_state_is_a_sequence_of_one_array() -> None:
    pc.random.seed(3)
    assert len(pc.random.state) == 1 and pc.random.state[0].tolist() == [0, 3]
    assert [k.tolist() for k in pc.random.state] == [[0, 3]]
    with pytest.raises(IndexError):
        pc.random.state[1]


def test_compile_freezes_the_state_unless_it_is_captured() -> None:
    frozen = pc.compile(lambda x: pc.random.uniform(shape=(3,)) + x)
    x = pc.array(0.0)
    assert frozen(x).tolist() == frozen(x).tolist()
    pc.random.seed(5)
    eager = [pc.random.uniform(shape=(3,)).tolist() for _ in range(3)]
    captured = pc.compile(lambda x: pc.random.uniform(shape=(3,)) + x, inputs=pc.random.state, outputs=pc.random.state)
    pc.random.seed(5)
    assert [captured(x).tolist() for _ in range(3)] == eager
    assert pc.random.state[0].tolist() != [0, 5]


def test_vmap_over_keys_equals_a_loop() -> None:
    keys = pc.random.split(pc.random.key(1), 5)
    for draw in (
        lambda k: pc.random.uniform(shape=(3,), key=k),
        lambda k: pc.random.normal((2, 2), key=k),
        lambda k: pc.random.randint(0, 9, (4,), key=k),
        lambda k: pc.random.permutation(6, key=k),
        lambda k: pc.random.split(k, 3),
    ):
        together = values(pc.vmap(draw)(keys))
        for i in range(5):
            np.testing.assert_array_equal(together[i], values(draw(keys[i])))


def test_gradients_pass_through_parameters() -> None:
    key = pc.random.key(2)
    g = pc.grad(lambda m, s: pc.random.normal((50,), loc=m, scale=s, key=key).sum(), argnums=(0, 1))(
        pc.array(1.0), pc.array(2.0)
    )
    assert abs(float(g[0]) - 50) < 1e-4
    assert abs(float(g[1]) - float(pc.random.normal((50,), key=key).sum())) < 1e-3


N = 200_000


@pytest.mark.parametrize(
    ("draw", "distribution"),
    [
        (lambda k: pc.random.uniform(-1, 3, (N,), key=k), scipy.stats.uniform(-1, 4)),
        (lambda k: pc.random.normal((N,), loc=1.0, scale=2.0, key=k), scipy.stats.norm(1, 2)),
        (lambda k: pc.random.truncated_normal(-1, 0.5, (N,), key=k), scipy.stats.truncnorm(-1, 0.5)),
        (lambda k: pc.random.gumbel((N,), key=k), scipy.stats.gumbel_r()),
        (lambda k: pc.random.laplace((N,), loc=1.0, scale=0.5, key=k), scipy.stats.laplace(1, 0.5)),
        (lambda k: pc.random.uniform(shape=(N,), dtype=pc.float64, key=k), scipy.stats.uniform()),
    ],
)
def test_numbers_follow_the_distribution(draw: object, distribution: object) -> None:
    x = values(draw(pc.random.key(11)))
    assert scipy.stats.kstest(x, distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize("rows", [1, 2])
def test_classes_come_with_their_probabilities(rows: int) -> None:
    p = np.array([0.1, 0.2, 0.3, 0.4])
    logits = pc.array(np.log(np.tile(p, (rows, 1))), dtype=pc.float32)
    drawn = values(pc.random.categorical(logits, num_samples=N, key=pc.random.key(3)))
    for row in drawn:
        assert scipy.stats.chisquare(np.bincount(row, minlength=4), N * p).pvalue > 1e-3


@pytest.mark.parametrize("n", [1, 3, 30])
@pytest.mark.parametrize("rank", [1, 30])
def test_multivariate_normal_takes_the_root_of_its_covariance(n: int, rank: int) -> None:
    rng = np.random.default_rng(n)
    factors = rng.normal(size=(2, n, min(rank, n)))
    cov = (factors @ factors.swapaxes(-1, -2)).astype(np.float32)
    mean = rng.normal(size=(4, 1, n)).astype(np.float32)
    key = pc.random.key(1)
    got = np.array(pc.random.multivariate_normal(pc.array(mean), pc.array(cov), (3, 1, 1), key=key))
    u, s, vt = np.linalg.svd(cov.astype(np.float64))
    z = np.array(pc.random.normal((3, 4, 2, n), key=key))
    want = np.einsum("...i,...ij->...j", z, (u * np.sqrt(s)[..., None, :]) @ vt) + mean
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.sqrt(np.abs(cov).max()) * n)
    one = pc.grad(lambda m: pc.random.multivariate_normal(m, pc.eye(n), key=key).sum())(pc.zeros(n))
    assert one.tolist() == [1.0] * n
    # The root of I + D is I + D/2 for small symmetric D.
    z = np.array(pc.random.normal((n,), key=key))
    moved = pc.grad(lambda c: pc.random.multivariate_normal(pc.zeros(n), c, key=key).sum())(pc.eye(n))
    np.testing.assert_allclose(np.array(moved), (z[:, None] + z) / 4, rtol=1e-4, atol=1e-5)
