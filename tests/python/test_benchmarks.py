"""The statistics of the benchmarks, and the harness itself on small sizes."""

import json
import random
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks/ is not installed

from benchmarks import stats  # noqa: E402
from benchmarks.sides import KEEPS, PEER_SIDES, SUBJECTS, environment, peer_sides, side_named  # noqa: E402
from benchmarks.workload import Cost, NotOfferedError  # noqa: E402
from benchmarks.workloads import REGISTRY  # noqa: E402


def test_pairs_are_taken_round_by_round() -> None:
    assert stats.paired([2.0, None, 9.0, 8.0], [1.0, 1.0, None, 4.0]) == [2.0, 2.0]
    assert stats.ratio([None, None], [1.0, 1.0]) is None


def test_pairing_removes_a_drift_that_both_sides_share() -> None:
    drift = [1.0 + 0.1 * i for i in range(20)]
    found = stats.ratio([3 * d for d in drift], drift)
    assert found is not None
    assert (found.low, found.median, found.high) == pytest.approx((3, 3, 3))
    assert found.rounds == 20


def test_interval_of_twenty_values_is_the_sixth_to_the_fifteenth() -> None:
    assert stats.median_interval(list(range(1, 21))) == (6, 15)  # the textbook's order statistics for n = 20, 95 %


def test_interval_of_few_values_is_their_range() -> None:
    assert stats.median_interval([5.0]) == (5.0, 5.0)
    assert stats.median_interval([3.0, 1.0, 2.0, 9.0]) == (1.0, 9.0)


def test_interval_holds_the_median_as_often_as_it_says() -> None:
    source = random.Random(1)
    trials = 2000
    hits = 0
    for _ in range(trials):
        low, high = stats.median_interval([source.gauss(0, 1) for _ in range(21)])
        hits += low <= 0 <= high
    assert 0.95 <= hits / trials <= 0.99


def test_spread_is_the_wider_end_and_counts_a_lasting_difference() -> None:
    assert stats.spread([1.0] * 20, [1.0] * 20) == 0
    assert stats.spread([1.1] * 20, [1.0] * 20) == pytest.approx(0.1)
    noisy = [1.0 + 0.01 * (i % 5 - 2) for i in range(20)]
    assert 0 < (stats.spread(noisy, [1.0] * 20) or 0) <= 0.02
    assert stats.spread([None], [1.0]) is None


def test_median_skips_rounds_that_did_not_run() -> None:
    assert stats.median([3.0, None, 1.0]) == statistics.median([3.0, 1.0])
    assert stats.median([None]) is None


def test_limit_is_the_slower_of_traffic_and_arithmetic() -> None:
    rates = {"read": 10.0, "copy_nt": 20.0, "fma_f32": 100.0}
    assert Cost(read=40).seconds(rates) == 4
    assert Cost(read=40, write=40).seconds(rates) == 4
    assert Cost(read=40, flops=1000).seconds(rates) == 10
    assert Cost(flops=10, unit="dot_bf16").seconds(rates) is None


def test_keeping_malloc_is_set_for_its_columns_only() -> None:
    for side in (*SUBJECTS.values(), *PEER_SIDES):
        found = environment(side, 2, Path("/nowhere"))
        assert all((found.get(name) == value) == side.keeps for name, value in KEEPS.items())
        assert found["OMP_NUM_THREADS"] == "2"
        assert side_named(side.name + " again") == side


def test_the_subject_is_not_its_own_peer() -> None:
    assert [side.name for side in peer_sides(["numpy", "mlx"], SUBJECTS["mlx"])] == ["numpy", "numpy keeps"]


@pytest.mark.parametrize("workload", REGISTRY.values(), ids=REGISTRY.keys())
def test_every_workload_says_something_for_every_family(workload) -> None:  # type: ignore[no-untyped-def]
    assert workload.title
    assert len(workload.size) == len(workload.quick)
    if workload.cost:
        assert workload.cost(*workload.size).quantities()
    if workload.meter == "import":
        return
    for family in ("numpy", "mx", "torch", "jax"):
        try:
            assert callable(workload.body(family).function)
        except NotOfferedError:
            pytest.fail(f"no body for {family}: give it one or say not_offered")


def test_quick_run_with_numpy_alone(tmp_path: Path) -> None:
    names = ["cheap_ops", "tiny_adds"]
    command = [sys.executable, "-m", "benchmarks", *names, "--quick", "--peers", "numpy", "--subject", "numpy"]
    done = subprocess.run([*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT for publication" in done.stdout

    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["name"] for row in results["workloads"]] == names
    assert any("torch was left out" in reason for reason in results["unpublishable"])
    for row in results["workloads"]:
        assert row["median"] > 0
        assert row["spread"] >= 0
        for side in row["sides"]:
            assert side["state"] == "", side["why"]
            assert len(side["values"]) == results["rounds"]
    assert "| cheap_ops |" in (tmp_path / "results.md").read_text()


def test_a_missing_peer_is_reported() -> None:
    """A package that cannot be imported is a column that says so, not an empty one."""
    code = (
        "import sys; sys.modules['torch'] = None\n"  # makes `import torch` fail
        "sys.argv = ['worker', 'torch', 'cheap_ops', '1', '--quick']\n"
        "from benchmarks.worker import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "missing" in json.loads(done.stdout), done.stderr
