"""``python -m kblampp.report``: see `report.tables`."""

from __future__ import annotations

from kblampp.report.tables import main

if __name__ == "__main__":
    raise SystemExit(main())
