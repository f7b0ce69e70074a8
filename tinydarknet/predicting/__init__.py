"""From image files to classes.

predictors.py   a file that holds the network -> something that gives probabilities
pictures.py     paths -> batches of pixels, decoded ahead on threads
pixels.py       one decoded image -> the square that the network looks at
guesses.py      probabilities -> the likeliest classes, as text, JSON or captions
"""
