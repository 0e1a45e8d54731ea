"""Code RL in small: a description of two operations in, a Python program of a few tokens out, judged by its tests in
the real sandbox. The base model has the parts and few of the rules."""
