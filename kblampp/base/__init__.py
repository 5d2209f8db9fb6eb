"""A living knowledge base: facts are added, changed, ended and deleted while it is asked, and their history stays.

Imports core, data, encoding, index, model and tables.  SQLite holds the truth (`database`, `knowledge_base`); what a
model reads is derived from it and can be thrown away: `vectors` encodes each distinct fact once, `snapshot` makes the
arrays of one state from rows that all states share (`rows`), `segments` keeps them beside the file, and `compaction`
writes the next segment.

Public names: `knowledge_base.KnowledgeBase`, `editing.fact_of`, `editing.changed`, `records.Version`,
`records.Call`, `fact_encoder.FactEncoder`, `vectors.VectorTable`, `snapshot.Snapshot`, `compaction.Compactor`,
`compaction.compact`, `segments.forget_others`.
"""
