"""The time that a question names, read from its words: `grammar` knows the units of the calendar, `words` those that
are written in words, `relative` those that are told from the day of asking, `parse` how the question relates to them;
`events` finds times that only an event tells.

Imports `data`.

Public names: `parse.read_time`, `parse.TimeReading`, `parse.parse_question_time`, `parse.without_time`.
"""
