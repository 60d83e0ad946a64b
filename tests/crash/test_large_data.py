"""Data as large as is accepted are read again, after a kill too."""

import subprocess
import sys

import pytest

from duewheel import Keyring, LocalStorage, Scheduler

MIB = 1 << 20
CHILD = """
import os, signal, sys
from duewheel import Keyring, LocalStorage, Scheduler
path, size, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
keys = Keyring({1: bytes(32)}, default=1) if sys.argv[4] else None
scheduler = Scheduler(LocalStorage(path, max_data=size, keys=keys))
datas = [bytes([65 + number]) * size for number in range(count)]
scheduler.in_(60, "t", datas[0], id="one")
scheduler.in_many([61] * count, "t", datas)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("size", "count"), [(16 * MIB, 1), (2 * MIB, 8)])
@pytest.mark.parametrize("sealed", [False, True])
def test_what_was_accepted_is_read_again_after_a_kill(path, size, count, sealed):
    told = [path, str(size), str(count), "yes" if sealed else ""]
    child = subprocess.run([sys.executable, "-c", CHILD, *told], capture_output=True, timeout=50, check=False)
    assert child.returncode == -9, child.stderr.decode()
    keys = Keyring({1: bytes(32)}, default=1) if sealed else None
    for _ in range(2):
        with Scheduler(LocalStorage(path, keys=keys)) as scheduler:
            found = [event.data for event in scheduler.between()]
            assert [data[:1] for data in found] == [b"A", *(bytes([65 + number]) for number in range(count))]
            assert {len(data) for data in found} == {size}
            scheduler.drain()


def test_what_a_row_has_no_room_for_is_refused_when_it_is_asked_for(path):
    LocalStorage(path, max_data=999_000_000)
    for most in (999_000_001, 2**30):
        with pytest.raises(ValueError, match=f"max_data must be from 0 to 999000000, not {most}"):
            LocalStorage(path, max_data=most)
