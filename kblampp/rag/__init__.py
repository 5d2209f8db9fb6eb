"""The backbone with retrieved facts in its prompt: how it is asked, and LoRA that learns to answer from such prompts.

Imports `core`, `data`, `backbone`, `model` and `evaluation`.

Public names: `prompts.PromptStyle`, `prompts.fitting`, `prompts.styles`, `training.Recipe`, `training.train_rag`,
`adapter.RagAdapter`, `adapter.load_rag`.
"""
