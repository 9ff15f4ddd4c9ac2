"""Every constraint of an answer again, in NumPy from raw numbers; shares no code with the builders.

May import problem, answer and the withdrawal stage.
"""
