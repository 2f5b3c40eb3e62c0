"""``python -m sim.cli``, the command ``twin``.

Python looks for ``sim`` in the current folder first then; with ``python -P -m sim.cli``, as with ``twin``, it does not.
"""

from sim.cli import main

main()
