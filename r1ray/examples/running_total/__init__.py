"""The quickstart's task: a running total of labelled operands. It is so small that a model of 0.4 million parameters,
made in two minutes on a CPU, is a base model for it in the sense of the paper: it has seen every ingredient of a good
answer, and rarely combines them.

    24a+4b+3c-5d+3  ->  <think>24a+4=28b+3=31c-5=26d+3=29</think><answer>29</answer>

``task`` makes questions, ``corpus`` the documents for pretraining, ``tokenizer`` and ``pretrain`` the base model,
``rewards`` the parts that only this task needs; ``maker`` combines them for the ``prepare`` stage.
"""
