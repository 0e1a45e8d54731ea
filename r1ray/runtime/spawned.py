"""The main module of spawned processes that import much: see :func:`r1ray.runtime.imports.children_import_fast`."""

import gc

gc.disable()
