"""Generated from Proto/ by generate.sh; not part of the public API."""
