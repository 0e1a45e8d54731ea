r"""Arithmetic in one step on SmolLM2-135M-Instruct: a pretrained model with a real vocabulary, on two CPU cores.

    <|im_start|>user\nWhat is 7 * 8?<|im_end|>\n<|im_start|>assistant\n  ->  7 * 8 = 56.

``model`` makes a Hugging Face folder from the model's file, ``task`` has the questions; ``maker`` combines them for the
``prepare`` stage.
"""
