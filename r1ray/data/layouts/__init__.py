"""The layouts of existing prompt files: a table with an entry for each, read into one form.

    row --Layout--> RawPrompt, or MalformedRow (not of the layout), or UnusableRow (of it, but nothing can be judged)

``layout.py`` defines an entry, ``questions.py`` and ``references.py`` have the code that entries share, and each other
file has the entries of a kind. ``table.py`` puts them in order.
"""

from r1ray.data.layouts.layout import Layout, RawPrompt, Row
from r1ray.data.layouts.references import final_answer
from r1ray.data.layouts.table import LAYOUTS, recognise, unknown_columns

__all__ = ["LAYOUTS", "Layout", "RawPrompt", "Row", "final_answer", "recognise", "unknown_columns"]
