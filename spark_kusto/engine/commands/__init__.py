"""Management commands: a table of rows (``table``), result schemas (``schemas``), a module a family."""
