"""The page: one HTML file that needs nothing from the network."""

from __future__ import annotations

import platform
from html import escape
from pathlib import Path
from string import Template

import charts
from charts import Axis, Series
from training import Reading, Results

import plait
from plait.profile import Profile, Row
from plait.progress import duration

MEGABYTE = 1e6
SHOWN_MISREAD = 24
SHOWN_ROWS = 10


def page(results: Results) -> str:
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        headline=headline(results),
        tiles=tiles(results),
        loss=loss_chart(results),
        accuracy=accuracy_chart(results),
        misread=misread(results),
        doubtful=doubtful(results),
        last_batch=last_batch(results),
        operations=operations(results),
        memory=memory_chart(results),
        settings=settings(results),
        version=escape(version()),
    )


def version() -> str:
    return str(getattr(plait, "__version__", "from source"))


def headline(results: Results) -> str:
    right = results.test_images - len(results.misread)
    return (
        f"After {duration(results.train_seconds)} of training, a network of {results.parameters:,} parameters reads "
        f"<b>{right} of {results.test_images}</b> digits it has never seen."
    )


def tiles(results: Results) -> str:
    peak = max(memory.peak for memory in results.memory)
    shown = [
        (f"{100 * results.accuracy:.1f}&#8202;%", "test accuracy"),
        (f"{results.epochs[-1].test_loss:.4f}", "test loss"),
        (f"{results.samples_per_second:,.0f}", "images per second"),
        (duration(results.train_seconds), f"training, {_count(len(results.epochs), 'epoch')}"),
        (f"{peak / MEGABYTE:.1f} MB", "peak memory"),
    ]
    return "".join(f"<div><b>{value}</b><span>{name}</span></div>" for value, name in shown)


def loss_chart(results: Results) -> str:
    train = [epoch.train_loss for epoch in results.epochs]
    test = [epoch.test_loss for epoch in results.epochs]
    smallest = max(min(*train, *test), 1e-6)  # a loss of exactly 0 has no logarithm
    return _by_epoch(
        "Loss", results, train, test, Axis.decades(smallest, max(*train, *test)), lambda value: f"{value:.3g}"
    )


def accuracy_chart(results: Results) -> str:
    train = [epoch.train_accuracy for epoch in results.epochs]
    test = [epoch.test_accuracy for epoch in results.epochs]
    low = max(0.0, min(0.9, *test) - 0.02)
    return _by_epoch(
        "Accuracy", results, train, test, Axis.linear(low, 1.0), lambda value: f"{100 * value:.4g} %", (0.98, "98 %")
    )


def misread(results: Results) -> str:
    if not results.misread:
        return "<p>None: every digit of the test split was read correctly.</p>"
    cards = "".join(_card(reading) for reading in results.misread[:SHOWN_MISREAD])
    more = len(results.misread) - SHOWN_MISREAD
    rest = f"<p>{more} more are not shown.</p>" if more > 0 else ""
    return f'<div class="digits">{cards}</div>{rest}'


def doubtful(results: Results) -> str:
    return f'<div class="digits">{"".join(_card(reading) for reading in results.doubtful)}</div>'


def operations(results: Results) -> str:
    profile = results.profile
    if profile is None:
        return "<p>Not measured: this build of plait.core has no tracing.</p>"
    note = (
        f"Measured in epoch {results.profiled_epoch}: {len(profile.steps):,} steps took {profile.step_ms:,.0f} ms of "
        f"{profile.wall_ms:,.0f} ms. A name with several operations is one fused pass over memory."
    )
    return (
        f"<p>{note}</p><div class='pair'><div>{charts.bars(_bar_rows(profile))}</div>"
        f"<div>{_line_table(profile.by_line()[:SHOWN_ROWS])}</div></div>"
    )


def memory_chart(results: Results) -> str:
    seconds = [memory.seconds for memory in results.memory]
    held = [
        Series("most during a step", "two", [m.peak / MEGABYTE for m in results.memory]),
        Series("held after it", "one", [m.active / MEGABYTE for m in results.memory], filled=True),
        Series("kept for reuse", "three", [m.cached / MEGABYTE for m in results.memory]),
    ]
    top = max(max(one.values) for one in held) * 1.08 or 1.0
    x, y = Axis.linear(0, seconds[-1]), Axis.linear(0, top)
    x_text, y_text = "{:.3g} s".format, "{:.3g} MB".format
    return charts.lines("Memory over time", seconds, held, x, y, "time in training steps", x_text, y_text)


def last_batch(results: Results) -> str:
    images = results.train_images % results.settings.batch
    return f" The last batch of an epoch has only {_count(images, 'image')}, hence the dips." if images else ""


def settings(results: Results) -> str:
    s = results.settings
    rows = {
        "data": f"scikit-learn's digits: {results.train_images:,} images to train, {results.test_images} to test",
        "network": "conv 3×3×16, conv 3×3×32, max pool 2×2, linear 64, linear 10",
        "training": f"AdamW, batch {s.batch}, rate {s.peak_rate:g}, a cosine, weight decay {s.weight_decay:g}",
        "augmentation": f"{_share(s.shifted)} of the training images moved by up to one pixel",
        "seed": str(s.seed),
        "device": results.device,
        "software": f"plait {version()}, Python {platform.python_version()}",
    }
    return "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows.items())


def _by_epoch(title: str, results: Results, train: list[float], test: list[float], y: Axis, y_text, mark=None) -> str:
    epochs = list(range(1, len(results.epochs) + 1))
    x = Axis(1, max(len(epochs), 2), [e for e in epochs if e == 1 or e % max(1, round(len(epochs) / 6)) == 0])
    both = [Series("training", "two", train), Series("test", "one", test)]
    return charts.lines(title, epochs, both, x, y, "epoch", lambda value: f"{value:.0f}", y_text, mark)


def _card(reading: Reading) -> str:
    picture = charts.digit(reading.pixels, f"a {reading.label} read as {reading.guess}")
    words = f'<span class="truth">{reading.label}</span>'
    if reading.guess != reading.label:
        words += f' read as <span class="guess">{reading.guess}</span>'
    return f"<figure>{picture}<figcaption>{words}<small>{_share(reading.confidence)} sure</small></figcaption></figure>"


def _bar_rows(profile: Profile) -> list[tuple[str, float, str]]:
    rows = profile.by_operation()
    shown = [(row.name, row.total_ms, f"{row.total_ms:,.1f} ms · {_share(row.share)}") for row in rows[:SHOWN_ROWS]]
    if rest := rows[SHOWN_ROWS:]:
        total, share = sum(row.total_ms for row in rest), sum(row.share for row in rest)
        shown.append((f"{len(rest)} more", total, f"{total:,.1f} ms · {_share(share)}"))
    return shown


def _line_table(rows: list[Row]) -> str:
    cells = "".join(
        f'<tr><td title="{escape(row.name, quote=True)}">{escape(row.name)}</td><td>{row.count:,}</td>'
        f"<td>{row.total_ms:,.1f}</td><td>{_share(row.share)}</td></tr>"
        for row in rows
    )
    return (
        "<table><thead><tr><th>line of the program</th><th>steps</th><th>ms</th><th>share</th></tr></thead>"
        f"<tbody>{cells}</tbody></table>"
    )


def _share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "< 1 %"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
