"""Published variants of the formula, one function a file. :mod:`r1ray.algo.doors` names them."""
