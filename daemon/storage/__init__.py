"""The one SQLite file: the queue, the results and the outbox. Nothing outside this folder writes SQL."""

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec

# sqlite-utils loads numpy and pandas where they are installed, for data that earshot does not store: each
# command would be a tenth of a second slower, and take 15 MB more. A module for which None stands here is not
# found.
_unused = {name: None for name in ("numpy", "pandas") if name not in sys.modules}
sys.modules.update(_unused)  # type: ignore[arg-type]

# This, a fiftieth of a second, it wants for a conversion that earshot does not use: loaded when it is used.
if (_spec := find_spec("dateutil.parser")) and _spec.loader and "dateutil.parser" not in sys.modules:
    _spec.loader = LazyLoader(_spec.loader)
    sys.modules["dateutil.parser"] = _module = module_from_spec(_spec)
    _spec.loader.exec_module(_module)
    # By this name: to look for it in sys.modules would load it.
    sys.modules["dateutil"].parser = _module  # type: ignore[attr-defined]

import sqlite_utils  # noqa: E402, F401

for _name in _unused:
    del sys.modules[_name]
