"""What is added to the language model: query, scores and selection of facts, fusion into the hidden state, answers from
the facts, LoRA. From hidden state to answer, read `query`, `selector`, `injection`, `answers` and `decoding`, in this
order.

Imports `core`, `data`, `time_expressions`, `encoding`, `index` and `backbone`.

Public names: `injection.KBInjectedModel`, `selector.KBSelector`, `inputs.Knowledge`, `inputs.EncodedBase`,
`predictor.Predictor`, `checkpoint.load_trained`, `workspace.Workspace`.
"""
