"""Tests of the living base."""
