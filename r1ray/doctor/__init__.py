"""``r1ray doctor``: would this run work on this cluster? Every check ends green, yellow or red.

node.py, examine.py (r1ray/cluster)  --facts-->  judging.py   --findings-->  findings.py (table, JSON)
model.py, rows.py                    --findings-----------------^
examination.py                       what is looked at, in which order, and for how long
"""
