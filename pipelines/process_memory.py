"""What this process holds in memory, as the system tells it.

Linux counts in /proc/self/status: VmRSS is resident now, VmHWM the most so far. Elsewhere `ru_maxrss` gives the most so
far; on Linux it would not do, for a process that was started by a larger one begins with that one's peak.
"""

import sys
from pathlib import Path

MEBIBYTE = 2**20
STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")


def peak_mib() -> float | None:
    """Most memory that this process has held so far, in MiB; None where the system does not tell."""
    found = _status("VmHWM")
    return _resource_peak() if found is None else found


def start_mib() -> float:
    """Forget the peak so far, where the system can; what a later peak is to be compared with, in MiB."""
    try:
        RESET.write_text("5")
    except OSError:
        return peak_mib() or 0.0
    now = _status("VmRSS")
    return (peak_mib() or 0.0) if now is None else now


def _status(name: str) -> float | None:
    """A line of the process's status, in MiB; None elsewhere than on Linux."""
    try:
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    sizes = [float(line.split()[1]) / 1024.0 for line in lines if line.startswith(f"{name}:")]
    return sizes[0] if sizes else None


def _resource_peak() -> float | None:
    try:
        import resource
    except ImportError:
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(size) / (MEBIBYTE if sys.platform == "darwin" else 1024.0)
