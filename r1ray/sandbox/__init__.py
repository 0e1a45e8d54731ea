"""Untrusted programs, run so that they can harm nothing and learn nothing.

    Sandbox (pool.py) -- one slot per core --> Slot (slot.py) == socket ==> zygote.py -- fork --> the program
                                                                            in bubblewrap where that works
    Sessions (sessions.py) -- Session (session.py), which keeps what programs define from cell to cell
         `-- SessionSlot (session_slot.py) == socket ==> session_host.py -- fork --> the session

What holds a program (each alone is not enough): a clean environment and no inherited descriptors; rlimits; Landlock
(no file outside the language's own read-only tree, no signal out, no TCP); a seccomp allow-list (no process, no exec,
no socket, no file system change for interpreted Python; more only where a language needs it); a CPU limit, a wall clock
in the zygote and a second one in the supervisor; and, where the machine allows user namespaces, no network, no process
and no file of the machine to be seen at all.

What is not covered: kernel bugs, timing side channels, and, without bubblewrap, that a program can find out by ``stat``
which paths exist. Run reward actors in pods without secrets and without egress all the same.

Nothing here imports more than the standard library, landlockpy and pyseccomp.
"""
