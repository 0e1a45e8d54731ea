"""The system calls that each profile needs, compiled to seccomp filters by libseccomp.

A call that is not listed fails with EPERM. clone3 fails with ENOSYS, so that libraries fall back to clone, whose flags
a filter can see. Other calling conventions (x32, int 0x80) end the process, which is libseccomp's own default.
"""

from __future__ import annotations

import errno
import os
import resource
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from r1ray.errors import SandboxUnavailable

PROFILES = ("python", "native", "native-data", "shell", "shell-data")
"""``-data``: for runtimes whose memory is limited by RLIMIT_DATA, which does not count shared mappings."""
SESSIONS = ("python", "session")
"""Profiles of a slot that holds sessions."""

_READ_AND_COMPUTE = """
read readv pread64 preadv write writev pwrite64 pwritev close close_range lseek fstat newfstatat stat lstat statx
access faccessat faccessat2 open openat readlink readlinkat getcwd getdents64 getdents statfs fstatfs fadvise64
ftruncate mmap mprotect munmap mremap madvise msync mincore brk membarrier rt_sigaction rt_sigprocmask rt_sigreturn
rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause alarm setitimer getitimer timer_create timer_settime
timer_gettime timer_delete timerfd_create timerfd_settime timerfd_gettime pipe pipe2 dup dup2 dup3 select pselect6
poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd
signalfd4 recvfrom recvmsg shutdown getsockname getpeername getsockopt setsockopt sched_yield sched_getaffinity
sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min getpriority nanosleep
clock_nanosleep clock_gettime clock_getres gettimeofday time times getrusage getpid getppid gettid getuid geteuid
getgid getegid getresuid getresgid getgroups getpgrp getpgid getsid uname sysinfo getrandom getcpu capget getrlimit
futex futex_waitv set_robust_list get_robust_list set_tid_address rseq arch_prctl exit exit_group restart_syscall
"""
_EXEC = ["execve", "chdir", "umask"]
_PROCESSES_AND_FILES = """
fork vfork wait4 waitid setpgid setsid fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 symlink
symlinkat link linkat fchmod creat truncate mknod mknodat fallocate copy_file_range sendfile splice tee fsync
fdatasync sync_file_range flock
"""
_FILES = "mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 copy_file_range sendfile fsync fdatasync chdir"
"""System calls of a session, whose folder Landlock confines. Links and changes of owners, rights and times are left
out, because Landlock does not control them."""
_SIGNALS = ["tkill", "tgkill"]

_CLONE_THREAD = 0x00010000
_CLONE_NEW = 0x7E020080  # every CLONE_NEW* flag: user, pid, net, ipc, uts, cgroup, mount, time
_FCNTL = (0, 1, 2, 3, 4, 1030, 1032, 1034)  # DUPFD, GETFD, SETFD, GETFL, SETFL, DUPFD_CLOEXEC, GETPIPE_SZ, GET_SEALS
_IOCTL = (0x5401, 0x541B, 0x5421, 0x5451, 0x5450, 0x5413)  # TCGETS, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, TIOCGWINSZ
_PRCTL = (3, 15, 16, 23, 0x53564D41)  # GET_DUMPABLE, SET_NAME, GET_NAME, CAPBSET_READ, SET_VMA
_WRITING = 0o3 | 0o100 | 0o1000 | 0o2000 | 0o20000000  # access mode, CREAT, TRUNC, APPEND, TMPFILE


def filter_of(profile: str, memory_rlimit: str) -> str:
    """Return the name of a profile's filter under that kind of memory limit."""
    return f"{profile}-data" if memory_rlimit == "DATA" else profile


def compile_filters(*, may_signal: bool, has_landlock: bool, profiles: Sequence[str] = PROFILES) -> dict[str, bytes]:
    """Return the BPF program of each profile.

    Args:
        may_signal: a program's signals reach nothing but itself (a process namespace, or Landlock's scope).
        has_landlock: if False, ``python`` may not open files for writing at all.
    """
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as error:
        raise SandboxUnavailable(
            f"libseccomp cannot be loaded ({error}): install the Debian package libseccomp2 and pip's pyseccomp."
        ) from error
    return {profile: _compile(pyseccomp, profile, may_signal, has_landlock) for profile in profiles}


def _allowed(profile: str, may_signal: bool) -> Iterator[str]:
    yield from _READ_AND_COMPUTE.split()
    if profile not in SESSIONS:
        yield from _EXEC
    if profile == "session":
        yield from _FILES.split()
    if profile.startswith("shell"):
        yield from _PROCESSES_AND_FILES.split()
    if may_signal:
        yield from _SIGNALS


def _compile(s: Any, profile: str, may_signal: bool, has_landlock: bool) -> bytes:
    rules = s.SyscallFilter(s.ERRNO(errno.EPERM))
    allow, arg = s.ALLOW, s.Arg
    equal, masked = s.EQ, s.MASKED_EQ
    no_writing = profile == "python" and not has_landlock
    for name in _allowed(profile, may_signal):
        if name == "mmap" and profile.endswith("-data"):
            rules.add_rule(allow, name, arg(3, masked, 1, 0))  # not MAP_SHARED, except files mapped read-only
            rules.add_rule(allow, name, arg(2, masked, 2, 0), arg(3, masked, 0x21, 1))
        elif no_writing and name in ("open", "openat"):
            rules.add_rule(allow, name, arg(1 if name == "open" else 2, masked, _WRITING, 0))
        else:
            rules.add_rule(allow, name)
    for command in _FCNTL:
        rules.add_rule(allow, "fcntl", arg(1, equal, command))
    for request in _IOCTL:
        rules.add_rule(allow, "ioctl", arg(1, equal, request))
    for option in _PRCTL:
        rules.add_rule(allow, "prctl", arg(0, equal, option))
    rules.add_rule(allow, "prlimit64", arg(0, equal, 0), arg(2, equal, 0))  # reads the process's own limits
    if not profile.endswith("-data"):  # RLIMIT_DATA does not count the stack
        rules.add_rule(allow, "prlimit64", arg(0, equal, 0), arg(1, equal, resource.RLIMIT_STACK))
        rules.add_rule(allow, "setrlimit", arg(0, equal, resource.RLIMIT_STACK))
    # Event loops wake themselves through a stream pair; datagram pairs could send to paths.
    rules.add_rule(allow, "socketpair", arg(0, equal, 1), arg(1, masked, 0xF, 1))
    rules.add_rule(allow, "sendto", arg(4, equal, 0))
    if profile.startswith("shell"):
        rules.add_rule(allow, "clone", arg(0, masked, _CLONE_NEW, 0))
        rules.add_rule(allow, "utimensat", arg(1, equal, 0))  # of an open file, never of a path
    else:
        rules.add_rule(allow, "clone", arg(0, masked, _CLONE_NEW | _CLONE_THREAD, _CLONE_THREAD))
    if may_signal:
        rules.add_rule(allow, "kill", arg(0, masked, 0x80000000, 0))  # to one process, never to all
    rules.add_rule(s.ERRNO(0), "sched_setscheduler")  # Mono asks for its own default and complains on its output
    rules.add_rule(s.ERRNO(errno.ENOSYS), "clone3")
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        return os.pread(file.fileno(), 1 << 20, 0)
