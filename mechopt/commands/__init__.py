"""The commands of the command line, one module each; `mechopt.cli` lists them."""
