"""The demo on handwritten digits: its files, its last line, and, marked slow, what it learns."""

import json
import re
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import plait.core as pc

DEMO = Path(__file__).resolve().parents[2] / "demo"
LAST_LINE = re.compile(r"demo: digits accuracy=(0\.\d{3}|1\.000) loss=(\d+\.\d{4}) samples/s=(\d+); page=(.+)")


def command(*arguments):
    return [sys.executable, str(DEMO / "digits.py"), *map(str, arguments)]


def run(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    return out, run("--epochs", 1, "--require", 0, "--out", out, "--json", out / "sub" / "facts.json")


class Balanced(HTMLParser):
    """Fails on a tag that is not closed in order, and notes what the page would load."""

    EMPTY = frozenset({"meta"})

    def __init__(self):
        super().__init__()
        self.open, self.loads = [], []

    def handle_starttag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in ("src", "href", "data", "poster", "srcset")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()


def test_last_line_and_json_say_the_same(short_run):
    out, done = short_run
    assert done.returncode == 0, done.stderr
    match = LAST_LINE.fullmatch(done.stdout.splitlines()[-1])
    assert match, done.stdout
    facts = json.loads((out / "sub" / "facts.json").read_text())
    assert match[1] == f"{facts['accuracy']:.3f}"
    assert match[2] == f"{facts['loss']:.4f}"
    assert match[3] == f"{facts['samples/s']:.0f}"
    assert match[4] == facts["page"] == str(out / "digits.html")
    assert (facts["train_images"], facts["test_images"]) == (1347, 450)
    assert len(facts["misread"]) == round((1 - facts["accuracy"]) * 450)
    assert len(facts["epochs"]) == 1


def test_files_are_whole_and_nothing_else_is_left(short_run):
    out, _ = short_run
    names = {file.name for file in out.iterdir()} - {"sub"}
    assert names - {"trace.json"} == {"digits.html", "digits.png"}
    png = (out / "digits.png").read_bytes()
    assert png.startswith(b"\x89PNG") and png.rstrip(b"\0").endswith(b"IEND\xaeB`\x82")


def test_page_is_sound_and_loads_nothing(short_run):
    text = (short_run[0] / "digits.html").read_text(encoding="utf-8")
    page = Balanced()
    page.feed(text)
    page.close()
    assert page.open == [] and page.loads == []
    assert "url(http" not in text and "@import" not in text and "$" not in text


def test_time_by_operation_is_measured_or_said_to_be_missing(short_run):
    out, _ = short_run
    operations = json.loads((out / "sub" / "facts.json").read_text())["operations"]
    text = (out / "digits.html").read_text(encoding="utf-8")
    if hasattr(pc, "trace_start"):
        assert operations and all(row["count"] > 0 for row in operations)
        assert sum(row["share"] for row in operations) == pytest.approx(1)
        assert json.loads((out / "trace.json").read_text())["traceEvents"]
    else:
        assert operations is None and "Not measured" in text and not (out / "trace.json").exists()


def test_too_low_an_accuracy_fails(tmp_path):
    done = run("--epochs", 1, "--require", 1.01, "--out", tmp_path)
    assert done.returncode == 1
    assert "below" in done.stderr and LAST_LINE.fullmatch(done.stdout.splitlines()[-1])


def test_interrupt_leaves_no_files(tmp_path):
    out = tmp_path / "demo"
    with subprocess.Popen(command("--epochs", 60, "--out", out), stderr=subprocess.PIPE, text=True) as child:
        while (
            "training" not in child.stderr.readline()
        ):  # the first line comes after a tenth of the steps, so that nine tenths are left
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        errors = child.stderr.read()
    assert child.returncode == 130, errors
    assert "interrupted" in errors and "Traceback" not in errors
    assert not out.exists()


@pytest.mark.slow
def test_learns_to_98_percent_and_repeats_itself(tmp_path):
    facts = []
    for name in ("first", "second"):
        assert run("--out", tmp_path / name, "--json", tmp_path / f"{name}.json").returncode == 0
        facts.append(json.loads((tmp_path / f"{name}.json").read_text()))
    assert facts[0]["accuracy"] >= 0.98
    assert facts[0]["epochs"] == facts[1]["epochs"]
    assert facts[0]["misread"] == facts[1]["misread"]


@pytest.fixture
def demo_modules(monkeypatch):
    monkeypatch.syspath_prepend(str(DEMO))


@pytest.mark.usefixtures("demo_modules")
@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--device", "abacus"], ["--seed", "x"], ["--device", "gpu"]])
def test_bad_arguments_are_refused(arguments, capsys, monkeypatch):
    import digits

    monkeypatch.setattr(digits.pc, "is_available", lambda device: device == pc.cpu)
    with pytest.raises(SystemExit) as stop:
        digits.parse(arguments)
    assert stop.value.code == 2 and arguments[0] in capsys.readouterr().err


@pytest.mark.usefixtures("demo_modules")
def test_failed_write_leaves_no_file(tmp_path):
    import digits

    with pytest.raises(TypeError):
        digits.publish({tmp_path / "a.txt": b"whole", tmp_path / "b.txt": None})
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("demo_modules")
@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 24.2, [0, 5, 10, 15, 20]), (0.88, 1, [0.9])],
)
def test_ticks_are_round_numbers_inside(low, high, ticks):
    from charts import Axis

    found = Axis.linear(low, high).ticks
    assert found[: len(ticks)] == pytest.approx(ticks)
    assert all(low <= tick <= high for tick in found)
    decades = Axis.decades(0.015, 2.1)
    assert decades.ticks == pytest.approx([0.03, 0.1, 0.3, 1])
    assert decades.place(decades.low) == 0 and decades.place(decades.high) == pytest.approx(1)
