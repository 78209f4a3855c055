"""A mount namespace of a test's own, also where the test runs in a chroot."""

from __future__ import annotations

MAKE_PRIVATE = "{ mount --make-rprivate / 2>/dev/null || nsenter --mount=/proc/self/ns/mnt mount --make-rprivate /; }"
"""Shell command: let no mount of the namespace be seen outside of it.

In a chroot, `/` is no mount point. To enter the namespace that the shell is in already leads out to one that is.
"""
