"""The running total in English and in Chinese: a task on which a model of 0.4 million parameters can go through the
whole R1 recipe, because its base model has the faults that the recipe repairs.

    find 24a+4c-5  ->  <think>24a+4 makes 28c-5 leaves 23</think><answer>23</answer>
    求24a+4c-5     ->  <think>24a+4得28c-5剩23</think><answer>23</answer>

The base model mixes the two languages in half of its worked answers, and knows additions better in English and
subtractions better in Chinese, so that a reward for right answers alone encourages mixing.

``phrases`` holds the words of each language, ``task`` the questions and worked solutions, ``talk`` the prompts without
a rule, ``corpus`` the documents of pretraining, ``written`` the texts that people would write for the later stages,
``rewards`` the parts that are only logged; ``maker`` combines them for the ``prepare`` stage.
"""
