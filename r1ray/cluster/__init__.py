"""The roles as Ray actors: placement, start, recovery, jobs. Every process of a run on a cluster imports it first."""

from r1ray.runtime.job_environment import adopt

adopt()  # before libraries look at the environment
