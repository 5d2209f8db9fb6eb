"""The command line `kblampp`: a living base is made, filled, changed, asked and served.

Imports core, data, tables, base, asking, server and the program doctor.  A module that brings torch along is imported
by the command that needs it, so that the others start at once.

Public names: `app.main`.
"""
