"""The layouts of prompt files that users already have: a table with an entry for each, read into one form.

    row --Layout--> RawPrompt, or MalformedRow (not of the layout), or UnusableRow (of it, but nothing can be judged)

``layout.py`` has the form of an entry, ``questions.py`` and ``references.py`` what entries share, and each other file
the entries of a kind; ``table.py`` puts them in their order.
"""

from r1ray.data.layouts.layout import Layout, RawPrompt, Row
from r1ray.data.layouts.references import final_answer
from r1ray.data.layouts.table import LAYOUTS, recognise, unknown_columns

__all__ = ["LAYOUTS", "Layout", "RawPrompt", "Row", "final_answer", "recognise", "unknown_columns"]
