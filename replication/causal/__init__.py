"""Paper B: protocols, methods, and the runs behind the verdicts on its claims (Shah et al., arXiv:2412.03035)."""
