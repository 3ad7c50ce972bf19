"""What tools/gen.py makes from schema/ops.json, one module per kind of file."""
