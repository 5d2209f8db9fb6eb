"""Nearest keys of a store, exact or approximate, over a Faiss index or in Milvus: the work of the stage `index`.

Imports `core`, `data` and `encoding`.

Public names: `knowledge_index.KnowledgeIndex`, `knowledge_index.recall_against_exact`, `milvus_index.MilvusIndex`,
`half_index.HalfIndex`, `layered_index.LayeredIndex`, `validity.Validity`, `build.build_indexes`.
"""
