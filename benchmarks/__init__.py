"""What is measured, one module a question: `python -m benchmarks.NAME [--quick] [--out DIR]`."""
