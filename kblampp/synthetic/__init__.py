"""The synthetic worlds and their questions, and the words and relations that they are made of.
Worlds have 20 relations (`relations.yaml`); open bases have 341 (`open_relations.json`), with labels after Wikidata's
properties (CC0) and wordings of our own.

Imports `core` and `data`.

Public names: `dataset.make_synthetic`, `worlds.make_world`, `questions.QuestionWriter`, `schema.RELATIONS`,
`open_worlds.make_open_base`, `open_questions.OpenQuestionWriter`, `open_schema.is_held_out`.
"""
