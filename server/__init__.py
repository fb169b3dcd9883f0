"""The thin web layer: no decision about the conversation is made here."""

__version__ = "0.1.0"
