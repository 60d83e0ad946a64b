"""What tests wait for: it holds within a time that no machine needs."""

import time

PATIENCE_S = 10


def until(holds):
    end = time.monotonic() + 4 * PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)
