"""From measured parts to a step that nobody measured: budget.py adds up, simulation.py plays it through."""
