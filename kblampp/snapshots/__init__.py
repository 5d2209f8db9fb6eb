"""A living base as a model reads it: the vectors of its facts, and one state of it as arrays.

Imports `base`, `data`, `encoding`, `index` and `model`.  What is here is derived from a base and can be thrown away;
`base` itself needs no model, so that the stage `generate` can read one.

Public names: `fact_encoder.FactEncoder`, `snapshot.Snapshot`.
"""
