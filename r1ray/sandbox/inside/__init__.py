"""Code on the other side of the control socket, under the sandbox's own interpreter.

These modules are copied to a folder that this interpreter may read. They import only the standard library, landlockpy
and each other.
"""
