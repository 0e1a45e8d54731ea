"""The commands, one a file: each parses its arguments, calls, and prints. compose.py reads the configuration."""
