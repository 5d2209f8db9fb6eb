"""A pre-training recipe that runs in half a second."""

from __future__ import annotations

from kblampp.pretraining.examples import Recipe

TINY = Recipe(
    steps=6,
    cooldown_step=4,
    easy_steps=1,
    batch_size=8,
    warmup_steps=2,
    vocab_size=400,
    hidden_size=32,
    intermediate_size=64,
    layers=2,
    heads=4,
    world_facts=60,
    world_steps=2,
    threads=1,
)
