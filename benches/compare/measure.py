"""One sample in a process of its own: `python measure.py PEER ROW N` writes one line of JSON."""

import importlib
import json
import os
import sys

from workload import Absent


def main() -> None:
    peer, row, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rows = importlib.import_module(f"peers.{peer}").ROWS
    try:
        found = rows[row](n)
    except Absent as absent:
        found = {"absent": str(absent)}
    print(json.dumps(found), flush=True)
    os._exit(0)  # a million pending jobs need not be taken down one by one


if __name__ == "__main__":
    main()
