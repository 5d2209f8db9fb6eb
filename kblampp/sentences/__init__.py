"""Writes an answer as a sentence of the question's own words, around what was copied.

`grammar` makes the statements that a question can become, `chooser` lets the language model say which one is written.
No word comes from anywhere but the question, the facts and a short list of English words (`english.OWN_WORDS`).

Imports model.

Public names: `pieces.Piece`, `pieces.Origin`, `english.OWN_WORDS`, `chooser.Chooser`, `writer.Told`,
`writer.write_sentence`.
"""
