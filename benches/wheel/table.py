"""Print what `cargo bench` has left in target/criterion as the tables of docs/wheel.md: medians, nanoseconds an element."""

import json
from collections import defaultdict
from pathlib import Path

PEERS = ("duewheel", "BinaryHeap", "DelayQueue", "hash_wheel", "nexus-timer")
ROWS = ("insert", "again", "cancel", "expire", "hold", "next_due")
DELAYS = ("uniform", "fixed", "equal", "zipf")
SIZES = ("1k", "100k", "1M", "10M")


def medians(root: Path) -> dict[tuple[str, str, str], dict[str, float]]:
    found: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for file in root.glob("*/*/new/estimates.json"):
        benchmark = json.loads((file.parent / "benchmark.json").read_text(encoding="utf-8"))
        row, delays, size = benchmark["group_id"].split("/")
        estimates = json.loads(file.read_text(encoding="utf-8"))
        found[row, delays, size][benchmark["value_str"]] = estimates["median"]["point_estimate"]
    return found


def main() -> None:
    found = medians(Path(__file__).parent / "target" / "criterion")
    for size in SIZES:
        if not any(key[2] == size for key in found):
            continue
        print(f"\n### {size}\n\n| row | {' | '.join(PEERS)} |\n| --- |{' ---: |' * len(PEERS)}")
        for row in ROWS:
            for delays in DELAYS:
                if times := found.get((row, delays, size)):
                    best = min(times.values()) if len(times) > 1 else None
                    cells = (times.get(peer) for peer in PEERS)
                    shown = ("" if t is None else f"**{t:.3g}**" if t == best else f"{t:.3g}" for t in cells)
                    print(f"| {row}, {delays} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
