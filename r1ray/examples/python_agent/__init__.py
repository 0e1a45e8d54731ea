"""Questions that a model of 135 million parameters cannot answer in its head, and a line of Python can.

    user        What is the sum of the digits of 48213?
    assistant   <tool_call>{"name": "python", "arguments": {"code": "sum(map(int, '48213'))"}}</tool_call>
    user        <tool_response>18</tool_response>
    assistant   18

``task`` has the questions, ``maker`` the model, the prompts and the dialogues of its cold start.
"""
