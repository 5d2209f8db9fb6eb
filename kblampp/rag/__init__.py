"""The backbone with retrieved facts in its prompt: how it is asked, and LoRA that learns to answer from such prompts.

Imports `core`, `data`, `backbone` and `model`.

Public names: `prompts.PromptStyle`, `prompts.fitting`, `prompts.styles`, `adapter.RagAdapter`,
`adapter.load_rag`.
"""
