"""KBLaM++: a frozen language model that reads a knowledge base of timed facts."""

import logging

__version__ = "0.1.0"

# peft imports it, and on some processors each import would warn of a package that downloads faster kernels.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
