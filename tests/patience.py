"""How long a test waits for what it started.

A limit only ends a hang: what a slow or busy machine does late is right all the same. So there is one for all tests,
too long to be met by anything that still works, and no test is made quicker by a shorter one, because each waits for
a condition and goes on as soon as it holds. Where a timeout is what is tested, it follows the machine instead.
"""

HANG_S = 600
"""After this long a session, a process or a condition counts as hung."""
FOREVER_S = 2 * HANG_S
"""What sleeps this long does not end by itself while a test waits for its end."""
