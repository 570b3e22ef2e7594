"""Generated from Proto/hubaudit/v1: the messages of the log and of the wire. `python -m hubaudit.v1.generate` writes them anew."""
