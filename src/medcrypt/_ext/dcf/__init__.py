"""Function secret sharing between two parties: distributed comparison and point functions."""

from medcrypt._ext.dcf.functions import BLOCK, SharedFunction

__all__ = ["BLOCK", "SharedFunction"]
