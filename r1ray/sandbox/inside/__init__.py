"""What runs on the other side of the control socket, under the sandbox's own interpreter.

These modules are copied to where that interpreter may read them; they import the standard library, landlockpy and each
other, and nothing else.
"""
