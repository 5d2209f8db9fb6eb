"""Programs that measure: sweeps over a parameter, cross-validation on real data, transfer to bases never seen, what
each step of the design brings there, all systems side by side, living bases of any size; and one that trains RAG, to
be compared.

Imports `core`, `data`, `time_expressions`, `synthetic`, `tuning`, `encoding`, `index`, `model`, `evaluation`,
`training`, `report`, `transfer`, `sentences`, `base`, `snapshots`, `asking` and `rag`.

Public names: `dvc_runs.run_experiment`, `sweep.run_sweeps`, `cross_validation.run_dataset`,
`transfer.main`, `whole_answers.main`, `ablation.run_ablation`, `sentences.run_sentences`,
`perplexity.run_perplexity`, `systems.run_systems`, `scale.fill`, `scale.ask`, `train_rag.main`.
"""
