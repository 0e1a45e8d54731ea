"""Trackers: each is fed by a helper process of its own, which follows the run's folder.

    metrics.jsonl, rollouts/, hf/  --follower.py-->  tracker.py: to_tensorboard.py, to_wandb.py, ...
    driver  --supervision.py, process.py-->  helper.py, a process a tracker: started again where it ends

The folder is the queue: the driver hands nothing over, so that a tracker that is away, or takes minutes to start, holds
nobody up and loses nothing. ``trackers/<name>.json`` in the folder has what was sent so far.
"""
