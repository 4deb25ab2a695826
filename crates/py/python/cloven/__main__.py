"""``python -m cloven`` is the ``cloven`` command."""

from cloven._process import main

main()
