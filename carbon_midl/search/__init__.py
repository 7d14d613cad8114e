"""Live search: candidates are trained step by step as a policy asks, within a budget, by one worker or several."""
