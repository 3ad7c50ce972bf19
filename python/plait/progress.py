"""A progress bar that needs nothing but the standard library.

On a terminal one line is redrawn in place; anywhere else (a file, a pipe, CI) plain lines are written now and then,
so that a log stays readable.

    with Progress(total=24, label="train", unit="epoch") as bar:
        for epoch in range(24):
            loss = train_one_epoch()
            bar.advance(loss=f"{loss:.4f}")

    for batch in progress(batches, label="evaluate"):
        ...
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import TextIO, TypeVar

__all__ = ["Progress", "progress"]

T = TypeVar("T")

_REDRAW_SECONDS = 0.08  # about what the eye can follow
_PLAIN_LINES = 10  # lines written for a whole run when there is no terminal
_BAR_CELLS = 28


def duration(seconds: float) -> str:
    """A span of time in the fewest characters that stay clear: 0.4 s, 12 s, 3:05, 1:02:10."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Shows how far a task of `total` equal parts has come.

    Units: `total` and `advance(parts)` count parts; times shown are wall-clock time.
    Threads: one bar belongs to one thread.
    Errors: ValueError when `total` is negative.  A bar never fails because its stream was closed or cannot show
    a character; it falls back to ASCII.
    """

    def __init__(self, total: int, label: str = "", unit: str = "", stream: TextIO | None = None) -> None:
        if total < 0:
            raise ValueError(f"Progress: total must be at least 0, got {total}")
        self.total = total
        self.label = label
        self.unit = unit
        self.done = 0
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._unicode = _can_show(self._stream, "━╸")
        self._color = self._terminal and "NO_COLOR" not in os.environ
        self._notes: dict[str, str] = {}
        self._started = time.monotonic()
        self._drawn_at = float("-inf")
        self._lines_written = 0
        self._closed = False

    def __enter__(self) -> Progress:
        if self._terminal:
            self._redraw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def advance(self, parts: int = 1, **notes: str) -> None:
        """Count `parts` as done; `notes` are shown at the end of the line, each by its last value."""
        self.done += parts
        self._notes.update(notes)
        if self._terminal:
            if time.monotonic() - self._drawn_at >= _REDRAW_SECONDS:
                self._redraw()
        elif self.done < self.total and self.done * _PLAIN_LINES // self.total > self._lines_written:
            self._lines_written = self.done * _PLAIN_LINES // self.total
            self._write(self.line(width=None) + "\n")  # the last line waits for close, to show the last notes

    def close(self) -> None:
        """Show the last state and end the line; calling it again does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._terminal:
            self._redraw()
            self._write("\n")
        else:
            self._write(self.line(width=None) + "\n")

    def line(self, width: int | None) -> str:
        """The text for the present state, cut to `width` columns; None gives the plain form without a bar."""
        share = self.done / self.total if self.total else 1.0
        passed = time.monotonic() - self._started
        count = f"{self.done}/{self.total}" + (f" {self.unit}" if self.unit else "")
        if self.done >= self.total:
            timing = duration(passed)
        elif self.done and passed > 0.5:  # an estimate from less is noise
            timing = f"{duration(passed / self.done * (self.total - self.done))} left"
        else:
            timing = ""
        notes = [f"{name} {value}" for name, value in self._notes.items()]
        tail = [f"{share:4.0%}", count, *notes, timing]
        if width is None:
            return "  ".join(part.strip() for part in (self.label, *tail) if part)
        text = "  ".join(part for part in tail if part)
        label = f"{self.label}  " if self.label else ""
        cells = min(_BAR_CELLS, width - 1 - len(label) - 2 - len(text))
        if cells < 8:  # a narrow window shows the numbers rather than a stump
            return (label + text)[: max(width - 1, 0)]
        return f"{label}{self._bar(share, cells)}  {text}"

    def _bar(self, share: float, cells: int) -> str:
        share = min(max(share, 0.0), 1.0)
        if not self._unicode:
            return f"[{'#' * int(share * (cells - 2)):.<{cells - 2}}]"
        filled = share * cells
        full = int(filled)
        half = full < cells and filled - full >= 0.5
        done = "━" * full + ("╸" if half else "")
        rest = "━" * (cells - len(done))
        if self._color:
            return f"\x1b[36m{done}\x1b[0m\x1b[90m{rest}\x1b[0m"
        return done + "─" * len(rest)

    def _redraw(self) -> None:
        self._drawn_at = time.monotonic()
        self._write("\r" + self.line(shutil.get_terminal_size().columns) + "\x1b[K")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (ValueError, OSError):  # closed stream or broken pipe: the work matters, the bar does not
            pass


def progress(items: Iterable[T], label: str = "", unit: str = "", stream: TextIO | None = None) -> Iterator[T]:
    """Yield each of `items` and show how many are done.

    Errors: TypeError when `items` has no length, because then there is no share to show.
    """
    if not isinstance(items, Sized):
        raise TypeError("progress: items need a length; use Progress(total=...) for a stream of unknown length")
    return _yield_and_count(items, len(items), label, unit, stream)


def _yield_and_count(items: Iterable[T], total: int, label: str, unit: str, stream: TextIO | None) -> Iterator[T]:
    with Progress(total, label, unit, stream) as bar:
        for item in items:
            yield item
            bar.advance()


def _can_show(stream: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
