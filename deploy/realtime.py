"""What makes a process punctual, where the system permits it: real-time scheduling and locked memory."""

from __future__ import annotations

import ctypes
import gc
import os

PRIORITY = 50  # of SCHED_FIFO's 1..99: above everything ordinary, below the kernel's own threads of interrupts
NICE = -11
_MCL_CURRENT_AND_FUTURE = 1 | 2  # sys/mman.h


def freeze_garbage() -> None:
    """Collect once, then never again: a collection takes milliseconds at a moment of its own choosing."""
    gc.collect()
    gc.freeze()
    gc.disable()


def go_first() -> bool:
    """Go before ordinary processes, as sound servers do (nice -11); False where the system doesn't permit it."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    except OSError:
        return False
    return True


def be_punctual() -> list[str]:
    """Ask for real-time scheduling and locked memory.

    Returns:
        What was refused, and how it is granted; empty where all was granted.
    """
    refused = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        refused.append(f"SCHED_FIFO ({error.strerror}): raise rtprio in /etc/security/limits.conf, or run as a service")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT_AND_FUTURE) != 0:
        reason = os.strerror(ctypes.get_errno())
        refused.append(f"mlockall ({reason}): raise memlock in /etc/security/limits.conf, or run as a service")
    return refused
