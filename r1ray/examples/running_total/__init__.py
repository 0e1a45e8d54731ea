"""The quickstart's task: a running total of labelled operands, small enough that a model of 0.4 million parameters,
made in two minutes on a CPU, is a base model for it in the sense of the paper: it has seen every ingredient of a good
answer, and rarely puts them together.

    24a+4b+3c-5d+3  ->  <think>24a+4=28b+3=31c-5=26d+3=29</think><answer>29</answer>

``task`` makes questions, ``corpus`` the documents the base model is pretrained on, ``tokenizer`` and ``pretrain`` the
base model, ``rewards`` what only this task needs, ``maker`` puts them together for the ``prepare`` stage.
"""
