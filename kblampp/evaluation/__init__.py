"""Metrics, the systems that are compared, and the tables: the work of the stage `eval`.

Imports `core`, `data`, `time_expressions`, `encoding` and `model`.

Public names: `metrics.exact_match`, `metrics.f1`, `questions.with_times`, `systems.ABLATIONS`, `table.score_table`,
`abstention.abstention_table`, `evaluate.run_evaluation`.
"""
