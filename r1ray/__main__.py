"""``python -m r1ray``: the same command line as ``r1ray``, used as the entrypoint of Ray jobs."""

from r1ray.main import entrypoint

if __name__ == "__main__":
    entrypoint()
