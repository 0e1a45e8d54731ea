"""What keeps the loop running and tells of it: deadlines, lost engines, checkpoints, metrics. Not the idea itself."""
