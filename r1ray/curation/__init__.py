"""What a data set is made of: which examples are kept, and what is said of them (paper sections 2.3.1 and 2.3.3).

examples --filters, duplicates, decontamination--> kept --mixture--> rows --card--> Parquet, README.md, card.json
"""
