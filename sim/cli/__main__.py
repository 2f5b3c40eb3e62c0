"""``python -m sim.cli`` is the command ``twin``.

With ``python -m``, Python looks for ``sim`` in the current folder first. With ``python -P -m sim.cli`` it does not, and
neither does ``twin``.
"""

from sim.cli import main

main()
