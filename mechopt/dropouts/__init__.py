"""Drop-outs for reasons outside the model: is the threshold still met when users are lost?

`hazards` reads the chances, `laws` has the law of the loss, `crossing` the probability. May import
problem, answer, solver and the ground.
"""

from mechopt.dropouts.crossing import Crossing, crossing
from mechopt.dropouts.hazards import Hazards, hazards_of

__all__ = ["Crossing", "Hazards", "crossing", "hazards_of"]
