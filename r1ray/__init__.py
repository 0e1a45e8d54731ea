"""r1ray: DeepSeek-R1's reinforcement learning as a distributed actor/learner system on Ray."""

__version__ = "0.1.0"
