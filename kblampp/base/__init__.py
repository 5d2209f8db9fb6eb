"""A living knowledge base: facts are added, changed, ended and deleted while it is asked, and their history stays.

Imports `core`, `data` and `tables`: no model.  SQLite holds the truth (`database`, `knowledge_base`); `vectors` keeps
beside it what an encoder makes of each distinct fact, which can be thrown away.  What a model reads of a base is in
`snapshots`.

Public names: `knowledge_base.KnowledgeBase`, `editing.fact_of`, `editing.changed`, `records.Version`,
`records.Call`, `vectors.VectorTable`.
"""
