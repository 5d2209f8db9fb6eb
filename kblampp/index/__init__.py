"""Nearest keys of a store, exact or approximate, over a Faiss index: the work of the stage `index`.

Imports `core` and `encoding`.

Public names: `knowledge_index.KnowledgeIndex`, `knowledge_index.recall_against_exact`, `build.build_indexes`,
`half_index.HalfIndex`, `layered_index.LayeredIndex`.
"""
