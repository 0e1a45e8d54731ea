"""r1ray as a library: the verbs as functions, and runs as Arrow tables. :mod:`r1ray` exports their names."""
