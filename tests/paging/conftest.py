"""Hypothesis as these tests want it: new cases every time, and the failing one printed."""

from hypothesis import HealthCheck, Phase, settings

# Without a deadline, for a loaded machine is no bug; not derandomised, also in CI.
settings.register_profile(
    "paging",
    deadline=None,
    derandomize=False,
    print_blob=True,
    phases=set(Phase) - {Phase.explain},  # it costs minutes and tells of numpy's insides
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("paging")
