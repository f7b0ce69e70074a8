"""From image files to classes.

predictors.py   a file that holds the network -> something that gives probabilities
pictures.py     paths -> batches of the squares that the network looks at, decoded ahead on threads
guesses.py      probabilities -> the likeliest classes, as text, JSON or captions
"""
