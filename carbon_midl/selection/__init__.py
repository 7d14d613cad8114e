"""Choosing a model by its Dice and its footprint: how sure the Dice is, and what one more point of it costs."""
