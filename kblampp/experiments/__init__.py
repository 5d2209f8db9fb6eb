"""Runs of the pipeline by a program: sweeps over a parameter, cross-validation on real data.

Imports `core` and `report`.

Public names: `dvc_runs.run_experiment`, `sweep.run_sweeps`, `cross_validation.run_dataset`.
"""
