"""The same report as one picture, for places that show no HTML."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from training import Results

TEAL, AMBER, GREY, INK = "#0f766e", "#c2620a", "#8b93a1", "#1d2126"
SHOWN_DIGITS = 8
SHOWN_ROWS = 8


def png(results: Results) -> bytes:
    figure = Figure(figsize=(12, 9.6), dpi=140, facecolor="#faf9f6", layout="constrained")
    figure.get_layout_engine().set(rect=(0.015, 0.012, 0.97, 0.98), hspace=0.03)
    heading, training, digits, costs = figure.subfigures(4, 1, height_ratios=[0.11, 1.1, 0.62, 1.1])
    title = f"plait: handwritten digits, {100 * results.accuracy:.1f} % test accuracy"
    heading.set_facecolor("none")
    heading.text(0.5, 0.5, title, fontsize=17, color=INK, weight="bold", ha="center", va="center")
    _training(training, results)
    _digits(digits, results)
    _costs(costs, results)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=figure.get_facecolor())
    return buffer.getvalue()


def _training(part, results: Results) -> None:
    part.set_facecolor("none")
    loss, accuracy = part.subplots(1, 2)
    epochs = range(1, len(results.epochs) + 1)
    marker = "o" if len(results.epochs) == 1 else None
    for name, colour in (("train", AMBER), ("test", TEAL)):
        label = "training" if name == "train" else name
        loss.plot(
            epochs, [getattr(e, f"{name}_loss") for e in results.epochs], color=colour, label=label, marker=marker
        )
        rates = [100 * getattr(e, f"{name}_accuracy") for e in results.epochs]
        accuracy.plot(epochs, rates, color=colour, label=label, marker=marker)
    loss.set_yscale("log")
    loss.yaxis.set_major_formatter("{x:g}")
    loss.yaxis.set_minor_formatter(NullFormatter())
    accuracy.axhline(98, color=GREY, linestyle=(0, (3, 4)), linewidth=1)
    lowest = min(100 * e.test_accuracy for e in results.epochs)
    accuracy.set_ylim(max(0, min(90, lowest) - 2), 100.4)
    _style(loss, "Loss", "epoch")
    _style(accuracy, "Accuracy, %", "epoch")


def _digits(part, results: Results) -> None:
    part.set_facecolor("none")
    wrong = f"{len(results.misread)} of {results.test_images}"
    title = f"Misread digits: {wrong}; then the least sure of those read correctly"
    part.suptitle(title, fontsize=12, color=INK, x=0.01, ha="left")
    for axes, reading in zip(part.subplots(1, SHOWN_DIGITS), results.misread + results.doubtful, strict=False):
        misread = reading.guess != reading.label
        axes.imshow(np.array(reading.pixels), cmap="Greys", vmin=0, vmax=1)
        axes.set_title(
            f"{reading.label} read as {reading.guess}" if misread else f"{reading.label}",
            fontsize=10,
            color=AMBER if misread else TEAL,
        )
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_color("#e4e2db")


def _costs(part, results: Results) -> None:
    part.set_facecolor("none")
    operations, memory = part.subplots(1, 2)
    if results.profile is None:
        operations.text(0.5, 0.5, "not measured:\nplait.core has no tracing", ha="center", va="center", color=GREY)
        operations.set_xticks([])
    else:
        rows = results.profile.by_operation()[:SHOWN_ROWS][::-1]
        names = [row.name if len(row.name) <= 28 else row.name[:27] + "…" for row in rows]
        operations.barh(range(len(rows)), [row.total_ms for row in rows], color=TEAL, height=0.62)
        operations.set_yticks(range(len(rows)), names)
    _style(operations, f"Time by operation, ms in epoch {results.profiled_epoch or '-'}", "")
    operations.grid(axis="y", visible=False)
    seconds = [m.seconds for m in results.memory]
    memory.plot(seconds, [m.peak / 1e6 for m in results.memory], color=AMBER, label="most during a step")
    memory.plot(seconds, [m.active / 1e6 for m in results.memory], color=TEAL, label="held after it")
    memory.plot(seconds, [m.cached / 1e6 for m in results.memory], color=GREY, label="kept for reuse")
    memory.set_ylim(bottom=0)
    _style(memory, "Memory, MB", "seconds of training")


def _style(axes, title: str, x_label: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, color=INK)
    axes.set_xlabel(x_label, color=GREY)
    axes.set_facecolor("white")
    axes.grid(color="#e4e2db", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors="#6a717b", labelsize=9, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
