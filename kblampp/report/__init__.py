"""Committed figures to tables, images and one page: nothing here computes a result.

Imports `core` and `data`.

Public names: `tables.results`, `evaluation_plots.draw_evaluation`, `evidence_plots.draw_evidence`, `page.write_page`,
`style.drawn`.
"""
