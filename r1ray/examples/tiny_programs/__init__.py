"""Code RL on a small scale: from a description of two operations to a Python program of a few tokens, judged by tests
in the real sandbox. The base model knows the parts and few of the rules."""
