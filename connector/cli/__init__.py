"""The command line: one module per noun, each a thin call of a use-case."""
