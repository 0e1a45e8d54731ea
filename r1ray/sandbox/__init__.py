"""Isolated execution of untrusted programs, which can neither change nor read anything outside their sandbox.

    Sandbox (pool.py) -- one slot per core --> Slot (slot.py) == socket ==> zygote.py -- fork --> the program
                                                                            in bubblewrap where that works
    Sessions (sessions.py) -- Session (session.py), which keeps what programs define from cell to cell
         `-- SessionSlot (session_slot.py) == socket ==> session_host.py -- fork --> the session

A program is contained by several layers, none of which is enough alone: a clean environment and no inherited
descriptors; rlimits; Landlock (no file outside the language's own read-only tree, no signal out, no TCP); a seccomp
allow-list (no process, no exec, no socket, no file system change for interpreted Python; more only if a language needs
it); a CPU limit, a wall clock in the zygote and a second one in the supervisor; and, if the machine allows user
namespaces, no view of the machine's network, processes and files at all.

The sandbox does not cover kernel bugs and timing side channels. Without bubblewrap, a program can also find out with
``stat`` which paths exist. Run reward actors in pods without secrets and without egress all the same.

Nothing here imports more than the standard library, landlockpy and pyseccomp.
"""
