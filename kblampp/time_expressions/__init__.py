"""The time that a question names, read from its words: `grammar` knows the units, `parse` how the question relates to
them.

Imports `data`.

Public names: `parse.parse_question_time`, `parse.without_time`.
"""
