"""``python -m tuneguard`` is the program ``tuneguard``."""

from tuneguard.cli.app import main

main()
