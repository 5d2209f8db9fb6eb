"""``python -m kblampp.pretraining``: see `pretraining.train`."""

from __future__ import annotations

from kblampp.pretraining.train import main

if __name__ == "__main__":
    raise SystemExit(main())
