"""The one SQLite file: the queue, the results and the outbox. Nothing outside this folder writes SQL."""

import sys

# sqlite-utils loads numpy and pandas where they are installed, for data that earshot does not store: each
# command would be a tenth of a second slower, and take 15 MB more. A module for which None stands here is not
# found.
_unused = {name: None for name in ("numpy", "pandas") if name not in sys.modules}
sys.modules.update(_unused)  # type: ignore[arg-type]

import sqlite_utils  # noqa: E402, F401

for _name in _unused:
    del sys.modules[_name]
