"""Losses, the training loop and both stages of training: the work of `trainA` and `trainB`.

Imports `core`, `data`, `backbone` and `model`.

Public names: `losses.compute_losses`, `loop.train`, `stage_a.train_stage_a`, `stage_b.train_stage_b`,
`stored_states.stored_states`.
"""
