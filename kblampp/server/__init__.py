"""A base over HTTP (its own JSON, OpenAI's dialect, a page) and as a tool server of language-model programs.

Imports `core`, `data` and `tables`.

Public names: `app.create_app`, `settings.Settings`, `serve.serve`, `batching.Batcher`, `mcp_server.build_mcp`,
`protocols.Base`, `protocols.AskingModel`.
"""
