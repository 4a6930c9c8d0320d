"""Snapshots of a machine: its whole state kept, put back any number of times, and given to a second one.

What a user of the library holds is `Machine`:

    snapshot = machine.snapshot()   # between two slices or steps; costs what has changed since the last one
    machine.restore(snapshot)       # any number of times, in any order, forwards and back
    other = machine.fork()          # a second machine in the same state, that goes on by itself

Kept are the kernel and all that hangs on it, frames included, what was fed, written and captured, the seeded
decider, and the engine's part. Left alone are what classes name in `OUTSIDE_STATE` (engine, observers, the
host's files) and a decider of the caller's own: who puts one in
`machine.kernel.decider` goes back in it himself.
Kernel objects stay the same objects: `machine.command` before is `machine.command` after.
"""

from __future__ import annotations
