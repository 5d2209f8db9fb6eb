"""Raw files of real datasets to facts and questions, a file a dataset; `registry` lists them.

Imports `core`, `data`, `time_expressions`, `tables` and `base`.

Public names: `registry.CONVERTERS`, `registry.convert_dataset`, `conversion.Conversion`.
"""
