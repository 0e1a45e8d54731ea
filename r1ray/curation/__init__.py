"""Curation of data sets: the choice of examples, and a card that describes them (paper sections 2.3.1 and 2.3.3).

examples --filters, duplicates, decontamination--> kept --mixture--> rows --card--> Parquet, README.md, card.json
"""
