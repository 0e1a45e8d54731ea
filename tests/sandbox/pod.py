"""Start a command as a pod with RuntimeDefault seccomp would: an unprivileged user without capabilities, no new
privileges, and the calls refused that container runtimes' default profile refuses without CAP_SYS_ADMIN.

    python -m tests.sandbox.pod COMMAND ...
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

import pyseccomp as seccomp

NOBODY = 65534
REFUSED = """
unshare setns mount umount2 pivot_root move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr chroot
reboot swapon swapoff kexec_load kexec_file_load init_module finit_module delete_module bpf perf_event_open
userfaultfd open_by_handle_at name_to_handle_at lookup_dcookie quotactl acct add_key request_key keyctl pidfd_getfd
kcmp io_uring_setup io_uring_enter io_uring_register settimeofday clock_settime clock_adjtime adjtimex iopl ioperm
syslog sethostname setdomainname vhangup fanotify_init process_madvise
"""
_CLONE_NEW = 0x7E020000


def enter(uid: int = NOBODY) -> None:
    """Become such a process."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in range(64):
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    for name in REFUSED.split():
        rules.add_rule(seccomp.ERRNO(errno.EPERM), name)
    for bit in range(7, 32):
        if _CLONE_NEW >> bit & 1:
            rules.add_rule(seccomp.ERRNO(errno.EPERM), "clone", seccomp.Arg(0, seccomp.MASKED_EQ, 1 << bit, 1 << bit))
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.load()


if __name__ == "__main__":
    enter()
    os.environ["HOME"] = "/tmp"
    os.execvp(sys.argv[1], sys.argv[1:])
