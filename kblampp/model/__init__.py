"""What is added to the language model: query, scores and selection of facts, fusion into the hidden state, copy head,
LoRA. From hidden state to copied token, read `query`, `selector`, `injection` and `copy_head`, in this order.

Imports `core`, `data`, `encoding`, `index` and `backbone`.

Public names: `injection.KBInjectedModel`, `selector.KBSelector`, `inputs.Knowledge`, `inputs.KnowledgeBase`,
`predictor.Predictor`, `checkpoint.load_trained`, `workspace.Workspace`.
"""
