"""Profiles: read from a synthetic trace, and recorded by the core."""

import json
from types import SimpleNamespace

import pytest

import plait.core as pc
import plait.profile
from plait.profile import Profile, TracingError, profile


def step(ops, where, microseconds):
    return {
        "name": ops,
        "cat": "step",
        "ph": "X",
        "ts": 0.0,
        "dur": microseconds,
        "tid": 1,
        "args": {"where": where},
    }


TRACE = {
    "traceEvents": [
        step("conv2d", "net.py:4 in forward", 3000.0),
        step("conv2d", "net.py:5 in forward", 4000.0),
        step("add+mul+tanh", "net.py:5 in forward", 1000.0),
        {"name": "plan", "cat": "plan", "ph": "X", "ts": 0.0, "dur": 50.0, "tid": 1, "args": {}},
        {"name": "step", "cat": "step", "ph": "X", "ts": 0.0, "dur": 2000.0, "tid": 2},
        {"name": "active bytes", "ph": "C", "ts": 0.0, "args": {"bytes": 12}},
    ]
}


@pytest.fixture
def core(monkeypatch):
    calls = []
    core = SimpleNamespace(
        calls=calls,
        trace_start=lambda: calls.append("start"),
        trace_stop=lambda: calls.append("stop") or TRACE,
    )
    monkeypatch.setattr(plait.profile, "pc", core)
    return core


def test_rows_by_operation_are_sorted_and_add_up(core):
    with profile() as p:
        pass
    assert core.calls == ["start", "stop"]
    assert [(r.name, r.count, r.total_ms) for r in p.by_operation()] == [
        ("conv2d", 2, 7.0),
        ("step", 1, 2.0),
        ("add+mul+tanh", 1, 1.0),
    ]
    assert sum(r.share for r in p.by_operation()) == pytest.approx(1)
    assert p.step_ms == pytest.approx(10) and p.wall_ms > 0


def test_rows_by_line(core):
    with profile() as p:
        pass
    assert [(r.name, r.count) for r in p.by_line()] == [
        ("net.py:5 in forward", 2),
        ("net.py:4 in forward", 1),
        ("(unknown)", 1),
    ]


def test_table_names_the_slowest_and_sums_the_rest():
    text = Profile(TRACE, wall_ms=20).table("operation", limit=1)
    first, more = text.splitlines()[1:3]
    assert first.split() == ["conv2d", "2", "7.00", "70.0%"]
    assert more.split() == ["(2", "more)", "2", "3.00", "30.0%"]
    assert text.endswith("4 steps, 10.00 ms in steps, 20.00 ms in all")
    both = Profile(TRACE).table()
    assert "operation" in both and "net.py:4 in forward" in both


def test_empty_profile_has_a_table():
    assert "0 steps" in Profile().table()


def test_save_writes_the_trace_and_nothing_else(tmp_path):
    Profile(TRACE).save(tmp_path / "trace.json")
    assert json.loads((tmp_path / "trace.json").read_text()) == TRACE
    assert [f.name for f in tmp_path.iterdir()] == ["trace.json"]


def test_failed_save_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        Profile({"traceEvents": [object()]}).save(tmp_path / "trace.json")
    assert not list(tmp_path.iterdir())


def test_trace_is_kept_when_the_block_raises(core):
    with pytest.raises(ZeroDivisionError), profile() as p:
        1 / 0  # noqa: B018
    assert core.calls == ["start", "stop"] and p.steps


def test_missing_tracing_is_said(monkeypatch):
    monkeypatch.setattr(plait.profile, "pc", SimpleNamespace())
    with pytest.raises(TracingError, match="trace_start"), profile():
        pass


@pytest.mark.parametrize("wrong", [{"by": "colour"}, {"limit": 0}])
def test_bad_arguments(wrong):
    with pytest.raises(ValueError):
        Profile(TRACE).table(**wrong)


def test_core_records_steps_with_their_line():
    a = pc.array([0.5] * 1000)
    with profile() as p:
        pc.eval(pc.exp(a) + 1)  # the line that is named
    assert len(p.steps) == 1 and "exp" in p.by_operation()[0].name
    assert "test_profile.py" in p.by_line()[0].name and "test_core_records" in p.by_line()[0].name
    assert p.steps[0]["dur"] >= 0 and p.wall_ms * 1000 >= p.steps[0]["dur"]


def test_nothing_is_recorded_outside():
    with profile() as p:
        pass
    pc.eval(pc.exp(pc.array([0.5] * 10)))
    assert p.steps == []
    with profile() as p:
        pass
    assert p.steps == []


def test_counters_only_grow():
    before = pc.trace_counters()
    pc.eval(pc.exp(pc.array([0.5] * 10)))
    assert all(count >= before.get(name, 0) for name, count in pc.trace_counters().items())
