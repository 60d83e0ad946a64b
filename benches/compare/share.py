"""What a call costs that the owner of a shared file makes for another process.

    python benches/compare/share.py [--durability relaxed|commit] [--calls 5000] [--rounds 5]

`in_` of 100 bytes, an hour from now, from one client: the median and the 99th percentile of a call. The same from four
clients at a time, in calls a second of all of them; and `in_many` of 100,000 jobs from one. The owner runs nothing
meanwhile. Each figure is the median of the rounds, and the best one is told beside it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duewheel

OWNER = """
import sys, duewheel
scheduler = duewheel.Scheduler(duewheel.LocalStorage(sys.argv[1], durability=sys.argv[2]), share=True)
scheduler.start()
print(scheduler.role, flush=True)
sys.stdin.read()
scheduler.close()
"""
CLIENT = """
import sys, time, duewheel
client, data = duewheel.connect(sys.argv[1]), bytes(100)
client.in_(3_600, "bench", data)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    client.in_(3_600, "bench", data)
"""
CLIENTS = 4
MANY = 100_000


def process(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    started.stdout.readline()
    return started


def one_client(client, calls):
    took_ns, data = [], bytes(100)
    for _ in range(calls):
        begun = time.perf_counter_ns()
        client.in_(3_600, "bench", data)
        took_ns.append(time.perf_counter_ns() - begun)
    took_ns.sort()
    return took_ns[len(took_ns) // 2] / 1e3, took_ns[len(took_ns) * 99 // 100] / 1e3


def four_clients(path, calls):
    clients = [process(CLIENT, path, calls) for _ in range(CLIENTS)]
    begun = time.perf_counter()
    for client in clients:
        client.stdin.write(b"\n")
        client.stdin.flush()
    for client in clients:
        client.wait()
    took_s = time.perf_counter() - begun
    for client in clients:
        client.stdin.close()
        client.stdout.close()
    return CLIENTS * calls / took_s


def many(client):
    delays, datas = [3_600.0] * MANY, [bytes(100)] * MANY
    begun = time.perf_counter()
    client.in_many(delays, "bench", datas)
    return MANY / (time.perf_counter() - begun)


def measure(folder, durability, calls):
    path = folder / "jobs.db"
    owner = process(OWNER, path, durability)
    with duewheel.connect(path) as client:
        client.in_(3_600, "bench")
        figures = (*one_client(client, calls), four_clients(path, calls), many(client))
    owner.stdin.close()
    owner.wait()
    owner.stdout.close()
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--durability", choices=["relaxed", "commit"], default="relaxed")
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rounds = []
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(measure(Path(folder), args.durability, args.calls))
    p50, p99, four, bulk = zip(*rounds, strict=True)
    print(f"{args.durability}, {os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}")
    print(f"in_ from one client, p50   {statistics.median(p50):12,.1f} µs   best {min(p50):12,.1f}")
    print(f"in_ from one client, p99   {statistics.median(p99):12,.1f} µs   best {min(p99):12,.1f}")
    print(f"in_ from {CLIENTS} clients        {statistics.median(four):12,.0f} /s   best {max(four):12,.0f}")
    print(f"in_many from one client    {statistics.median(bulk):12,.0f} /s   best {max(bulk):12,.0f}")


if __name__ == "__main__":
    main()
