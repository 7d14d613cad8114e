"""One network on one archive of crops: options, batches, recipes, the loop, and what comes of it."""
