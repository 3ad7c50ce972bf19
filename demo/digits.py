"""Train a network on handwritten digits and write a page about it: python demo/digits.py --help."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import figure
import report
import training

import plait.core as pc


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    pc.set_default_device(getattr(pc, options.device))
    results = training.train(training.Settings(epochs=options.epochs, seed=options.seed))
    page = options.out / "digits.html"
    facts = {
        "accuracy": results.accuracy,
        "loss": results.epochs[-1].test_loss,
        "samples/s": results.samples_per_second,
        "page": str(page),
        **details(results),
    }
    files = {page: report.page(results).encode(), options.out / "digits.png": figure.png(results)}
    if results.profile is not None:
        files[options.out / "trace.json"] = json.dumps(results.profile.trace).encode()
    if options.json is not None:
        files[options.json] = json.dumps(facts, indent=1).encode()
    publish(files)

    reached = results.accuracy >= options.require
    if not reached:
        print(f"demo: accuracy is below {options.require:.3f}, the least that was required", file=sys.stderr)
    print(
        f"demo: digits accuracy={facts['accuracy']:.3f} loss={facts['loss']:.4f} "
        f"samples/s={facts['samples/s']:.0f}; page={page}",
        flush=True,
    )
    return 0 if reached else 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    defaults = training.Settings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), metavar="DIR", help="folder of the page")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the figures here as JSON")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--epochs", type=positive, default=defaults.epochs, help="passes over the training images")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of initial weights, order and shifts")
    parser.add_argument("--require", type=float, default=0.98, metavar="SHARE", help="exit 1 below this accuracy")
    options = parser.parse_args(arguments)
    if not pc.is_available(getattr(pc, options.device)):
        parser.error(f"--device {options.device}: there is none that plait can use here")
    return options


def positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def details(results: training.Results) -> dict[str, Any]:
    """What else a reader of the JSON may want; `operations` is null where plait.core cannot trace."""
    profile = results.profile
    return {
        "test_images": results.test_images,
        "train_images": results.train_images,
        "parameters": results.parameters,
        "device": results.device,
        "settings": asdict(results.settings),
        "epochs": [asdict(epoch) for epoch in results.epochs],
        "misread": [{"label": r.label, "guess": r.guess, "confidence": r.confidence} for r in results.misread],
        "train_seconds": results.train_seconds,
        "peak_bytes": max(memory.peak for memory in results.memory),
        "operations": None if profile is None else [asdict(row) for row in profile.by_operation()],
    }


def publish(files: dict[Path, bytes]) -> None:
    """Write all drafts first, then move them into place, so that an interrupt leaves no half-written file."""
    drafts = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in files}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            drafts[path].write_bytes(content)
        for path, draft in drafts.items():
            draft.replace(path)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("demo: interrupted; nothing was written", file=sys.stderr)
        sys.exit(130)
