"""The commands of the command line, one module each; `mechopt.cli` lists them.

Words in (`options`), text out (`output`, `show`). May import everything.
"""
