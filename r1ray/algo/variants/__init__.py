"""Published variants of the formula, one idea a file. :mod:`r1ray.algo.doors` names them."""
