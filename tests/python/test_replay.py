"""Plans that come again and again on a device are recorded and replayed: same values, same errors, whatever changes.

On a simulated GPU and a real one.
"""

import textwrap

from programs import finished

START = """
import time
import numpy as np
import plait.core as pc
import plait.nn as nn
import plait.optimizers as optim
pc.set_default_device(pc.gpu)
rng = np.random.default_rng(0)

def replayed():
    return pc.trace_counters().get("plans replayed", 0)

def rounds(seconds=90):
    # The code of tier 1 comes when it is ready: rounds go on until replays have.
    end = time.monotonic() + seconds
    k = 0
    while time.monotonic() < end:
        yield k
        k += 1
        if k > 12:
            time.sleep(0.02)
    raise AssertionError(f"nothing was replayed in {k} rounds: {pc.trace_counters()}")

def repeated(f, *makers, times=12, least=3):
    before = replayed()
    for k in rounds():
        inputs = [make(k) for make in makers]
        out = f(*[pc.array(x) for x in inputs])
        outs = out if isinstance(out, (list, tuple)) else [out]
        pc.eval(outs)
        with pc.stream(pc.cpu):
            want = f(*[pc.array(x) for x in inputs])
            wants = want if isinstance(want, (list, tuple)) else [want]
            pc.eval(wants)
        for a, b in zip(outs, wants):
            np.testing.assert_allclose(np.array(a), np.array(b), rtol=2e-5, atol=2e-5)
        if replayed() - before >= least and k >= times:
            return

def normal(*shape):
    return lambda k: rng.normal(size=shape).astype(np.float32)
"""


def run(program: str, environment: dict[str, str]) -> None:
    finished(START + textwrap.dedent(program), environment, timeout=300)


MLP = """
def net(x, w1, w2):
    h = pc.maximum(x @ w1, 0)
    y = pc.softmax(h @ w2, axis=-1)
    return y, pc.sum(y * y, axis=0), h.T, h[::2, 1:4]
"""


def test_other_contents_give_other_results(gpu: dict[str, str]) -> None:
    run(MLP + "repeated(net, normal(8, 5), normal(5, 6), normal(6, 7))", gpu)


def test_what_an_earlier_replay_gave_stays(gpu: dict[str, str]) -> None:
    run(
        MLP
        + """
kept = []
w1, w2 = (pc.array(normal(*s)(0)) for s in ((5, 6), (6, 7)))
start = replayed()
for k in rounds():
    x = normal(8, 5)(k)
    outs = net(pc.array(x), w1, w2)
    pc.eval(outs)
    kept.append((x, outs))
    if replayed() - start > 5:
        break
with pc.stream(pc.cpu):
    for x, outs in kept:
        for a, b in zip(outs, net(pc.array(x), w1, w2)):
            np.testing.assert_allclose(np.array(a), np.array(b), rtol=2e-5, atol=2e-5)
""",
        gpu,
    )


def test_extents_strides_and_numbers_that_change(gpu: dict[str, str]) -> None:
    run(
        """
def f(x, y, s=1.0):
    a = x[:, ::-1] @ y.T
    b = pc.cumsum(a * s + 1, axis=0)
    return b, pc.concatenate([b, a], axis=1), x.reshape(-1)[1:], pc.sort(a, axis=-1)
repeated(f, normal(4, 6), normal(3, 6))
repeated(f, normal(5, 6), normal(3, 6))
repeated(lambda x, y: f(x[::-1], y), normal(4, 6), normal(3, 6))
repeated(lambda x, y: f(pc.broadcast_to(x[:1], (4, 6)), y), normal(4, 6), normal(3, 6))
counter = iter(range(10**6))
for k in range(30):  # a number that is never the same is never replayed wrongly
    s = float(k)
    x, y = normal(4, 6)(k), normal(3, 6)(k)
    out = f(pc.array(x), pc.array(y), s)[0]
    with pc.stream(pc.cpu):
        want = f(pc.array(x), pc.array(y), s)[0]
    np.testing.assert_allclose(np.array(out), np.array(want), rtol=2e-5, atol=2e-5)
""",
        gpu,
    )


def test_empty_arrays_and_views_of_operands(gpu: dict[str, str]) -> None:
    run(
        """
def f(x, y):
    z = pc.exp(x @ y)
    return x[1:], x.T, pc.sum(z, axis=0), pc.sort(z, axis=0), z[:0] + 1
repeated(f, normal(4, 3), normal(3, 2))
repeated(f, normal(4, 0), normal(0, 2))
""",
        gpu,
    )


def test_positions_outside_reach_the_run_they_belong_to(gpu: dict[str, str]) -> None:
    run(
        """
table = pc.array(normal(10, 4)(0))
w = pc.array(normal(4, 4)(0))
def f(at):
    rows = pc.take(table, at, axis=0)
    return pc.sort(pc.tanh(rows @ w) @ w, axis=-1)
LINE = f"<string>:{f.__code__.co_firstlineno + 1} in f"
good = bad = 0
start = replayed()
for k in rounds():
    at = np.array([k % 10, 3, 7 if k % 4 else 12], np.int32)
    out = f(pc.array(at))
    pc.async_eval(out)
    after = f(pc.array(np.array([1, 2, 3], np.int32)))
    pc.eval(after)
    try:
        got = np.array(out)
    except IndexError as error:
        assert k % 4 == 0 and error.where == LINE, (k, error)
        bad += 1
    else:
        assert k % 4, k
        with pc.stream(pc.cpu):
            np.testing.assert_allclose(got, np.array(f(pc.array(at))), rtol=2e-5, atol=2e-5)
        good += 1
    if replayed() - start > 20:
        break
assert good > 3 and bad > 1
""",
        gpu,
    )


