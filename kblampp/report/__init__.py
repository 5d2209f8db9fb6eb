"""Committed figures to tables, images and one page: nothing here computes a result; images are the stage `plots`.

Imports `core` and `data`.

Public names: `names.SYSTEMS`, `names.TYPE_NAMES`, `plots.PLOTS`, `plots.draw_plots`, `tables.results`,
`page.write_page`, `style.drawn`.
"""
