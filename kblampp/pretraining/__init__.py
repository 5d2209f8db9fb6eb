"""How the embedded language model was made, from synthetic worlds that share no name with the evaluated ones (`make
pretrain`).

Imports `core`, `data`, `synthetic` and the prompts of `model`.

Public names: `train.pretrain`, `examples.Recipe`.
"""
