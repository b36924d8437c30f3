"""Write all notebooks that are made of the chapters, with the pages of the built book read once for all of them.

    python tools/notebooks.py

The versions for Colab (`colab.py`), for students and instructors (`course.py`), and the assignments (`assignments.py`).
"""

import assignments
import colab
import course
from built_book import run

if __name__ == "__main__":
    run(colab.main, course.main, assignments.main, code=False)
