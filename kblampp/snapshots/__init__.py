"""A living base as a model reads it: the vectors of its facts, and its states as arrays.

Imports `base`, `core`, `data`, `encoding`, `index` and `model`.  What is here is derived from a base and can be thrown
away; `base` itself needs no model, so that the stage `generate` can read one.  `snapshot` makes the arrays of one state
from rows that all states share (`rows`), `segments` keeps them beside the file, and `compaction` writes the next one.

Public names: `fact_encoder.FactEncoder`, `snapshot.Snapshot`, `compaction.Compactor`, `compaction.compact`,
`segments.forget_others`.
"""
