"""The progress bar: what it writes on a terminal, in a file, and when things go wrong."""

import io

import pytest

from plait.progress import Progress, duration, progress


class Terminal(io.TextIOWrapper):
    def __init__(self, encoding="utf-8"):
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, write_through=True)

    def isatty(self):
        return True

    def shown(self):
        return self.bytes.getvalue().decode(self.encoding)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")


def test_terminal_redraws_one_line_and_ends_it():
    out = Terminal()
    with Progress(4, label="train", unit="epoch", stream=out) as bar:
        for _ in range(4):
            bar.advance(loss="0.5")
    text = out.shown()
    assert text.count("\n") == 1 and text.endswith("\n")
    last = text.split("\r")[-1]
    assert "train" in last and "100%" in last and "4/4 epoch" in last and "loss 0.5" in last


def test_file_gets_plain_lines_and_not_too_many():
    out = io.StringIO()
    with Progress(1000, label="train", stream=out) as bar:
        for _ in range(1000):
            bar.advance()
    lines = out.getvalue().splitlines()
    assert len(lines) == 10
    assert "\r" not in out.getvalue() and "\x1b" not in out.getvalue()
    assert "100%" in lines[-1]


def test_few_parts_write_one_line_each():
    out = io.StringIO()
    with Progress(3, stream=out) as bar:
        for _ in range(3):
            bar.advance()
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["33%", "67%", "100%"]


@pytest.mark.parametrize("columns", [1, 10, 20, 30, 40, 60, 80, 200])
def test_line_fits_the_window(columns):
    bar = Progress(10, label="train", unit="epoch", stream=Terminal())
    bar.advance(3, loss="0.1234", accuracy="98.1 %")
    assert len(bar.line(columns)) < max(columns, 2)


def test_ascii_terminal_gets_ascii():
    out = Terminal(encoding="ascii")
    with Progress(2, stream=out) as bar:
        bar.advance(2)
    assert "[####" in out.shown()


def test_colour_is_off_on_request_and_on_by_default(monkeypatch):
    assert "\x1b[3" not in Progress(2, stream=Terminal()).line(80)
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[36m" in Progress(2, stream=Terminal()).line(80)


def test_interrupt_ends_the_line():
    out = Terminal()
    with pytest.raises(KeyboardInterrupt), Progress(4, stream=out) as bar:
        bar.advance()
        raise KeyboardInterrupt
    assert out.shown().endswith("\n") and "1/4" in out.shown()


def test_closed_stream_does_not_stop_the_work():
    out = Terminal()
    bar = Progress(2, stream=out)
    out.close()
    bar.advance(2)
    bar.close()
    assert bar.done == 2


def test_progress_yields_every_item():
    out = io.StringIO()
    assert list(progress("abc", label="read", stream=out)) == ["a", "b", "c"]
    assert "3/3" in out.getvalue()
    assert list(progress([], stream=io.StringIO())) == []


def test_bad_arguments():
    with pytest.raises(ValueError):
        Progress(-1)
    with pytest.raises(TypeError):
        progress(iter([1, 2]))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1:00"), (185, "3:05"), (3730, "1:02:10")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
