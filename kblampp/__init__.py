"""KBLaM++: a frozen language model that reads a knowledge base of timed facts."""

__version__ = "0.1.0"
