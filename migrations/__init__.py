"""The database's schema, step by step, run by `frugaldesk db upgrade` and `db downgrade`."""
