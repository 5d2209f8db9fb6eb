"""Writes an answer as a sentence of the question's own words, around what was copied: `grammar` makes the wordings that
a question can become, `chooser` lets the language model say which one is written, and no other can be.

Imports `backbone` and `model`.

Public names: `pieces.Piece`, `pieces.text_of`, `english.OWN_WORDS`, `chooser.Chooser`, `writer.Told`,
`writer.wordings`, `writer.write_sentence`.
"""
