"""Real datasets to facts and questions, a module a dataset; `registry` finds them by name."""
