"""The loop as a discrete-event model: engines, environments, scorers, learner, publishes and faults.

It answers what rooflines cannot: what waits for what. Groups are issued and chosen by the loop's own rule
(:class:`r1ray.loop.admission.Admission`); the seconds of decode steps, updates and publishes are those of
:mod:`r1ray.planning`.
"""
