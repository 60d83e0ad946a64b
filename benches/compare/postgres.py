"""Jobs in PostgreSQL beside other job queues: every sample with a database of its own, sides interleaved.

    python benches/compare/postgres.py [--rounds 3] [--rows single,bulk] [--sides ours,river] [--quick]

The server is one of our own, with its settings as they come (tests/postgres/pg_server.py); the peers are installed
below target/peers by their own clients, and one that cannot be is named. Writes the samples to postgres.json beside
this file, and from them docs/postgres-benchmarks.md and its picture; `--report` does the writing alone. Rows that are
not measured keep the samples that they have. In full it takes about a quarter of an hour, a round about five minutes.
`--quick`: a tenth of the jobs, one round, two minutes, written below target/compare. Nothing here asserts a time.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import postgres_page
from postgres_rows import ROWS, Absent, Bench
from postgres_sides import SIDES, prepared
from run import CHECKOUT, DOCS, QUICK, machine

sys.path.insert(0, str(CHECKOUT / "tests" / "postgres"))
import pg_server

HERE = Path(__file__).resolve().parent


def sample(bench: Bench, row: str, side: str) -> dict[str, Any]:
    """The values of a sample, or why there are none."""
    load = round(os.getloadavg()[0], 2)  # of the whole machine: what else it was doing
    n = bench.size(row, side)
    try:
        found = {"values": ROWS[row].take(bench, side, n)}
    except Absent as absent:
        found = {"absent": str(absent)}
    except (RuntimeError, OSError, TimeoutError) as error:
        found = {"error": str(error).strip().splitlines()[-1]}
    return {"row": row, "side": side, "n": n, "load": load, **found}


def measure(bench: Bench, rounds: int, rows: list[str], sides: list[str]) -> list[dict[str, Any]]:
    samples = []
    for number in range(1, rounds + 1):
        for row in rows:
            for side in [side for side in sides if ROWS[row].has(side)]:
                if number > (ROWS[row].rounds or rounds):
                    continue
                found = sample(bench, row, side)
                samples.append({"round": number, **found})
                values = "  ".join(f"{name} {value:,.1f}" for name, value in found.get("values", {}).items())
                shown = values or found.get("error") or found["absent"]
                print(f"{number}/{rounds}  {row:8} {SIDES[side].title:16} {found['n']:>10,}  {shown}", flush=True)
    return samples


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare jobs in PostgreSQL with other job queues.")
    parser.add_argument("--rounds", type=int, help="3; 1 in a quick run")
    parser.add_argument("--rows", default=",".join(ROWS), help="comma-separated; all, unless given")
    parser.add_argument("--sides", default=",".join(SIDES), help="comma-separated; all, unless given")
    parser.add_argument("--quick", action="store_true", help="a tenth of the jobs; figures that show little")
    parser.add_argument("--json", type=Path, help="the raw samples")
    parser.add_argument("--docs", type=Path, help="where the page and its picture go")
    parser.add_argument("--report", action="store_true", help="measure nothing, write page and picture again")
    given = parser.parse_args()
    given.rounds = given.rounds or (1 if given.quick else 3)
    given.json = given.json or (QUICK / "postgres.json" if given.quick else HERE / "postgres.json")
    given.docs = given.docs or (QUICK if given.quick else DOCS)
    for name, known in (("rows", ROWS), ("sides", SIDES)):
        chosen = getattr(given, name).split(",")
        if unknown := set(chosen) - set(known):
            parser.error(f"no such {name}: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
        setattr(given, name, chosen)
    return given


def main() -> None:
    given = parsed()
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.docs.mkdir(parents=True, exist_ok=True)
    results = json.loads(given.json.read_text(encoding="utf-8")) if given.json.exists() else {"samples": []}
    if not given.report:
        found, absent = prepared(given.sides)
        for name, why in absent.items():
            print(f"{SIDES[name].title} takes no part: {why}", flush=True)
        server = pg_server.start(settings=("max_wal_size=8GB",))
        if server is None:
            sys.exit("there are no programs of a server of PostgreSQL")
        try:
            bench = Bench(server, quick=given.quick)
            samples = measure(bench, given.rounds, given.rows, list(found))
            about = {**machine(), "server": bench.version(), "versions": found}
        finally:
            server.stop()
        kept = [s for s in results["samples"] if s["row"] not in given.rows or s["side"] not in found]
        versions = {**results.get("machine", {}).get("versions", {}), **found}
        results = {
            "machine": {**about, "versions": versions},
            "quick": given.quick,
            "rounds": given.rounds,
            "absent": absent,
            "samples": kept + samples,
        }
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    postgres_page.write(results, given.docs)


if __name__ == "__main__":
    main()
