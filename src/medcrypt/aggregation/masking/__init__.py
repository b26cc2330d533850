"""Sums behind masks: Bonawitz et al. 2017 over the graphs of Bell et al. 2020, for clients that may vanish.

`MaskingClient` and `MaskingServer` are state machines that exchange bytes in five rounds:

    client                                      server
    advertise   public keys               ->
                                          <-    the neighbours' keys
    share       encrypted shares          ->
                                          <-    who participates; shares from the neighbours
    upload      masked integers           ->
                                          <-    who uploaded; with whom the neighbours masked
    confirm     signature over both sets  ->
                                          <-    a quorum of signatures
    reveal      one share for everybody   ->
                                                total

`docs/explanation/masking.md` has the equations and what they rest on, `docs/formats/masking.md` every byte.
"""

from medcrypt.aggregation.masking.client import MaskingClient
from medcrypt.aggregation.masking.server import MaskingServer

__all__ = ["MaskingClient", "MaskingServer"]
