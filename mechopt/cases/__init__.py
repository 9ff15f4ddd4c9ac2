"""Problems to try: generated families, calibration from real capacities, drop-outs.

May import problem, dropouts and the ground.
"""
