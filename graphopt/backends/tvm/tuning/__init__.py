"""Measured choices for schedules, where analysis may be wrong about a machine.

    tasks      a fused module → its kernels that leave something open
    space      what a kernel's schedule may decide, explored from what is best so far
    search     which candidate is measured next, and which one wins
    measure    two versions of a kernel in turns, on the machine that a place stands for
    places     this machine, and others through TVM's RPC tracker

The search takes the measuring as a function, and never looks into a kernel.
"""
