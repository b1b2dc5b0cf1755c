"""Mendeleev numbers: elements on a line, neighbors alike in the compounds that they form."""

import numpy as np

# Of each element from H to Lr: D. G. Pettifor, J. Phys. C 19, 285 (1986); pymatgen has the same.
_NUMBERS = """
103 1 12 77 86 95 100 101 102 2 11 73 80 85 90 94 99 3 10 16 19 51 54 57 60 61 64 67 72 76 81 84
89 93 98 4 9 15 25 49 53 56 59 62 65 69 71 75 79 83 88 92 97 5 8 14 33 32 31 30 29 28 18 27 26 24
23 22 21 17 20 50 52 55 58 63 66 68 70 74 78 82 87 91 96 6 7 13 48 47 46 45 44 43 42 41 40 39 38 37
36 35 34
"""
_KNOWN = [int(word) for word in _NUMBERS.split()]

#: By atomic number, 0 to 118; int64 ``[119]``. An element after Lr has the number of the one above
#: it in the periodic table; 0 stands for no element.
MENDELEEV_NUMBERS = np.array([0, *_KNOWN, *_KNOWN[71:86]])
MENDELEEV_NUMBERS.setflags(write=False)
