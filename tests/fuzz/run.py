"""Runs a fuzzer for a bounded time: run.py FORMAT_fuzzer FOLDER SECONDS.

It begins with valid files, what tests/fuzz/corpus/FORMAT.zip holds, and what earlier runs found new, which stays in
FOLDER/corpus. Files that it fails for lie in FOLDER.
"""

import subprocess
import sys
import zipfile
from pathlib import Path


def main(fuzzer: Path, folder: Path, seconds: int) -> int:
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    subprocess.run([fuzzer, "--seeds", corpus], check=True)
    with zipfile.ZipFile(Path(__file__).parent / "corpus" / (fuzzer.name.removesuffix("_fuzzer") + ".zip")) as kept:
        kept.extractall(corpus)
    options = [f"-max_total_time={seconds}", "-timeout=60", "-print_final_stats=1", f"-artifact_prefix={folder}/"]
    return subprocess.run([fuzzer, *options, corpus], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), int(sys.argv[3])))
