"""What the experiment is about: five-tuples, questions, days and windows, and the files of a dataset.

Imports `core`.

Public names: `facts.FiveTuple`, `facts.Question`, `windows.Window`, `dataset.Dataset`, `dataset.DatasetWriter`,
`jsonl.read_rows`.
"""
