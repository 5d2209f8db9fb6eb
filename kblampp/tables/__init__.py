"""A stranger's table of facts, whatever it looks like: its encoding, columns and dates, and how they were understood.

Imports `core` and `data`.

Public names: `reading.read_facts_table`, `reading.TableReading`, `reading.write_rejected`, `reading.preview`,
`dates.read_bound`, `dates.bound_text`, `questions.read_questions`.
"""
