"""Support of the loop: deadlines, lost engines, checkpoints, metrics. Not part of the algorithm itself."""
