"""Tunes the sentence encoder to hear which relation a question asks for: the work of the stage `tune`.

Imports `core`, `data`, `time_expressions`, `encoding` and `synthetic`.

Public names: `examples.ExampleMaker`, `measure.measure`, `tune.run_tune`.
"""
