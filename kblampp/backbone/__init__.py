"""The frozen language model: its files, how it is loaded and checked, and where its decoder layers are.

Imports `core`.

Public names: `load.Backbone`, `load.load_backbone`, `gguf.gguf_folder`, `decoder_layers.find_decoder_layers`.
"""
