"""What a run will need, worked out before anything is asked for: pure functions of the configuration.

    shapes (config.json) --> memory, disk, duration <-- gpus
                  plan_run(config) --> Plan --> report, advice (the nearest change that fits)

No torch, no Ray, no model files: a laptop plans a cluster.
"""
