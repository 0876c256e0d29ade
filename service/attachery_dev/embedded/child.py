"""Executes an embedded server without root, bound to the life of its parent process.

Run as `python -I -S child.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM [ARGUMENT...]`, where UID and
GID are `-` to keep the user. It imports the standard library only, and nothing of this package.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
SECBIT_KEEP_CAPS = 1 << 4
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522
CANNOT_EXECUTE = 126

libc = ctypes.CDLL(None, use_errno=True)


class CapabilityHeader(ctypes.Structure):
    """Identifies the process whose capabilities are set; 0 is this one."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class CapabilitySets(ctypes.Structure):
    """Thirty-two capabilities in each of the three sets."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def checked(result: int) -> None:
    """Raises OSError if a C call failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def prctl(option: int, first: int, second: int = 0) -> None:
    """Calls the C function of this name; raises OSError if it fails."""
    arguments = (ctypes.c_ulong(value) for value in (first, second, 0, 0))
    checked(libc.prctl(ctypes.c_int(option), *arguments))


def keep_capabilities() -> None:
    """Keeps the capabilities through the change of user, for access(2) too if possible."""
    try:
        # Without this, access(2), with which PostgreSQL finds its own programs, ignores the
        # capabilities of all users but root. It requires CAP_SETPCAP.
        prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS)
    except OSError:
        prctl(PR_SET_KEEPCAPS, 1)


def keep_only(capability: int) -> None:
    """Drops every capability but one, and keeps that one through execve."""
    mask = 1 << capability
    sets = (CapabilitySets * 2)(CapabilitySets(mask, mask, mask), CapabilitySets(0, 0, 0))
    checked(libc.capset(ctypes.byref(CapabilityHeader(CAPABILITY_VERSION_3, 0)), sets))
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def give_up_root(uid: int, gid: int) -> None:
    """Changes to another user that can still access the files of root."""
    keep_capabilities()
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    try:
        keep_only(CAP_DAC_OVERRIDE)
    except OSError:
        # A container may lack the capability. The server's own user then suffices, unless a folder
        # above is not accessible; its own message reports that.
        return


def die_with(parent: int, death_signal: int) -> None:
    """Makes the kernel send the signal when the parent's thread ends; exits if it already has."""
    prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        sys.exit(f"the starting process {parent} has ended")


def accept_interrupts() -> None:
    """Unblocks SIGINT without the one that may be pending: it was for the starting process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main(arguments: list[str]) -> None:
    """Starts the server; exits with one line on standard error if that fails."""
    parent, death_signal, uid, gid, *program = arguments
    accept_interrupts()
    try:
        if uid != "-":
            give_up_root(int(uid), int(gid))
        # Linux only. After the change of user, which clears it.
        if sys.platform == "linux":
            die_with(int(parent), int(death_signal))
        # Python ignores SIGPIPE, and ignored signals stay ignored through execve.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execv(program[0], program)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"cannot become {program[0]} as user {uid}: {error}\n")
        sys.exit(CANNOT_EXECUTE)


if __name__ == "__main__":
    main(sys.argv[1:])
