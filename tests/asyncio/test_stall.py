"""Nothing blocks the loop, a sync of the disk included: held by syncs that end when the loop has turned often enough.

No clock decides: were the loop's thread in a sync, or waiting for one, the loop would not turn, nor the sync end.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
OTHERS = {"a job", "a sync job", "get", "next", "between", "dead", "wait", "drain", "close"}
"""What need not be on disk when it returns; `drain` and `close` may wait for it."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it preloads a library")
@pytest.mark.skipif(shutil.which("cc") is None, reason="it compiles one")
def test_the_loop_turns_while_any_call_waits_for_the_disk(tmp_path, record_property):
    library = tmp_path / "held_sync.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, HERE / "held_sync.c"], check=True, timeout=50)
    told = {"LD_PRELOAD": str(library), "HOLD": str(tmp_path / "hold"), "SYNCS": str(tmp_path / "syncs")}
    command = [sys.executable, "-W", "error", str(HERE / "stalled.py"), str(tmp_path / "jobs.db")]
    ended = subprocess.run(command, env=os.environ | told, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert not found["syncs on the loop"]
    assert set(found["measures"]) > OTHERS
    for call in set(found["measures"]) - OTHERS:
        assert not found["measures"][call]["done"], f"{call}: it returned before it was on disk"
    record_property("longest_stall_s", max(each["stall_s"] for each in found["measures"].values()))
    record_property("measures", found["measures"])
