"""What stands behind an answer, and whether it is its cause: the work of the stage `dump_evidence`.

Imports what `evaluation` imports, `evaluation`, `index` and `backbone`.

Public names: `trace.Trace`, `measures.evidence_rows`, `interventions.causal_deltas`, `edits.swap_tails`,
`dump.dump_evidence`.
"""
