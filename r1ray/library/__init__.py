"""r1ray as a library: the verbs as functions, and a run as Arrow tables. :mod:`r1ray` offers them by their names."""
