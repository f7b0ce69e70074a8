"""One file -> one payload, and back to pixels.

encoding.py      what an encoding is: its name, size and quality
jpeg_header.py   a JPEG's markers, read without decoding it
decode.py        bytes of any format -> RGB, the right way up
shrink.py        pixels -> fewer pixels, by area
planes.py        RGB <-> Y, U and V planes
encode.py        bytes -> a payload: kept, resized, re-encoded, or refused
buffers.py       memory that is used again for every image
compiled.py      how loops over pixels are compiled
contact_sheet.py pictures with captions, side by side on one
"""
