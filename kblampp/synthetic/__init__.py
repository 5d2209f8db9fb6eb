"""The synthetic worlds and their questions, and the words and relations that they are made of.

Imports `core` and `data`.

Public names: `dataset.make_synthetic`, `worlds.make_world`, `questions.QuestionWriter`, `schema.RELATIONS`.
"""
