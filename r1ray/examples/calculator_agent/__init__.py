"""The first agent's task: sums that are too large for a model of 0.4 million parameters without a tool, and a
calculator that it has seen a few times.

    What is 37*82+15?  ->  <tool_call>{"name": "calculator", "arguments": {"expression": "37*82+15"}}</tool_call>
                       ->  <tool_response>3049</tool_response>  ->  3049

``task`` makes questions, ``corpus`` the dialogues for pretraining the base model, ``tokenizer`` its words and its chat
template; ``maker`` combines them for the ``prepare`` stage.
"""
