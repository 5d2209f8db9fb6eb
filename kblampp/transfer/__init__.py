"""What a trained adapter answers about bases that it has never seen: the work of the stage `transfer`.

Imports `core`, `data`, `converters`, `encoding`, `index`, `backbone`, `model`, `evaluation` and `rag`.

Public names: `bases.HELD_OUT`, `phrase_lookup.phrase_lookup`, `scoring.GROUPS`, `measure.run_transfer`,
`whole.run_whole`, `hubs.run_hubs`, `ablation.ask_without`.
"""