def test_large_operands_that_stay_are_read_in_place(gpu: dict[str, str]) -> None:
    run(
        """
def layers(x, weights):
    for w in weights:
        x = pc.tanh(x @ w)
    return x, weights[0][:2]
def weights_of(seed):
    r = np.random.default_rng(seed)
    out = [pc.array((r.normal(size=(2048, 2048)) / 45).astype(np.float32)) for _ in range(5)]  # more than is copied
    pc.eval(out)
    return out
def wanted(x, weights):
    for w in weights:
        x = np.tanh(x @ np.array(w))
    return x
def check(weights, x, until=None):
    for k in rounds():
        before = replayed()
        y, rows = layers(pc.array(x), weights)
        pc.eval(y, rows)
        np.testing.assert_allclose(np.array(y), wanted(x, weights), rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(np.array(rows), np.array(weights[0])[:2])
        if until is None or replayed() - before >= until:
            return
x = rng.normal(size=(2, 2048)).astype(np.float32)
a, b = weights_of(1), weights_of(2)
for w in a:
    np.array(w)  # on the host too
check(a, x, until=1)
check(a, x + 1)
mixed = [b[0], *a[1:]]
check(mixed, x)      # other contents than were recorded, at another place
check(a, x)
a[2] = a[2] * 0.5    # a new array
check(a, x, until=1)
for _ in range(12):  # in turns: they are read where they are, or not replayed
    check(a, x)
    check(b, x)
for _ in range(8):   # never at the same place
    check([w + 0 for w in a], x)
held = pc.get_active_memory()
del a, b, mixed
assert held - pc.get_active_memory() > 9 * 2048 * 2048 * 4, "a recording keeps operands"
""",
        gpu,
    )


def test_training_goes_as_on_the_cpu(gpu: dict[str, str]) -> None:
    run(
        """
def train(device, goes_on):
    pc.set_default_device(device)
    pc.random.seed(3)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4))
    pc.eval(model.parameters())
    optimizer = optim.AdamW(learning_rate=1e-2)
    def loss(x, y):
        return nn.losses.cross_entropy(model(x), y, reduction="mean")
    step = nn.value_and_grad(model, loss)
    r = np.random.default_rng(5)
    losses = []
    while goes_on(len(losses)):
        x = pc.array(r.normal(size=(32, 6)).astype(np.float32))
        y = pc.array(r.integers(0, 4, 32))
        value, grads = step(x, y)
        optimizer.update(model, grads)
        pc.eval(model.parameters(), optimizer.state, value)
        losses.append(value)
    return [v.item() for v in losses]
start = replayed()
def until_replayed(steps):
    # The code of tier 1 comes when it is ready.
    if steps > 40:
        time.sleep(0.05)
    return steps < 400 and replayed() - start < 20
got = train(pc.gpu, until_replayed)
assert replayed() > start, "nothing was replayed"
np.testing.assert_allclose(got, train(pc.cpu, lambda steps: steps < len(got)), rtol=1e-3)
""",
        gpu,
    )


def test_threads(gpu: dict[str, str]) -> None:
    run(
        MLP
        + """
import threading
failed = []
def work(seed):
    try:
        r = np.random.default_rng(seed)
        for k in range(40):
            arrays = [r.normal(size=s).astype(np.float32) for s in ((8, 5), (5, 6), (6, 7))]
            with pc.stream(pc.gpu):
                got = [np.array(a) for a in net(*map(pc.array, arrays))]
            with pc.stream(pc.cpu):
                want = [np.array(a) for a in net(*map(pc.array, arrays))]
            for a, b in zip(got, want):
                np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
    except BaseException as error:
        failed.append(error)
threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
for t in threads: t.start()
for t in threads: t.join()
assert not failed, failed[0]
""",
        gpu,
    )


def test_it_can_be_turned_off(gpu: dict[str, str]) -> None:
    run(
        MLP
        + """
arrays = [pc.array(normal(*s)(0)) for s in ((8, 5), (5, 6), (6, 7))]
for _ in range(10):
    pc.eval(net(*arrays))
assert replayed() == 0
""",
        {**gpu, "PLAIT_REPLAY": "0"},
    )


def test_recordings_that_fail_are_tried_again() -> None:
    lost = {"PLAIT_SIMULATE_GPU": "1", "PLAIT_SIMULATE_LOST_RECORDINGS": "4"}
    run(
        MLP
        + """
repeated(net, normal(8, 5), normal(5, 6), normal(6, 7))
assert pc.trace_counters()["not recorded: a library is being opened"] == 2
assert "plans that could not be recorded" not in pc.trace_counters()
""",
        lost,
    )


def test_recordings_that_always_fail_are_given_up() -> None:
    lost = {"PLAIT_SIMULATE_GPU": "1", "PLAIT_SIMULATE_LOST_RECORDINGS": "1000"}
    run(
        MLP
        + """
w1, w2 = (pc.array(normal(*s)(0)) for s in ((5, 6), (6, 7)))
given_up = lambda: pc.trace_counters().get("plans that could not be recorded", 0)
before = None
for k in range(50_000):
    x = normal(8, 5)(k)
    y = np.array(net(pc.array(x), w1, w2)[0])
    if k % 100 == 0:
        with pc.stream(pc.cpu):
            np.testing.assert_allclose(y, np.array(net(pc.array(x), w1, w2)[0]), rtol=2e-5, atol=2e-5)
    if given_up():
        break
    before = pc.get_active_memory() if before is None else before
assert given_up() == 1 and replayed() == 0
assert abs(pc.get_active_memory() - before) < 10_000
""",
        lost,
    )
