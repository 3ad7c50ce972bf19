"""Positions outside of an axis, and matrices that cannot be done, which a device finds late: who is told what.

On a simulated GPU and a real one.
"""

import textwrap

from programs import finished

START = """
import plait.core as pc
pc.set_default_device(pc.gpu)

def told(work, op="take"):
    try:
        work()
    except IndexError as error:
        assert error.op in ("take", op) and error.got == "position 7 in an axis of extent 4", error
        assert error.accepts == "-4 to 3", error.accepts
        return error.where
    raise AssertionError("nothing was raised")

def picks(at):
    return pc.take(pc.ones(4), pc.array(at))
LINE = f"<string>:{picks.__code__.co_firstlineno + 1} in picks"
"""


def run(program: str, environment: dict[str, str]) -> None:
    finished(START + textwrap.dedent(program), environment)


def test_each_look_at_the_array_is_told(gpu: dict[str, str]) -> None:
    run(
        """
        bad = picks([1, 7])
        for _ in range(3):
            assert told(lambda: pc.eval(bad)) == LINE
            assert told(bad.tolist) == LINE
            assert told(lambda: str(bad)) == LINE
        assert told((bad + 1).tolist) == LINE
        assert told(bad[:1].tolist) == LINE
        """,
        gpu,
    )


def test_others_are_not_told(gpu: dict[str, str]) -> None:
    run(
        """
        before = pc.ones(4) * 3
        pc.async_eval(before)
        bad = picks([7])
        pc.async_eval(bad)
        after = picks([2]) + before[0]
        assert before.tolist() == [3] * 4 and after.tolist() == [4]
        pc.synchronize()
        assert told(bad.tolist) == LINE
        assert after.tolist() == [4]
        x = pc.arange(4)
        pc.eval(x)
        turned, bad = x[::-1], picks([7])
        assert told(lambda: pc.eval(turned, bad)) == LINE
        assert x.tolist() == [0, 1, 2, 3]  # though a result of that evaluation is in its memory
        """,
        gpu,
    )


def test_what_is_not_made_of_it_stays(gpu: dict[str, str]) -> None:
    run(
        """
        def step(c, i):
            return c + pc.take(pc.ones(4), i), c
        for _ in range(300):  # recorded and replayed as well
            table = pc.exp(pc.zeros(4)) * 2
            bad = pc.take(table, pc.array([7]))
            beside, total = table + 1, bad.sum()
            assert told(lambda: pc.eval(beside, total)) == told(bad.tolist) == told(total.tolist)
            assert table.tolist() == [2] * 4 and beside.tolist() == [3] * 4
            assert told((table + bad).tolist) == told(bad.tolist)
        start = pc.zeros(()) + 1
        last, seen = pc.scan(step, start, pc.array([1, 2, 7]))
        other = start * 2
        told(lambda: pc.eval(last, seen, other))
        assert start.item() == 1 and other.item() == 2
        told(last.item), told(seen.tolist)
        """,
        gpu,
    )


def test_what_is_made_of_it_later_is_told(gpu: dict[str, str]) -> None:
    run(
        """
        bad = picks([7, 0])
        pc.async_eval(bad)
        for _ in range(5):
            bad = bad * 2 + pc.take(pc.ones(4), pc.array([1, 2]))  # overwrites what it is made of
            pc.async_eval(bad)
        assert told(bad.tolist) == LINE
        total = pc.zeros(())
        for _ in range(300):  # notes of what was found to be well go
            total = total + picks([3]).sum()
            pc.async_eval(total)
        assert total.item() == 300
        assert told((total + picks([7]).sum()).item) == LINE
        assert total.item() == 300
        """,
        gpu,
    )


def test_on_a_thread_of_its_own(gpu: dict[str, str]) -> None:
    run(
        """
        import threading
        wrong = []
        def work(i):
            for _ in range(20):
                a = picks([7 if i % 2 else 3])
                pc.async_eval(a)
                try:
                    found = a.tolist() == [1]
                except IndexError as error:
                    found = bool(i % 2) and error.where == LINE
                if not found or (i % 2 and told(a.tolist) != LINE):
                    wrong.append(i)
        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert not wrong, wrong
        """,
        gpu,
    )


def test_inside_loops_and_compiled_gradients(gpu: dict[str, str]) -> None:
    run(
        """
        def step(c, i):
            return c + pc.take(pc.ones(4), i), c
        body = f"<string>:{step.__code__.co_firstlineno + 1} in step"
        many = pc.arange(2000) % 4
        assert pc.scan(step, pc.array(0.0), many)[0].item() == 2000
        last, seen = pc.scan(step, pc.array(0.0), pc.where(pc.arange(2000) == 1500, 7, many))
        assert told(last.item).startswith(body) and told(seen[0].item).startswith(body)
        f = pc.compile(pc.grad(lambda x, n: (x * pc.take(x, n)).sum()))
        for n in (1, 7, 2, 7):
            g = f(pc.ones(4), pc.array([n]))
            # the gradient writes to the same position
            assert "compile > grad" in told(g.tolist, "scatter_rows") if n == 7 else len(g.tolist()) == 4
        """,
        gpu,
    )


def test_what_runs_on_the_host(gpu: dict[str, str]) -> None:
    run(
        """
        bad = picks([7])
        on_host = pc.add(bad, 1, stream=pc.cpu)
        assert told(on_host.tolist) == LINE
        import numpy as np
        assert told(lambda: np.array(bad)) == LINE
        assert told(lambda: memoryview(bad)) == LINE
        """,
        gpu,
    )


def test_the_check_can_be_switched_off(gpu: dict[str, str]) -> None:
    run(
        """
        import os
        from plait import debug
        with debug.unchecked_positions():
            bad = picks([1, 7])
            written = pc.zeros(4).at[pc.array([0, 9])].add(1.0)
            pc.eval(bad, written)
            if not os.environ.get("PLAIT_SIMULATE_GPU"):
                assert bad.tolist() == [1, 0] and written.tolist() == [1, 0, 0, 0]
        assert told(picks([1, 7]).tolist) == LINE
        """,
        gpu,
    )
    run("assert picks([1, 7]).shape == (2,); pc.eval(picks([1, 7]))", {**gpu, "PLAIT_CHECK_POSITIONS": "0"})


def test_matrices_that_cannot_be_done(gpu: dict[str, str]) -> None:
    run(
        """
        eyes = pc.stack([pc.eye(3)] * 4)

        def inverse(a):
            return pc.linalg.inv(a)

        bad = inverse(eyes * pc.array([1.0, 1.0, 0.0, 1.0])[:, None, None])
        fine = inverse(eyes)
        pc.async_eval(fine)
        pc.async_eval(bad)
        for look in (bad.tolist, (bad + 1).tolist, lambda: pc.eval(bad[0]), bad.tolist):
            try:
                look()
            except pc.LinAlgError as error:
                assert error.op == "triangular_solve" and "(2) of the batch" in error.got, error
                assert error.where.endswith("in inverse"), error.where
            else:
                raise AssertionError("nothing was raised")
        assert fine.tolist() == eyes.tolist()
        """,
        gpu,
    )
