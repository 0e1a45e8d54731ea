"""Mathematics of the algorithms: pure functions of arrays, without state, files, clock or configuration object.

Axis suffixes: ``G`` completions of a group, ``B`` rows of a micro-batch, ``T`` positions of a row, ``N`` completion
tokens of a micro-batch laid end to end, ``V`` vocabulary, ``H`` hidden size.
"""
