"""asv benchmarks by topic. A suite whose subject does not exist at the commit being measured is skipped.

asv takes NotImplementedError in ``setup`` for "not at this commit". Each suite imports what it measures
there, so that one missing name never hides the other suites.
"""
