"""The standard library's sqlite3: one row a commit, in the schema of our own file."""

import os
import tempfile

from durable import database, row_of
from workload import Sample, clock, on_disk, per_op


def commit(n: int) -> Sample:
    with tempfile.TemporaryDirectory(prefix="sqlite-", dir=on_disk()) as directory:
        connection, insert = database(os.path.join(directory, "jobs.db"))
        rows = [row_of(seq) for seq in range(1, n + 1)]
        begin = clock()
        for row in rows:
            connection.execute(insert, row)
        taken = per_op(begin, n)
        connection.close()
    return taken


ROWS = {"commit": commit}
