"""plait beside JAX and PyTorch in one process: shared memory both ways, either import order, both computing in threads.

Those who do not have PyTorch run the same programs with JAX alone; which frameworks were there is a closing note.
"""

import importlib.util
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

FRAMEWORKS = [name for name in ("torch", "jax") if importlib.util.find_spec(name)]

TORCH = """
    def make(values):
        return torch.tensor(values, dtype=torch.float32)
    def heavy(a):
        return float((torch.tanh(a @ a) + 1).sum())
    def shared(a):
        return torch.from_dlpack(a)
    def listed(t):
        return t.tolist()
    def step(t):
        return t * 2 + 1
    def strided(a):
        return [a[:, 1], a[:, ::2]]
"""
JAX = """
    jnp = jax.numpy
    def make(values):
        return jnp.array(values, dtype=jnp.float32)
    def heavy(a):
        return float((jnp.tanh(a @ a) + 1).sum())
    def shared(a):
        return jnp.from_dlpack(a)
    def listed(t):
        return t.tolist()
    def step(t):
        return t * 2 + 1
    def strided(a):
        return []  # JAX takes memory without gaps only
"""
SOURCES = {"torch": ("import torch\n", TORCH), "jax": ("import jax, jax.numpy\n", JAX)}
PLAIT = "import plait.core as pc\n"


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("plait_first", [True, False], ids=["plait first", "plait second"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_memory_goes_both_ways(framework: str, plait_first: bool) -> None:
    imports, functions = SOURCES[framework]
    body = """
    a = pc.array([[1.0, 2.0], [3.0, 4.0]])
    for source in (a, a.T, a + 1, pc.zeros((0, 2)), pc.array(2.5), *strided(a)):
        assert listed(shared(source)) == source.tolist()
    t = make([[1, 2, 3], [4, 5, 6]])
    back = pc.from_dlpack(t)
    copied = pc.array(t)
    assert back.dtype == copied.dtype == pc.float32
    assert back.tolist() == copied.tolist() == listed(t)
    assert pc.asarray(t, copy=False).tolist() == listed(t)
    for _ in range(3):  # through both, again and again
        back = pc.from_dlpack(step(shared(back + 1)))
    assert back.tolist() == [[(((x + 1) * 2 + 2) * 2 + 2) * 2 + 1 for x in row] for row in listed(t)]
    del t
    assert (back * 0).sum().item() == 0
    print("both ways")
    """
    order = PLAIT + imports if plait_first else imports + PLAIT
    assert run(order + textwrap.dedent(functions) + textwrap.dedent(body)) == "both ways\n"


@pytest.mark.parametrize("plait_first", [True, False], ids=["plait first", "plait second"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_both_compute_in_threads(framework: str, plait_first: bool) -> None:
    imports, functions = SOURCES[framework]
    body = """
    import threading
    values = [[float((7 * i + j) % 5 - 2) / 5 for j in range(256)] for i in range(256)]
    t, a = make(values), pc.array(values)
    want_theirs = heavy(t)
    want = (pc.tanh(a @ a) + 1).sum().item()
    assert abs(want - want_theirs) < 1e-3 * abs(want)
    wrong = []

    def ours():
        for _ in range(30):
            b = pc.array(a)
            if (pc.tanh(b @ b) + 1).sum().item() != want:
                wrong.append("ours")

    def theirs():
        for _ in range(30):
            if abs(heavy(t) - want) > 1e-3 * abs(want):
                wrong.append("theirs")

    def mixed():
        for _ in range(30):
            if abs(heavy(shared(a)) - want) > 1e-3 * abs(want) or pc.from_dlpack(t).sum().item() != a.sum().item():
                wrong.append("mixed")

    threads = [threading.Thread(target=f) for f in (ours, theirs, mixed, ours, theirs, mixed)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(wrong)
    """
    order = PLAIT + imports if plait_first else imports + PLAIT
    assert run(order + textwrap.dedent(functions) + textwrap.dedent(body)) == "[]\n"


def test_all_together() -> None:
    program = PLAIT + "".join(SOURCES[name][0] for name in FRAMEWORKS) + "import numpy as np\n"
    program += "a = pc.arange(6.0).reshape(2, 3)\ntotal = np.asarray(a).sum()\n"
    if "torch" in FRAMEWORKS:
        program += textwrap.dedent("""
        t = torch.from_dlpack(a)
        t[0, 0] = 5  # one memory
        assert a[0, 0].item() == 5
        t[0, 0] = 0
        for dtype in ("float16", "bfloat16", "float32", "int8", "uint8", "int16", "int64", "bool", "complex64"):
            x = torch.ones(3, dtype=getattr(torch, dtype))
            b = pc.from_dlpack(x)
            assert str(b.dtype).removeprefix("plait.core.").rstrip("_") == dtype
            assert torch.equal(torch.from_dlpack(b), x)
        wide = torch.ones(3, dtype=torch.float64)  # becomes float32 as NumPy's does, unless no copy is allowed
        assert pc.from_dlpack(wide).dtype == pc.float32 and pc.from_dlpack(wide, copy=False).dtype == pc.float64
        assert torch.tensor(a).tolist() == torch.as_tensor(a).tolist() == a.tolist()
        # (torch.asarray reads any object with a buffer as one axis of bytes; from_dlpack is the way to share.)
        w = torch.ones(3, requires_grad=True)
        assert pc.from_dlpack(w.detach()).tolist() == [1, 1, 1]
        try:
            pc.from_dlpack(w)
        except Exception as error:
            assert "grad" in str(error)
        else:
            raise AssertionError("a tensor that requires a gradient was shared")
        total += t.sum().item()
        """)
    if "jax" in FRAMEWORKS:
        program += textwrap.dedent("""
        j = jax.numpy.asarray(a)
        assert pc.array(j).tolist() == a.tolist()
        assert jax.numpy.add(j, 1).tolist() == (a + 1).tolist()
        assert pc.array(jax.numpy.ones(2, jax.numpy.bfloat16)).dtype == pc.bfloat16
        total += float(j.sum())
        """)
    program += "print(total / 15)"
    assert run(program) == f"{1.0 + len(FRAMEWORKS)}\n"


def test_which_frameworks_are_here(record_property: Callable[[str, object], None]) -> None:
    there = "with" if "torch" in FRAMEWORKS else "PyTorch is not installed: without"
    record_property("closing note", f"other frameworks: {there} PyTorch in one process")
    assert "jax" in FRAMEWORKS
