import signal

from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("lookalike", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lookalike")

# Started in the background, a shell's child ignores Ctrl-C and so do its children; tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)
