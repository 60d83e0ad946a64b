"""What the doctor asks the machine: versions, the files, the disk, the file system, the clock."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from duewheel import _core
from duewheel.cli._output import size

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "9p", "ncpfs"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.cephfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse"),
}
_LEAST_FREE = 256 * 1024 * 1024
_STEP_NS = 100_000_000
"""How far the wall clock may go from the clock that nothing sets, in the time of a look."""


class Finding(NamedTuple):
    """What a check has found."""

    check: str
    state: str
    """`"ok"`, `"note"`: to be known, `"warning"`: to be looked at, `"fault"`: something does not work."""
    said: str
    remedy: str = ""


def versions() -> Iterator[Finding]:
    """Say what this is."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield Finding("versions", "ok", f"duewheel {_core.__version__}, {python} on {sys.platform}")
    if _core.DEBUG:
        yield Finding("versions", "warning", "duewheel was built without optimisation", "build it with --release")


def before_opening(path: Path) -> Iterator[Finding]:
    """Look at the files before they are opened, which changes them."""
    for suffix in (".part", ".part-journal", ".part-wal"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            yield Finding("files", "warning", f"{part} is left of a backup that did not end", f"remove {part}")
    if hasattr(os, "geteuid"):
        owner, own = path.stat().st_uid, os.geteuid()
        if owner != own and own == 0:
            said = f"the file is of the user {owner}, and this runs as root"
            yield Finding("files", "note", said + ": side files are given to its owner")


def has_side_files(path: Path) -> bool:
    """Tell whether the files are there that a process has beside a store, or has left there."""
    return Path(f"{path}-ops").exists() and Path(f"{path}-wal").exists()


def disk(path: Path) -> Iterator[Finding]:
    """Look at the room that is left beside the file."""
    usage = shutil.disk_usage(path.resolve().parent)
    taken = sum(part.stat().st_size for part in (path, Path(f"{path}-ops"), Path(f"{path}-wal")) if part.exists())
    said = f"{size(usage.free)} free of {size(usage.total)}; the files take {size(taken)}"
    wanted = max(_LEAST_FREE, taken)
    if usage.free < min(_LEAST_FREE, wanted):
        yield Finding("disk", "fault", said, "make room: without it new jobs are refused, and ends of jobs wait")
    elif usage.free < wanted:
        yield Finding("disk", "warning", said + ", so that a backup may not fit", "make room, or back up elsewhere")
    else:
        yield Finding("disk", "ok", said)


def file_system(path: Path) -> Iterator[Finding]:
    """Look whether the file is on this machine: elsewhere neither locks nor syncs are to be relied on."""
    kind = _kind(path.resolve(), Path("/proc/self/mountinfo"))
    if kind is None:
        return
    if kind in _NETWORK:
        remedy = "keep the file on a disk of this machine; what several machines share belongs in PostgreSQL"
        said = f"the file is on {kind}, a network file system: locks and syncs may not hold there"
        yield Finding("filesystem", "fault", said, remedy)
    else:
        yield Finding("filesystem", "ok", f"{kind}, of this machine")


def _kind(path: Path, mounts: Path) -> str | None:
    """Return the kind of file system that a path is on, where the system tells."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    best, kind = -1, None
    for line in lines:
        left, _, right = line.partition(" - ")
        words, more = left.split(), right.split()
        if len(words) < 5 or not more:
            continue
        point = words[4].encode("utf-8", "surrogateescape").decode("unicode_escape")  # spaces are \040
        if path.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), more[0]
    return kind


def clock(began: tuple[int, int]) -> Finding:
    """Look whether the wall clock was set while the doctor looked, and whether it is kept right."""
    wall_ns, steady_ns = time.time_ns() - began[0], time.monotonic_ns() - began[1]
    off_ns = wall_ns - steady_ns
    if abs(off_ns) > _STEP_NS:
        remedy = "jobs of at() follow it, those of in_() do not; have a service keep the time, such as chrony"
        return Finding("clock", "warning", f"the clock was set by {off_ns / 1e9:+.3f} s while this looked", remedy)
    if _is_unsynchronised():
        remedy = "run a service that keeps the time, such as chrony or systemd-timesyncd"
        return Finding("clock", "note", "the system says that its clock is kept right by nobody", remedy)
    return Finding("clock", "ok", "no step while this looked")


def _is_unsynchronised() -> bool:
    """Tell whether Linux says that nobody keeps its clock."""
    if sys.platform != "linux":
        return False
    try:
        import ctypes

        room = ctypes.create_string_buffer(256)  # struct timex, all zeros: it reads, and sets nothing
        return int(ctypes.CDLL(None).adjtimex(room)) == 5  # TIME_ERROR
    except (ImportError, OSError, AttributeError):
        return False
