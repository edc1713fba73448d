"""The only package that touches ministack's own names.

ministack has no plug-in interface: its module-level tables and functions are extended and replaced here,
before its gateway starts. Each of those names is checked first, so that another version of ministack is
refused with a list of what is different, and does not fail somewhere half-way. The pin in
requirements-dev.in is exact for the same reason.

CloudFormation and Step Functions take 1.5 s to import; they are loaded and extended on a thread after the
gateway has started, and the first request for them waits for that.
"""

from sandbox.ministack_adapter.gateway import Emulator, Ministack
from sandbox.ministack_adapter.hooks import EXPECTED_VERSION, Hook, IncompatibleMinistack, check

__all__ = ["EXPECTED_VERSION", "Emulator", "Hook", "IncompatibleMinistack", "Ministack", "check"]
