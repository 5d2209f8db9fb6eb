"""What everything rests on: the exceptions, files that are complete or absent, `params.yaml`, and what every program
does.

Imports no other folder.

Public names: `errors.KBLaMError`, `files.atomic_write`, `files.atomic_dir`, `files.write_manifest`,
`files.read_manifest`, `params.Params`, `params_file.load_params`, `processes.joined`, `program.run_stage`.
"""
