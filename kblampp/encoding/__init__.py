"""Texts and windows to vectors, and the store that holds a base's keys and values: the work of the stage `encode`.

Imports `core`, `data` and `time_expressions`.

Public names: `sentence_encoder.load_encoder`, `vector_cache.with_disk_cache`, `projections.Projections`,
`store.KBValueStore`, `encode.encode_dataset`.
"""
