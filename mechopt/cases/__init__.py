"""Problems to try: generated families, calibration from real capacities.

May import problem and the ground.
"""
