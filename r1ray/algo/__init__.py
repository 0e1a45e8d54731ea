"""The mathematics: pure functions of arrays, no state, no files, no clock, no configuration object.

Axis suffixes: ``G`` completions of a group, ``B`` rows of a micro-batch, ``T`` positions of a row, ``N`` completion
tokens of a micro-batch laid end to end, ``V`` vocabulary, ``H`` hidden size.
"""
