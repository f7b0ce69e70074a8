"""Imported by the fork server of the workers, and by nothing else: numba and its loop are at hand in every worker then.

Each would need 0.3 s for that by itself. The one module that works when it is imported: a fork server can only import.
"""

import numpy as np

from convert.image import planes

planes.resized(np.zeros((4, 4, 3), np.uint8), 2, 2)
