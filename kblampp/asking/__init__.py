"""Asks a trained model about a base, and says what the answer rests on.

Imports core, data, time_expressions, encoding, model, sentences, tables, base and snapshots.

Public names: `kb_model.KBModel`, `asked.Asked`, `kb_model.find_adapter`, `reader.Reader`, `replies.Reply`,
`wording.in_a_sentence`.
"""
