"""The group of one process: programs written for several run as one, and what needs others is an error."""

import numpy as np
import pytest

import plait.core as pc
from programs import finished

COLLECTIVES = [
    pc.distributed.all_sum,
    pc.distributed.all_max,
    pc.distributed.all_min,
    pc.distributed.all_gather,
    pc.distributed.sum_scatter,
]


@pytest.mark.parametrize("collective", COLLECTIVES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_collectives_give_what_came(collective: object, shape: tuple[int, ...]) -> None:
    assert callable(collective)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for group in (None, pc.distributed.init()):
        np.testing.assert_array_equal(collective(pc.array(x), group=group, stream=pc.cpu), x)
    assert collective(2.5).item() == 2.5


@pytest.mark.parametrize("collective", COLLECTIVES)
def test_collectives_under_transforms(collective: object) -> None:
    assert callable(collective)
    x = pc.array([1.0, 2.0])
    np.testing.assert_array_equal(pc.grad(lambda x: (collective(x * x)).sum())(x), [2, 4])
    np.testing.assert_array_equal(pc.compile(lambda x: collective(x) + 1)(x), [2, 3])
    np.testing.assert_array_equal(pc.jvp(collective, [x], [x])[1][0], x)
    np.testing.assert_array_equal(pc.vmap(collective)(pc.ones((3, 2))), np.ones((3, 2)))


def test_bad_input() -> None:
    d, x = pc.distributed, pc.ones((2,))
    with pytest.raises(RuntimeError, match="one process"):
        d.init().split(0)
    with pytest.raises(RuntimeError, match="strict"):
        d.init(strict=True)
    with pytest.raises(ValueError, match=r"'smoke'[\s\S]*'mpi'"):
        d.init(backend="smoke")
    for call in (lambda: d.send(x, 0), lambda: d.recv((2,), pc.float32, 3), lambda: d.recv_like(x, -1)):
        with pytest.raises(ValueError, match="group of one process"):
            call()
    bad: list[object] = [3, "any"]
    for group in bad:
        with pytest.raises(TypeError):
            d.all_sum(x, group=group)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        d.Group()  # type: ignore[call-arg, unused-ignore]
        pytest.fail("a group comes from init alone")
    with pytest.raises(TypeError):
        d.init(all_gather_factory=3)  # type: ignore[arg-type]


def test_a_process_that_is_one_of_several_is_told() -> None:
    program = """
    import plait.core as pc
    try:
        pc.distributed.init()
    except RuntimeError as error:
        assert "OMPI_COMM_WORLD_SIZE=2" in str(error), error
    else:
        raise AssertionError("this process would train alone")
    """
    finished(program, {"OMPI_COMM_WORLD_SIZE": "2"})
