"""A world of a user's own, for real runs: the policy says something, is asked once more, and is paid."""

from r1ray.turns import Done


class TwoTurns:
    def reset(self, prompt, seed):  # type: ignore[no-untyped-def]
        self.first = ""

    def step(self, action):  # type: ignore[no-untyped-def]
        if action.turn == 0:
            self.first = action.content
            return "again ?"
        return Done(rewards={"longer": float(len(action.content) > len(self.first))}, label="answered")
